//! The timeline of a debrief: what was hidden, what the participant did, and what others wrote.

use lab_core::diagnosis::Finding;
use serde::Serialize;

use crate::drill_time;
use crate::event::{ClaimedState, Ending};
use crate::fold::{Answer, Drill};
use crate::messages::messages;

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Drill time in milliseconds.
    pub at: u64,
    /// Whose it is.
    pub source: Source,
    /// What happened, in words.
    pub text: String,
}

/// Whose line it is. Lines of the same time are in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The referee. It was hidden from the participant.
    Referee,
    /// Sender of a message to the participant.
    Message,
    /// The participant.
    Participant,
}

/// All lines of a drill, in order.
pub fn timeline(drill: &Drill) -> Vec<Line> {
    let referee = hidden(drill).into_iter().map(|(at, text)| Line { at, source: Source::Referee, text });
    let messages = messages(drill, drill.clock).into_iter().map(|message| Line {
        at: message.at,
        source: Source::Message,
        text: format!("{}: {}", message.from, message.text),
    });
    let actions = actions(drill).into_iter().map(|(at, text)| Line { at, source: Source::Participant, text });
    let mut lines: Vec<Line> = referee.chain(messages).chain(actions).collect();
    lines.sort_by_key(|line| (line.at, line.source));
    lines
}

fn hidden(drill: &Drill) -> Vec<(u64, String)> {
    let mut lines = Vec::new();
    let mut add = |at: Option<u64>, text: String| lines.extend(at.map(|at| (at, text)));
    add(drill.injecting, "fault injected".to_owned());
    add(drill.impact, "first request failed".to_owned());
    for mitigation in drill.mitigations() {
        add(Some(mitigation.span.at), "mitigated: every caller succeeds".to_owned());
        add(mitigation.masked, "masked: the callers succeed, but the cause is still there".to_owned());
        add(mitigation.span.until, "relapse: requests fail again".to_owned());
    }
    let relapses: Vec<u64> = drill.mitigations().iter().filter_map(|mitigation| mitigation.span.until).collect();
    for span in drill.resolutions() {
        add(Some(span.at), "resolved: the cause is removed".to_owned());
        add(span.until.filter(|until| !relapses.contains(until)), "no longer resolved".to_owned());
    }
    for fix in drill.mistakes() {
        let known = drill.started.brief.wrong_fixes.iter().find(|known| known.name == fix.name);
        let why = known.map(|known| format!(": {}", known.why)).unwrap_or_default();
        add(Some(fix.at), format!("wrong fix \"{}\"{why}", fix.name));
    }
    for gap in drill.gaps() {
        let length = drill_time(gap.length.max(1000));
        add(Some(gap.at), format!("the clock stood still for {length}: {}", gap.reason));
    }
    if let Some(end) = drill.ended {
        let text = match end.by {
            Ending::Finished | Ending::GaveUp => return lines,
            Ending::LabGone => "the lab is gone",
            Ending::Void => "the fault could not be injected",
            Ending::TimeLimit => "time limit reached",
            Ending::EndedByTrainer => "the trainer ended the drill",
        };
        lines.push((end.at, text.to_owned()));
    }
    lines
}

fn actions(drill: &Drill) -> Vec<(u64, String)> {
    let mut lines: Vec<(u64, String)> = looks(drill);
    let mut true_one = drill.acknowledged();
    lines.extend(drill.acknowledgements.iter().map(|at| {
        let is_first = true_one.take_if(|first| *first == *at).is_some();
        let text = match drill.impact {
            Some(impact) if *at >= impact && is_first => {
                format!("acknowledged {} after the impact", drill_time(at - impact))
            }
            Some(impact) if *at >= impact => "acknowledged again".to_owned(),
            _ => "acknowledged, without an incident".to_owned(),
        };
        (*at, text)
    }));
    lines.extend(drill.hints.iter().filter_map(|opened| {
        let hint = drill.started.brief.hints.get(opened.index)?;
        Some((opened.at, format!("opened hint {}: {} ({} %)", opened.index + 1, hint.about, hint.cost)))
    }));
    lines.extend(drill.tries.iter().map(|one| {
        let answer = match one.answer {
            Answer::Right => "right",
            Answer::Partial => "right, but not all",
            Answer::Wrong => "wrong",
        };
        let findings: Vec<String> = one.findings.iter().copied().map(describe).collect();
        (one.at, format!("diagnosis: {} ({answer})", findings.join(", and ")))
    }));
    lines.extend(drill.changes.iter().map(|change| (change.at, change.text.clone())));
    lines.extend(drill.updates.iter().map(|sent| {
        let state = match sent.update.state {
            ClaimedState::Investigating => "investigating",
            ClaimedState::Identified => "identified",
            ClaimedState::Monitoring => "monitoring",
            ClaimedState::Resolved => "resolved",
        };
        (sent.at, format!("update ({state}): {}", sent.update.text))
    }));
    lines.extend(drill.ended.and_then(|end| match end.by {
        Ending::Finished => Some((end.at, "finished".to_owned())),
        Ending::GaveUp => Some((end.at, "gave up".to_owned())),
        Ending::LabGone | Ending::Void | Ending::TimeLimit | Ending::EndedByTrainer => None,
    }));
    lines
}

/// Looks, with the same command in a row as one line.
fn looks(drill: &Drill) -> Vec<(u64, String)> {
    let mut lines = Vec::new();
    let mut rest = drill.looks.as_slice();
    while let Some(first) = rest.first() {
        let count = rest.iter().take_while(|look| look.what == first.what).count();
        let times = if count > 1 { format!(", {count} times") } else { String::new() };
        lines.push((first.at, format!("looked at {}{times}", first.what)));
        rest = &rest[count..];
    }
    lines
}

fn describe(finding: Finding) -> String {
    format!("{}: {}", finding.location.name(), finding.cause.name())
}
