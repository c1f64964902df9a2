//! [`Timeline`]: what a run looks like to a person: a row a step as it finishes, what is wrong directly under it, and at
//! the end the verdict, what became of the changes and what to do next. It is never wider than it was told.

use std::io::{self, Write};

use super::{Sink, human, short_id, text};
use crate::term::{Painter, Tone};
use lab_core::event::{AlertChanged, AlertState, Event, EventKind, RunStarted, Status, StepResult};

mod changes;
mod footer;
mod layout;
mod row;

use layout::Layout;

/// Beyond this, lines are hard to read and the right end is far from the left.
const WIDEST: usize = 120;

/// Draws a run on any writer.
#[derive(Debug)]
pub struct Timeline<W> {
    out: W,
    paper: Paper,
    run: Option<Run>,
}

/// What is drawn on.
#[derive(Clone, Copy, Debug)]
struct Paper {
    width: usize,
    painter: Painter,
}

/// A run so far.
#[derive(Debug)]
struct Run {
    started: RunStarted,
    layout: Layout,
    steps: Vec<Done>,
    /// The step that is under way.
    open: Option<String>,
    /// What became of alerts meanwhile: told after its row, so that times rise from line to line.
    alerts: Vec<AlertChanged>,
    elapsed: f64,
    ended: bool,
}

/// What the end says of a step.
#[derive(Debug)]
struct Done {
    name: String,
    status: Status,
}

impl<W: Write> Timeline<W> {
    /// On `out`, `width` columns wide.
    pub fn new(out: W, width: usize, painter: Painter) -> Self {
        Self { out, paper: Paper { width: width.min(WIDEST), painter }, run: None }
    }

    /// Whole lines in one write, so that a progress line beside them makes room once.
    fn print(&mut self, lines: &[String]) -> io::Result<()> {
        let mut block = lines.join("\n");
        block.push('\n');
        self.out.write_all(block.as_bytes())?;
        self.out.flush()
    }

    fn begin(&mut self, started: &RunStarted) -> io::Result<()> {
        let layout = Layout::new(self.paper.width, started.steps.iter().map(String::as_str));
        let mut lines = self.paper.title(started, layout.width());
        lines.push(String::new());
        lines.push(layout.heads(self.paper.painter));
        let started = started.clone();
        self.run = Some(Run {
            started,
            layout,
            steps: Vec::new(),
            open: None,
            alerts: Vec::new(),
            elapsed: 0.0,
            ended: false,
        });
        self.print(&lines)
    }

    fn step(&mut self, step: &StepResult) -> io::Result<()> {
        let Some(run) = &mut self.run else { return Ok(()) };
        run.open = None;
        run.steps.push(Done { name: text::clean(&step.name), status: step.status });
        let mut lines = run.layout.row(&row::cells(step, &run.layout), self.paper.painter);
        for cells in row::callers(step) {
            lines.extend(run.layout.row(&cells, self.paper.painter));
        }
        for (tone, note) in row::notes(step) {
            lines.extend(self.paper.indented(run.layout.indent(), tone, &note));
        }
        lines.extend(run.told(self.paper));
        self.print(&lines)
    }

    fn alert(&mut self, alert: &AlertChanged) -> io::Result<()> {
        let Some(run) = self.run.as_mut().filter(|run| run.tells(alert)) else { return Ok(()) };
        run.alerts.push(alert.clone());
        if run.open.is_some() {
            return Ok(());
        }
        let lines = run.told(self.paper);
        self.print(&lines)
    }

    fn notice(&mut self, elapsed: f64, message: &str) -> io::Result<()> {
        let Some(run) = &self.run else { return Ok(()) };
        let lines = self.paper.timed(run.layout.indent(), elapsed, Tone::Warn, &format!("note: {message}"));
        self.print(&lines)
    }
}

impl Run {
    /// What became of alerts and was not told yet.
    fn told(&mut self, paper: Paper) -> Vec<String> {
        let told = std::mem::take(&mut self.alerts);
        told.iter().flat_map(|alert| paper.alert(self.layout.indent(), alert)).collect()
    }

    /// Whether an alert's change is a part of the story. In a run of seconds one that is only pending has no time to become
    /// more.
    fn tells(&self, alert: &AlertChanged) -> bool {
        self.started.alerts || matches!(alert.state, AlertState::Firing | AlertState::Resolved)
    }
}

impl<W: Write + Send> Sink for Timeline<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Some(run) = &mut self.run {
            run.elapsed = event.elapsed;
        }
        match &event.kind {
            EventKind::RunStarted(started) => self.begin(started),
            EventKind::StepStarted(step) => {
                if let Some(run) = &mut self.run {
                    run.open = Some(text::clean(&step.name));
                }
                Ok(())
            }
            EventKind::StepFinished(step) => self.step(&step.result),
            EventKind::Notice { message } => self.notice(event.elapsed, message),
            EventKind::Alert(alert) => self.alert(alert),
            // The lines of logs are for reports; what was put back is said in one line at the end.
            EventKind::Logged(_) | EventKind::UndoStarted { .. } | EventKind::UndoItem(_) => Ok(()),
            EventKind::RunFinished(finished) => {
                let Some(run) = &mut self.run else { return Ok(()) };
                run.ended = true;
                let mut lines = run.told(self.paper);
                lines.extend(footer::lines(self.paper, run, finished));
                self.print(&lines)
            }
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match &self.run {
            Some(run) if !run.ended => {
                let lines = footer::cut_off(self.paper, run);
                self.print(&lines)
            }
            _ => Ok(()),
        }
    }
}

impl Paper {
    /// The scenario on the left, the lab at the table's right end; below each other where they do not fit side by side.
    fn title(self, run: &RunStarted, table: usize) -> Vec<String> {
        let scenario = text::wrap(&format!("{} · {}", run.scenario, run.title), self.width);
        let lab = text::wrap(&format!("lab {} · {}", run.lab, run.engine), self.width);
        let used = scenario.last().map_or(0, |line| text::columns(line));
        let needed = lab.first().map_or(0, |line| text::columns(line));
        let mut lines: Vec<_> = scenario.iter().map(|line| self.painter.paint(Tone::Strong, line)).collect();
        let beside = used + 3 + needed <= self.width;
        for (index, piece) in lab.iter().enumerate() {
            let used = if beside && index == 0 { used } else { 0 };
            let right = table.max(if used > 0 { used + 3 + needed } else { 0 });
            let gap = " ".repeat(right.saturating_sub(used + text::columns(piece)));
            let piece = gap + &self.painter.paint(Tone::Dim, piece);
            match lines.last_mut() {
                Some(line) if used > 0 => line.push_str(&piece),
                _ => lines.push(piece),
            }
        }
        lines
    }

    /// What became of an alert: `! AuthFailureRatioHigh firing: 97% of the requests are turned away`.
    fn alert(self, indent: usize, alert: &AlertChanged) -> Vec<String> {
        let (tone, summary) = match alert.state {
            AlertState::Pending => (Tone::Warn, ""),
            AlertState::Firing => (Tone::Failed, alert.summary.as_str()),
            AlertState::Resolved => (Tone::Good, ""),
            AlertState::Cleared => (Tone::Dim, ""),
        };
        let joint = if summary.is_empty() { "" } else { ": " };
        let told = format!("! {} {}{joint}{summary}", alert.name, alert.state.name());
        self.timed(indent, alert.since, tone, &told)
    }

    /// A note with a time of its own.
    fn timed(self, indent: usize, elapsed: f64, tone: Tone, note: &str) -> Vec<String> {
        let at = format!("{:>1$}", human::clock(elapsed), indent - 2);
        let mut lines = self.indented(indent, tone, note);
        if let Some(first) = lines.first_mut() {
            first.replace_range(..at.len(), &at);
        }
        lines
    }

    /// A note under a row, all of it in the columns from `indent` on.
    fn indented(self, indent: usize, tone: Tone, note: &str) -> Vec<String> {
        self.wrapped(note, indent, indent + 2, tone)
    }

    /// Wrapped at the width; the first line begins at one column, the others at another.
    fn wrapped(self, content: &str, first: usize, others: usize, tone: Tone) -> Vec<String> {
        let lines = text::wrap(content, self.width.saturating_sub(others).max(1));
        let indent = |index| " ".repeat(if index == 0 { first } else { others });
        let paint = |(index, line): (usize, &String)| indent(index) + &self.painter.paint(tone, line);
        lines.iter().enumerate().map(paint).collect()
    }
}

#[cfg(test)]
mod tests;
