//! Text report of a run: a row per finished step with its problems below it, and at the end the result, the state of the
//! changes and the next command. No line is wider than the given width.

use std::io::{self, Write};

use super::{Sink, human, short_id, text};
use crate::term::{Painter, Tone};
use lab_core::event::{AlertChanged, AlertState, Event, EventKind, RunStarted, Status, StepResult};

mod changes;
mod footer;
mod layout;
mod row;

use layout::Layout;

/// Maximum width. Longer lines are hard to read.
const WIDEST: usize = 120;

/// Sink that writes the timeline of a run.
#[derive(Debug)]
pub struct Timeline<W> {
    out: W,
    canvas: Canvas,
    run: Option<Run>,
}

/// Width and colours of the output.
#[derive(Clone, Copy, Debug)]
struct Canvas {
    width: usize,
    painter: Painter,
}

/// State of a run.
#[derive(Debug)]
struct Run {
    started: RunStarted,
    layout: Layout,
    steps: Vec<StepOutcome>,
    /// Name of the current step.
    open: Option<String>,
    /// Alerts that changed during the current step. They are printed after its row, so that times ascend.
    alerts: Vec<AlertChanged>,
    elapsed: f64,
    ended: bool,
}

/// Result of a step, for the summary.
#[derive(Debug)]
struct StepOutcome {
    name: String,
    status: Status,
}

impl<W: Write> Timeline<W> {
    /// Writes to `out` with at most `width` columns.
    pub fn new(out: W, width: usize, painter: Painter) -> Self {
        Self { out, canvas: Canvas { width: width.min(WIDEST), painter }, run: None }
    }

    /// Writes all lines at once, so that a progress line is redrawn only once.
    fn print(&mut self, lines: &[String]) -> io::Result<()> {
        let mut block = lines.join("\n");
        block.push('\n');
        self.out.write_all(block.as_bytes())?;
        self.out.flush()
    }

    fn begin(&mut self, started: &RunStarted) -> io::Result<()> {
        let layout = Layout::new(self.canvas.width, started.steps.iter().map(String::as_str));
        let mut lines = self.canvas.title(started, layout.width());
        lines.push(String::new());
        lines.push(layout.heads(self.canvas.painter));
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
        run.steps.push(StepOutcome { name: text::clean(&step.name), status: step.status });
        let mut lines = run.layout.row(&row::cells(step, &run.layout), self.canvas.painter);
        for cells in row::callers(step) {
            lines.extend(run.layout.row(&cells, self.canvas.painter));
        }
        for (tone, note) in row::notes(step) {
            lines.extend(self.canvas.indented(run.layout.indent(), tone, &note));
        }
        lines.extend(run.alert_lines(self.canvas));
        self.print(&lines)
    }

    fn alert(&mut self, alert: &AlertChanged) -> io::Result<()> {
        let Some(run) = self.run.as_mut().filter(|run| run.shows(alert)) else { return Ok(()) };
        run.alerts.push(alert.clone());
        if run.open.is_some() {
            return Ok(());
        }
        let lines = run.alert_lines(self.canvas);
        self.print(&lines)
    }

    fn notice(&mut self, elapsed: f64, message: &str) -> io::Result<()> {
        let Some(run) = &self.run else { return Ok(()) };
        let lines = self.canvas.timed(run.layout.indent(), elapsed, Tone::Warn, &format!("note: {message}"));
        self.print(&lines)
    }
}

impl Run {
    /// Lines of the collected alerts.
    fn alert_lines(&mut self, canvas: Canvas) -> Vec<String> {
        let alerts = std::mem::take(&mut self.alerts);
        alerts.iter().flat_map(|alert| canvas.alert(self.layout.indent(), alert)).collect()
    }

    /// Returns true if the change of an alert is shown. Pending alerts are hidden in short runs, which end before an alert can
    /// fire.
    fn shows(&self, alert: &AlertChanged) -> bool {
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
            // Log lines are only in reports, and the undo is summarised at the end.
            EventKind::Logged(_) | EventKind::UndoStarted { .. } | EventKind::UndoItem(_) => Ok(()),
            EventKind::RunFinished(finished) => {
                let Some(run) = &mut self.run else { return Ok(()) };
                run.ended = true;
                let mut lines = run.alert_lines(self.canvas);
                lines.extend(footer::lines(self.canvas, run, finished));
                self.print(&lines)
            }
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match &self.run {
            Some(run) if !run.ended => {
                let lines = footer::interrupted(self.canvas, run);
                self.print(&lines)
            }
            _ => Ok(()),
        }
    }
}

impl Canvas {
    /// Scenario on the left, lab aligned with the right end of the table; on two lines if they do not fit on one.
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

    /// Change of an alert: `! AuthFailureRatioHigh firing: 97% of the requests are turned away`.
    fn alert(self, indent: usize, alert: &AlertChanged) -> Vec<String> {
        let (tone, summary) = match alert.state {
            AlertState::Pending => (Tone::Warn, ""),
            AlertState::Firing => (Tone::Failed, alert.summary.as_str()),
            AlertState::Resolved => (Tone::Good, ""),
            AlertState::Cleared => (Tone::Dim, ""),
        };
        let joint = if summary.is_empty() { "" } else { ": " };
        let text = format!("! {} {}{joint}{summary}", alert.name, alert.state.name());
        self.timed(indent, alert.since, tone, &text)
    }

    /// Note with its own time.
    fn timed(self, indent: usize, elapsed: f64, tone: Tone, note: &str) -> Vec<String> {
        let at = format!("{:>1$}", human::clock(elapsed), indent - 2);
        let mut lines = self.indented(indent, tone, note);
        if let Some(first) = lines.first_mut() {
            first.replace_range(..at.len(), &at);
        }
        lines
    }

    /// Note below a row, starting at column `indent`.
    fn indented(self, indent: usize, tone: Tone, note: &str) -> Vec<String> {
        self.wrapped(note, indent, indent + 2, tone)
    }

    /// Wraps text, with different indents for the first line and the others.
    fn wrapped(self, content: &str, first: usize, others: usize, tone: Tone) -> Vec<String> {
        let lines = text::wrap(content, self.width.saturating_sub(others).max(1));
        let indent = |index| " ".repeat(if index == 0 { first } else { others });
        let paint = |(index, line): (usize, &String)| indent(index) + &self.painter.paint(tone, line);
        lines.iter().enumerate().map(paint).collect()
    }
}

#[cfg(test)]
mod tests;
