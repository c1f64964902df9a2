//! Table of past drills, and the progress of the points.

use chrono::Local;
use lab_drill::event::{Ending, Known};
use lab_drill::history::Summary;

use crate::report::spark::sparkline;
use crate::report::table::{Cell, Side, Table};
use crate::report::{human, short_id};
use crate::term::Tone;

/// Table of drills, in the given order, and a line with the progress of the points, oldest first. The line is `None` with fewer
/// than two results.
pub fn history(newest_first: &[Summary]) -> (Table, Option<String>) {
    let mut table = Table::new(&[
        ("drill", Side::Left),
        ("when", Side::Left),
        ("incident", Side::Left),
        ("noticed", Side::Right),
        ("works", Side::Right),
        ("fixed", Side::Right),
        ("score", Side::Right),
    ]);
    for summary in newest_first {
        let when = summary.at.with_timezone(&Local).format("%m-%d %H:%M").to_string();
        let result = summary.result.as_ref();
        let incident = match result {
            None => "in progress".to_owned(),
            Some(result) if result.without_fault => "nothing was wrong".to_owned(),
            Some(result) => result.scenario.clone(),
        };
        let time = |at: Option<u64>, lost: bool| match at {
            Some(at) => Cell::from(human::drill_time(at)),
            None if lost => Cell::new(Tone::Failed, "lost"),
            None => Cell::new(Tone::Dim, "-"),
        };
        let points = result.and_then(|result| result.points);
        let score =
            points.map_or_else(|| Cell::new(Tone::Dim, "-"), |points| Cell::new(tone(points), human::number(points)));
        table.row([
            short_id(&summary.id).into(),
            when.into(),
            format!("{incident}{}", kind(summary)).into(),
            time(result.and_then(|result| result.acknowledged), false),
            time(result.and_then(|result| result.mitigated), result.is_some_and(|result| result.mitigation_lost)),
            time(result.and_then(|result| result.resolved), result.is_some_and(|result| result.resolution_lost)),
            score,
        ]);
    }
    let points: Vec<f64> = newest_first.iter().rev().filter_map(|summary| summary.result.as_ref()?.points).collect();
    let (Some(first), Some(last), true) = (points.first(), points.last(), points.len() > 1) else {
        return (table, None);
    };
    let line = format!(
        "points {} over {} drills, from {} to {}",
        sparkline(&points, 100.0),
        points.len(),
        human::number(*first),
        human::number(*last)
    );
    (table, Some(line))
}

/// Tone of points from 0 to 100.
pub(super) fn tone(points: f64) -> Tone {
    match points {
        80.0.. => Tone::Good,
        50.0.. => Tone::Warn,
        _ => Tone::Failed,
    }
}

/// What sets the drill apart from a blind one that was finished, as a suffix.
fn kind(summary: &Summary) -> &'static str {
    match (summary.ending, summary.known) {
        (Some(Ending::GaveUp), _) => " (given up)",
        (Some(Ending::LabGone), _) => " (lab gone)",
        (Some(Ending::Void), _) => " (void)",
        (Some(Ending::TimeLimit), _) => " (time limit)",
        (Some(Ending::EndedByTrainer), _) => " (ended by the trainer)",
        (_, Known::Nothing) => "",
        (_, Known::Seed) => " (not blind)",
        (_, Known::Incident) => " (practice)",
    }
}
