//! The sections of a debrief.

use lab_core::diagnosis::Finding;
use lab_core::event::Status;
use lab_drill::debrief::{Debrief, Line, Source};
use lab_drill::event::{Ending, Known};
use lab_drill::fold::{Answer, Span};
use lab_drill::history::Suggestion;
use lab_drill::score::Score;
use lab_drill::updates::Criterion;

use crate::report::human::{drill_time, number};
use crate::report::review::{Block, Cell, Grid, Review, Section, paragraphs};
use crate::report::{short_id, text};

/// The debrief as a review.
pub(super) fn review(debrief: &Debrief, next: Option<&Suggestion>) -> Review {
    let sections = [
        ("summary", "Summary", summary(debrief)),
        ("score", "Score", score(debrief)),
        ("course", "What you did, and what happened", timeline(debrief)),
        ("cause", "Cause and fix", cause(debrief)),
        ("diagnosis", "Diagnosis", diagnosis(debrief)),
        ("wrong", "Wrong fixes", wrong_fixes(debrief)),
        ("looked", "Where you looked", looked(debrief)),
        ("hints", "Hints", hints(debrief)),
        ("updates", "Updates", updates(debrief)),
        ("lessons", "Lessons", list(&debrief.lessons)),
        ("repeat", "What next", repeat(debrief, next)),
        ("proof", "Proof", proof(debrief)),
    ];
    let sections = sections.into_iter().filter(|(.., blocks)| !blocks.is_empty());
    let (status, badge) = badge(debrief);
    Review {
        title: if debrief.incident.fault {
            text::clean(&debrief.incident.title)
        } else {
            "Nothing was wrong".to_owned()
        },
        subtitle: subtitle(debrief),
        badge,
        status,
        sections: sections.map(|(id, title, blocks)| Section { id, title, blocks }).collect(),
    }
}

fn badge(debrief: &Debrief) -> (Status, String) {
    let Some(score) = &debrief.score else { return (Status::Interrupted, "no score".to_owned()) };
    let status = match score.points {
        80.0.. => Status::Passed,
        50.0.. => Status::Interrupted,
        _ => Status::Failed,
    };
    (status, format!("{} of 100", number(score.points)))
}

/// `drill 7f3a · blind · wrong-upstream · lab default · embedded · 2026-11-30 10:15 UTC`.
fn subtitle(debrief: &Debrief) -> String {
    let known = match debrief.known {
        Known::Nothing => "blind",
        Known::Seed => "not blind",
        Known::Incident => "practice",
    };
    let coach = if debrief.coach { " · with a coach" } else { "" };
    let scenario =
        if debrief.incident.fault { format!(" · {}", text::clean(&debrief.incident.scenario)) } else { String::new() };
    let at = debrief.at.format("%Y-%m-%d %H:%M UTC");
    let Debrief { id, lab, engine, .. } = debrief;
    format!("drill {} · {known}{coach}{scenario} · lab {lab} · {engine} · {at}", short_id(id))
}

fn summary(debrief: &Debrief) -> Vec<Block> {
    let times = &debrief.times;
    let since = |at: Option<u64>| match (times.impact, at) {
        (_, None) => "-".to_owned(),
        (Some(impact), Some(at)) if at >= impact => {
            format!("after {}", drill_time(at - impact))
        }
        (_, Some(at)) => format!("at {}", drill_time(at)),
    };
    let reached = |at: Option<u64>, lost: Option<Span>| match lost.and_then(|span| Some((span.at, span.until?))) {
        Some((at, until)) => format!("{}, lost at {}", since(Some(at)), drill_time(until)),
        None => since(at),
    };
    let mut facts = Vec::new();
    if debrief.incident.fault {
        facts.push((
            "first failed request",
            times.impact.map_or_else(|| "none".to_owned(), |at| format!("at {}", drill_time(at))),
        ));
        facts.push(("acknowledged", since(times.acknowledged)));
        facts.push(("callers succeed", reached(times.mitigated, times.mitigation_lost)));
        facts.push(("cause removed", reached(times.resolved, times.resolution_lost)));
    }
    let ended = times.ended.map_or_else(String::new, |at| format!(" at {}", drill_time(at)));
    facts.push(("end", format!("{}{ended}", ending(debrief.ending))));
    let mut blocks = vec![Block::Text(verdict(debrief)), Block::Facts(facts)];
    for gap in &debrief.gaps {
        let (at, length) = (drill_time(gap.at), drill_time(gap.length.max(1000)));
        blocks.push(Block::Text(format!("At {at} the clock stood still for {length}: {}.", gap.reason)));
    }
    match debrief.restored.as_deref() {
        None | Some([]) => {}
        Some(errors) => {
            blocks.push(Block::Text(format!("The lab could not be restored completely: {}.", errors.join("; "))));
        }
    }
    blocks
}

/// The result in one sentence.
fn verdict(debrief: &Debrief) -> String {
    if let Some(reason) = &debrief.no_score {
        return format!("No score: {reason}.");
    }
    let times = &debrief.times;
    let right = debrief.tries.iter().any(|one| one.answer == Answer::Right);
    if !debrief.incident.fault {
        return if right {
            "Nothing was wrong, and you said so.".to_owned()
        } else {
            "Nothing was wrong in this drill.".to_owned()
        };
    }
    match (times.impact, times.resolved, times.mitigated, times.masked) {
        (None, ..) => "The drill ended before the fault had an effect.".to_owned(),
        (_, Some(_), ..) => "You fixed the incident.".to_owned(),
        (_, None, Some(_), Some(_)) => "The callers succeed again, but the cause is still there.".to_owned(),
        (_, None, Some(_), None) => {
            "The callers succeed again; the drill ended before the cause was checked.".to_owned()
        }
        (_, None, None, _) if times.mitigation_lost.is_some() => {
            "The callers succeeded for a while, but failed again at the end.".to_owned()
        }
        (_, None, None, _) => "The callers still failed at the end.".to_owned(),
    }
}

fn ending(ending: Option<Ending>) -> &'static str {
    match ending {
        None => "in progress",
        Some(Ending::Finished) => "finished",
        Some(Ending::GaveUp) => "given up",
        Some(Ending::LabGone) => "the lab was gone",
        Some(Ending::Void) => "void",
        Some(Ending::TimeLimit) => "time limit",
        Some(Ending::EndedByTrainer) => "ended by the trainer",
    }
}

fn score(debrief: &Debrief) -> Vec<Block> {
    let Some(Score { terms, points, version }) = &debrief.score else { return Vec::new() };
    let mut grid = Grid::new("Score by term", &["term", "how it follows"], &["points", "of"]);
    for term in terms {
        let of = if term.maximum > 0.0 { number(term.maximum) } else { String::new() };
        let lost = term.points < 0.0 || (term.maximum > 0.0 && term.points <= 0.0);
        let status = if lost { Some(Status::Failed) } else { None };
        let points = Cell { text: number(term.points), status };
        grid.rows.push(vec![term.name.name().into(), term.formula.as_str().into(), points, of.into()]);
    }
    grid.rows.push(vec!["total".into(), "".into(), number(*points).into(), "100".into()]);
    let note = format!("q is 1 up to par and halves with every further par. Table of scores: version {version}.");
    vec![Block::Grid(grid), Block::Text(note)]
}

fn timeline(debrief: &Debrief) -> Vec<Block> {
    let mut grid = Grid::new("Timeline", &["time", "you", "meanwhile"], &[]);
    for Line { at, source, text } in &debrief.timeline {
        let text = text::clean(text);
        let (you, meanwhile) = match source {
            Source::Participant => (text.into(), "".into()),
            Source::Message => ("".into(), format!("message from {text}").into()),
            Source::Referee => ("".into(), Cell { text, status: Some(Status::Interrupted) }),
        };
        grid.rows.push(vec![drill_time(*at).into(), you, meanwhile]);
    }
    let charts = (!debrief.seconds.is_empty()).then_some(Block::Charts);
    charts.into_iter().chain((!grid.rows.is_empty()).then_some(Block::Grid(grid))).collect()
}

/// `gateway: timeout too short`.
fn finding(finding: Finding) -> String {
    format!("{}: {}", finding.location.name(), finding.cause.name())
}

fn cause(debrief: &Debrief) -> Vec<Block> {
    let incident = &debrief.incident;
    let mut answer = format!("Right diagnosis: {}", finding(incident.diagnosis.first));
    if let Some(also) = incident.diagnosis.also {
        answer = format!("{answer}, and {}", finding(also));
    }
    let mut blocks = vec![Block::Text(format!("{answer}."))];
    if incident.fault {
        blocks.extend(paragraphs(&incident.symptom).chain(paragraphs(&incident.solution)).map(Block::Text));
        let values = incident.parameters.iter().map(|(name, value)| format!("{name} = {value}"));
        let values: Vec<String> = values.collect();
        if !values.is_empty() {
            blocks.push(Block::Text(format!("Values of this drill: {}.", values.join(", "))));
        }
    }
    blocks
}

fn diagnosis(debrief: &Debrief) -> Vec<Block> {
    let mut grid = Grid::new("Your diagnoses", &["time", "diagnosis", "answer"], &[]);
    for one in &debrief.tries {
        let (answer, status) = match one.answer {
            Answer::Right => ("right", Status::Passed),
            Answer::Partial => ("one of two faults", Status::Interrupted),
            Answer::Wrong => ("wrong", Status::Failed),
        };
        let findings: Vec<String> = one.findings.iter().copied().map(finding).collect();
        let answer = Cell { text: answer.to_owned(), status: Some(status) };
        grid.rows.push(vec![drill_time(one.at).into(), findings.join(", and ").into(), answer]);
    }
    if grid.rows.is_empty() {
        return vec![Block::Text("You gave no diagnosis.".to_owned())];
    }
    vec![Block::Grid(grid)]
}

fn wrong_fixes(debrief: &Debrief) -> Vec<Block> {
    let item = |fix: &lab_drill::debrief::ExplainedFix| {
        let masked = if fix.masked { " It made the callers succeed while the cause stayed." } else { "" };
        format!("`{}` at {}: {}{masked}", text::clean(&fix.name), drill_time(fix.at), text::clean(&fix.why))
    };
    list(&debrief.wrong_fixes.iter().map(item).collect::<Vec<_>>())
}

fn looked(debrief: &Debrief) -> Vec<Block> {
    let mut grid = Grid::new("Where you looked", &["place"], &["first look", "looks"]);
    for visit in &debrief.visits {
        if let Some(first) = visit.first {
            grid.rows.push(vec![visit.place.name().into(), drill_time(first).into(), visit.count.to_string().into()]);
        }
    }
    let never: Vec<&str> =
        debrief.visits.iter().filter(|visit| visit.first.is_none()).map(|visit| visit.place.name()).collect();
    let never = (!never.is_empty()).then(|| Block::Text(format!("Never looked at: {}.", never.join(", "))));
    (!grid.rows.is_empty()).then_some(Block::Grid(grid)).into_iter().chain(never).collect()
}

fn hints(debrief: &Debrief) -> Vec<Block> {
    let mut grid = Grid::new("Hints", &["opened", "about", "hint"], &["price"]);
    for hint in &debrief.hints {
        let opened = hint.open.as_ref().map_or_else(|| "-".to_owned(), |(at, _)| drill_time(*at));
        let text = hint.open.as_ref().map(|(_, text)| text::clean(text)).unwrap_or_default();
        let cells = [opened, text::clean(&hint.about), text, format!("{}%", hint.cost)];
        grid.rows.push(cells.into_iter().map(Cell::from).collect());
    }
    if debrief.hints.iter().any(|hint| hint.open.is_some()) { vec![Block::Grid(grid)] } else { Vec::new() }
}

fn updates(debrief: &Debrief) -> Vec<Block> {
    let judged = &debrief.updates;
    let mut grid = Grid::new("Judgement of the updates", &["update", "judged", "reason"], &["points", "of"]);
    for update in &judged.updates {
        for (index, point) in update.criteria.iter().enumerate() {
            let time = if index == 0 { drill_time(update.at) } else { String::new() };
            let status = (point.points < point.maximum).then_some(Status::Failed);
            let points = Cell { text: point.points.to_string(), status };
            let maximum = point.maximum.to_string();
            grid.rows.push(vec![
                time.into(),
                criterion(point.criterion).into(),
                point.reason.as_str().into(),
                points,
                maximum.into(),
            ]);
        }
    }
    let mut blocks: Vec<Block> = (!grid.rows.is_empty()).then_some(Block::Grid(grid)).into_iter().collect();
    let repeats = judged.updates.iter().filter(|update| update.repeats);
    let repeats = repeats.map(|update| {
        format!("The update at {} only repeats the one before and does not count.", drill_time(update.at))
    });
    let missed = judged.missed.iter().map(|missed| {
        if missed.closing {
            "A closing update was missing: the customers never heard that it is over.".to_owned()
        } else {
            format!("An update was due at {} and did not come.", drill_time(missed.at))
        }
    });
    blocks.extend(list(&repeats.chain(missed).collect::<Vec<_>>()));
    blocks
}

fn criterion(criterion: Criterion) -> &'static str {
    match criterion {
        Criterion::InTime => "in time",
        Criterion::State => "state is true",
        Criterion::Impact => "impact is true",
        Criterion::Promise => "promise kept",
        Criterion::Content => "no estimate, no internals",
    }
}

fn list(items: &[String]) -> Vec<Block> {
    let items: Vec<String> = items.iter().map(|item| text::clean(item)).collect();
    (!items.is_empty()).then_some(Block::List(items)).into_iter().collect()
}

fn repeat(debrief: &Debrief, next: Option<&Suggestion>) -> Vec<Block> {
    let next = next.map(|next| {
        vec![Block::Text(format!("Next drill ({}):", next.reason)), Block::Commands(vec![next.command.clone()])]
    });
    let again = debrief.replay.iter().flat_map(|command| {
        [Block::Text(format!("To {}:", command.about)), Block::Commands(vec![command.command.clone()])]
    });
    next.into_iter().flatten().chain(again).collect()
}

fn proof(debrief: &Debrief) -> Vec<Block> {
    let proof = &debrief.proof;
    let text = if proof.matches {
        "Everything was drawn from this secret, whose SHA-256 was shown at the start. Verify it:"
    } else {
        "The secret does not belong to the commitment that was shown at the start: the log was changed."
    };
    let facts = vec![("secret", proof.secret.clone()), ("commitment", proof.commitment.clone())];
    vec![Block::Facts(facts), Block::Text(text.to_owned()), Block::Commands(vec![proof.verify.clone()])]
}
