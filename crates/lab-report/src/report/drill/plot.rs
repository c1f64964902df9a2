//! Time series of a drill: the callers' requests, with marks for the fault and for what the participant did about it.

use lab_drill::debrief::Debrief;
use lab_drill::fold::Phase;

use crate::report::plot::{COLUMNS, Line, Plot, Span};
use crate::report::text;

/// Maximum width of the name of a mark, in columns.
const NAME: usize = 40;

/// Time series of a drill. `None` if the callers sent nothing.
pub(super) fn plot(debrief: &Debrief) -> Option<Plot> {
    let last = debrief.seconds.last()?;
    let end = seconds(debrief.times.ended.unwrap_or_default().max(last.at));
    let columns = usize::try_from(last.at.div_ceil(1000)).unwrap_or_default().max(1);
    let mut answers = ["succeeded", "failed"].map(|name| Line { name: name.to_owned(), values: vec![None; columns] });
    for second in &debrief.seconds {
        let column = usize::try_from(second.at.saturating_sub(1) / 1000).unwrap_or_default().min(columns - 1);
        let counts = [second.succeeded, second.sent.saturating_sub(second.succeeded)];
        for (line, count) in answers.iter_mut().zip(counts) {
            line.values[column] = Some(line.values[column].unwrap_or_default() + f64::from(count));
        }
    }
    let times = &debrief.times;
    // The first outage. After a relapse, the times of the verdicts are those of a later mitigation, or none.
    let mitigated = debrief.turns.iter().find(|turn| matches!(turn.phase, Phase::Mitigated | Phase::Resolved));
    let recovered = mitigated.map(|turn| turn.at).or(times.ended).map_or(end, seconds);
    let plot = Plot {
        end,
        width: 1.0,
        answers: answers.into(),
        keys: Vec::new(),
        latency: Vec::new(),
        steps: marks(debrief),
        mark: "fault, acknowledgement or change",
        outage: times.impact.map(|impact| (seconds(impact), recovered)),
        alerts: Vec::new(),
    };
    Some(plot.coarser(COLUMNS))
}

/// The fault, the acknowledgement and the participant's changes, in order.
fn marks(debrief: &Debrief) -> Vec<Span> {
    let mark =
        |at: u64, name: &str, phase| Span { name: text::cut(name, NAME), phase, from: seconds(at), to: seconds(at) };
    let fault = debrief.times.injected.map(|at| mark(at, "fault", "inject"));
    let acknowledged = debrief.times.acknowledged.map(|at| mark(at, "acknowledged", "observe"));
    let changes = debrief.changes.iter().map(|change| mark(change.at, &change.text, "remedy"));
    let mut marks: Vec<Span> = fault.into_iter().chain(acknowledged).chain(changes).collect();
    marks.sort_by(|one, other| one.from.total_cmp(&other.from));
    marks
}

/// Milliseconds as seconds.
fn seconds(milliseconds: u64) -> f64 {
    std::time::Duration::from_millis(milliseconds).as_secs_f64()
}
