//! The results as a table for a spreadsheet (RFC 4180): a row per seat and drill, and one for a seat without a drill.

use lab_drill::fold::Answer;
use lab_drill::score::TermName;
use lab_report::term::clean;

use super::results::{Outcome, ending};
use crate::fold::Seat;
use crate::state::State;

/// Columns. Times are in seconds since the first failed request.
const HEADS: [&str; 24] = [
    "seat",
    "name",
    "joined",
    "drill",
    "scenario",
    "id",
    "started",
    "ending",
    "nothing was wrong",
    "acknowledged",
    "diagnosed",
    "mitigated",
    "resolved",
    "tries",
    "right",
    "hints",
    "wrong fixes",
    "points",
    "detection",
    "diagnosis",
    "mitigation",
    "resolution",
    "updates",
    "deductions",
];

/// The table.
pub fn csv(state: &State<'_>) -> String {
    let mut table = String::new();
    add(&mut table, HEADS.map(str::to_owned));
    for seat in state.room.taken() {
        let outcomes = Outcome::all(state, seat);
        if outcomes.is_empty() {
            let mut row: [String; 24] = std::array::from_fn(|_| String::new());
            let first = head(seat);
            row[..3].clone_from_slice(&first);
            add(&mut table, row);
        }
        for outcome in &outcomes {
            add(&mut table, row(state, seat, outcome));
        }
    }
    table
}

fn head(seat: &Seat) -> [String; 3] {
    let joined = seat.joined.map(|at| at.to_rfc3339()).unwrap_or_default();
    [seat.number.to_string(), seat.name.clone().unwrap_or_default(), joined]
}

fn row(state: &State<'_>, seat: &Seat, outcome: &Outcome<'_>) -> [String; 24] {
    let [number, name, joined] = head(seat);
    let scenario = state.room.drills.get(outcome.drill - 1).map(|drill| drill.order.scenario.clone());
    let seconds = |time: Option<u64>| time.map(|time| (time / 1000).to_string()).unwrap_or_default();
    let term = |name: TermName| {
        let found = outcome.score.as_ref().and_then(|score| score.term(name));
        found.map(|term| term.points.to_string()).unwrap_or_default()
    };
    let deductions = [TermName::Hints, TermName::Deductions]
        .map(|name| outcome.score.as_ref().and_then(|score| score.term(name)).map_or(0.0, |term| term.points));
    let right = outcome.tries.iter().any(|one| one.answer == Answer::Right);
    [
        number,
        name,
        joined,
        outcome.drill.to_string(),
        scenario.unwrap_or_default(),
        outcome.id.to_owned(),
        outcome.started.to_rfc3339(),
        ending(outcome.ending).to_owned(),
        outcome.without_fault.to_string(),
        seconds(outcome.acknowledged_after),
        seconds(outcome.diagnosed_after),
        seconds(outcome.mitigated_after),
        seconds(outcome.resolved_after),
        outcome.tries.len().to_string(),
        right.to_string(),
        outcome.hints.len().to_string(),
        outcome.wrong_fixes.join("; "),
        outcome.score.as_ref().map(|score| score.points.to_string()).unwrap_or_default(),
        term(TermName::Detection),
        term(TermName::Diagnosis),
        term(TermName::Mitigation),
        term(TermName::Resolution),
        term(TermName::Updates),
        if outcome.score.is_some() { (deductions[0] + deductions[1]).to_string() } else { String::new() },
    ]
}

fn add(table: &mut String, row: [String; 24]) {
    let cells = row.map(|text| cell(&text));
    table.push_str(&cells.join(","));
    table.push_str("\r\n");
}

/// A cell that a spreadsheet shows as text, whatever it begins with, in quotes if it must have them. Negative numbers stay.
fn cell(text: &str) -> String {
    const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];
    let raw = text;
    let text = clean(raw);
    let begins = raw.starts_with(FORMULA) || text.trim_start().starts_with(FORMULA);
    let text = if begins && text.parse::<f64>().is_err() { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
