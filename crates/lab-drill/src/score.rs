//! The score of a drill, 0 to 100, term by term:
//!
//! | term | points |
//! | --- | --- |
//! | detection | 10 q(acknowledgement), less 2 for each false one, at most 4 |
//! | diagnosis | 15 for the first try, 9 for the second, 4.5 for the third; half if one of two faults is found |
//! | mitigation | 25 q(mitigation); half if a named wrong fix masked the incident |
//! | resolution | 30 q(resolution) |
//! | updates | 20 times the points of all updates by the possible points |
//! | hints | less the price of each hint, in percent of the terms that it could help: diagnosis and resolution |
//! | deductions | less 3 for each named wrong fix, at most 9, and less 5 for each disclosed secret |
//!
//! `q` is 1 up to par and halves with every further par. Times count from the impact. What holds at the end counts: a relapse
//! revokes the points. A hint is free for what precedes it, and all hints together cost at most the points of the resolution,
//! so they cost nothing if the incident is not resolved.
//!
//! A drill without impact has no times. It must last until its fault would have come, otherwise there was nothing to see and it
//! has no points. Then detection counts false acknowledgements only, mitigation and resolution count in full if no request
//! failed after a change of the participant, and updates count in full unless the participant wrote some.

use std::time::Duration;

use serde::Serialize;

use crate::event::Ending;
use crate::fold::{Answer, Drill, Span};
use crate::{drill_time, updates};

#[cfg(test)]
mod tests;

/// Version of the table for new drills.
pub const VERSION: u32 = 1;

/// One version of the table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Table {
    /// Its version.
    pub version: u32,
    /// Points for the detection.
    pub detection: f64,
    /// Less for each false acknowledgement.
    pub false_acknowledgement: f64,
    /// At most less for all of them.
    pub false_acknowledgements: f64,
    /// Points for a right diagnosis, by try.
    pub diagnosis: [f64; 3],
    /// Factor for a diagnosis that names one of two faults.
    pub partial: f64,
    /// Points for the mitigation.
    pub mitigation: f64,
    /// Factor for a mitigation by a named wrong fix.
    pub masked: f64,
    /// Points for the resolution.
    pub resolution: f64,
    /// Points for the updates.
    pub updates: f64,
    /// Less for each named wrong fix.
    pub wrong_fix: f64,
    /// At most less for all of them.
    pub wrong_fixes: f64,
    /// Less for each disclosed secret.
    pub secret: f64,
    /// Drill time in milliseconds after an injection without impact from which the drill counts.
    pub patience: u64,
}

/// All versions of the table, oldest first.
pub const TABLES: [Table; 1] = [Table {
    version: 1,
    detection: 10.0,
    false_acknowledgement: 2.0,
    false_acknowledgements: 4.0,
    diagnosis: [15.0, 9.0, 4.5],
    partial: 0.5,
    mitigation: 25.0,
    masked: 0.5,
    resolution: 30.0,
    updates: 20.0,
    wrong_fix: 3.0,
    wrong_fixes: 9.0,
    secret: 5.0,
    patience: 60_000,
}];

/// Term of the score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TermName {
    /// Noticing the incident.
    Detection,
    /// Naming the cause.
    Diagnosis,
    /// Making the callers succeed.
    Mitigation,
    /// Removing the cause.
    Resolution,
    /// Informing others.
    Updates,
    /// Price of the hints. Negative.
    Hints,
    /// Wrong fixes and disclosed secrets. Negative.
    Deductions,
}

impl TermName {
    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::Diagnosis => "diagnosis",
            Self::Mitigation => "mitigation",
            Self::Resolution => "resolution",
            Self::Updates => "updates",
            Self::Hints => "hints",
            Self::Deductions => "deductions",
        }
    }
}

/// One term of the score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Term {
    /// Which.
    pub name: TermName,
    /// Points, with one decimal. Negative for a deduction.
    pub points: f64,
    /// Possible points. 0 for a deduction.
    pub maximum: f64,
    /// Time from the impact that decides it, in milliseconds of drill time.
    pub time: Option<u64>,
    /// Its par, in milliseconds.
    pub par: Option<u64>,
    /// How the points follow, such as `10 × q(1:30, par 1:00)`.
    pub formula: String,
}

/// Score of a drill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Version of the table.
    pub version: u32,
    /// Sum of the terms, from 0 to 100, with one decimal.
    pub points: f64,
    /// All terms, in the order of the table.
    pub terms: Vec<Term>,
}

/// A drill without a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoScore {
    /// The fault could not be injected.
    #[error("the drill is void, because the fault could not be injected")]
    Void,
    /// The drill was made by another version of lab.
    #[error("the table of scores with version {0} is unknown to this version of lab")]
    UnknownVersion(u32),
}

impl Score {
    /// Score of a drill, as if it ended with the last entry of its log.
    pub fn new(drill: &Drill) -> Result<Self, NoScore> {
        if drill.failure.is_some() || drill.ended.is_some_and(|end| end.by == Ending::Void) {
            return Err(NoScore::Void);
        }
        let version = drill.started.scoring;
        let table = TABLES.iter().find(|table| table.version == version).ok_or(NoScore::UnknownVersion(version))?;
        let mut terms = match drill.impact {
            Some(impact) => Timed { drill, table, impact }.terms(),
            None => Untimed { drill, table }.terms(),
        };
        for term in &mut terms {
            term.points = round(term.points);
        }
        let points = round(terms.iter().map(|term| term.points).sum::<f64>()).clamp(0.0, 100.0);
        Ok(Self { version, points, terms })
    }

    /// One term.
    pub fn term(&self, name: TermName) -> Option<&Term> {
        self.terms.iter().find(|term| term.name == name)
    }
}

/// 1 up to par, then half for every further par.
fn q(time: u64, par: u64) -> f64 {
    let over = Duration::from_millis(time.saturating_sub(par));
    0.5_f64.powf(over.as_secs_f64() / Duration::from_millis(par.max(1)).as_secs_f64())
}

/// To one decimal, and never -0.
fn round(points: f64) -> f64 {
    (points * 10.0).round() / 10.0 + 0.0
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn count(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn term(name: TermName, points: f64, maximum: f64, formula: impl Into<String>) -> Term {
    Term { name, points, maximum, time: None, par: None, formula: formula.into() }
}

/// Score of a drill with impact.
struct Timed<'a> {
    drill: &'a Drill,
    table: &'a Table,
    impact: u64,
}

impl Timed<'_> {
    fn terms(&self) -> Vec<Term> {
        let (drill, table) = (self.drill, self.table);
        let (diagnosis, tried) = diagnosis(drill, table);
        let resolution = self.resolution();
        let hints = match drill.resolved() {
            Some(resolved) => hints(drill, (diagnosis.points, tried), (resolution.points, resolved)),
            None => term(TermName::Hints, 0.0, 0.0, "free, because the incident is not resolved"),
        };
        let updates = updates(drill, table);
        vec![self.detection(), diagnosis, self.mitigation(), resolution, updates, hints, deductions(drill, table)]
    }

    /// Term for a time after the impact.
    fn timed(&self, name: TermName, maximum: f64, at: Option<u64>, (par, lost): (Duration, Option<Span>)) -> Term {
        let par = milliseconds(par);
        let Some(time) = at.map(|at| at.saturating_sub(self.impact)) else {
            let formula = match lost.and_then(|span| Some((span.at, span.until?))) {
                Some((at, until)) => format!("reached at {}, lost at {}", drill_time(at), drill_time(until)),
                None => "not reached".to_owned(),
            };
            return Term { par: Some(par), ..term(name, 0.0, maximum, formula) };
        };
        let formula = format!("{maximum:.0} × q({}, par {})", drill_time(time), drill_time(par));
        Term { time: Some(time), par: Some(par), ..term(name, round(maximum * q(time, par)), maximum, formula) }
    }

    fn detection(&self) -> Term {
        let (drill, table) = (self.drill, self.table);
        let par = drill.started.brief.par.detect;
        let mut term = self.timed(TermName::Detection, table.detection, drill.acknowledged(), (par, None));
        let less = false_acknowledgements(drill, table);
        if less > 0.0 {
            term.points = (term.points - less).max(0.0);
            term.formula = format!("{} - {less:.0} for false acknowledgements", term.formula);
        }
        term
    }

    fn mitigation(&self) -> Term {
        let (drill, table) = (self.drill, self.table);
        let par = drill.started.brief.par.mitigate;
        let mut term =
            self.timed(TermName::Mitigation, table.mitigation, drill.mitigated(), (par, drill.lost_mitigation()));
        if let Some(fix) = drill.masking_fix() {
            term.points *= table.masked;
            term.formula = format!("{} × {} for the wrong fix \"{}\"", term.formula, table.masked, fix.name);
        }
        term
    }

    fn resolution(&self) -> Term {
        let drill = self.drill;
        let par = drill.started.brief.par.resolve;
        self.timed(TermName::Resolution, self.table.resolution, drill.resolved(), (par, drill.lost_resolution()))
    }
}

/// Score of a drill without impact.
struct Untimed<'a> {
    drill: &'a Drill,
    table: &'a Table,
}

impl Untimed<'_> {
    fn terms(&self) -> Vec<Term> {
        let (drill, table) = (self.drill, self.table);
        if !self.lasted() {
            let early = |name, maximum| term(name, 0.0, maximum, "the drill ended before there was anything to see");
            return vec![
                early(TermName::Detection, table.detection),
                early(TermName::Diagnosis, table.diagnosis[0]),
                early(TermName::Mitigation, table.mitigation),
                early(TermName::Resolution, table.resolution),
                early(TermName::Updates, table.updates),
                term(TermName::Hints, 0.0, 0.0, "none"),
                deductions(drill, table),
            ];
        }
        let less = false_acknowledgements(drill, table);
        let detection = if less > 0.0 {
            format!("{:.0} - {less:.0} for false acknowledgements", table.detection)
        } else {
            "no false acknowledgement".to_owned()
        };
        let detection = term(TermName::Detection, table.detection - less, table.detection, detection);
        let (diagnosis, tried) = diagnosis(drill, table);
        let (factor, harmless) = match drill.self_inflicted {
            Some(at) => (0.0, format!("requests failed after an own change, from {}", drill_time(at))),
            None => (1.0, "no request failed after an own change".to_owned()),
        };
        let mitigation = term(TermName::Mitigation, factor * table.mitigation, table.mitigation, harmless.clone());
        let resolution = term(TermName::Resolution, factor * table.resolution, table.resolution, harmless);
        let hints = hints(drill, (diagnosis.points, tried), (resolution.points, drill.clock));
        vec![detection, diagnosis, mitigation, resolution, updates(drill, table), hints, deductions(drill, table)]
    }

    /// The drill lasted until its fault would have come. With a fault, until its impact could no longer be expected.
    fn lasted(&self) -> bool {
        let drill = self.drill;
        let from = if drill.started.fault {
            drill.broken.map(|broken| broken + self.table.patience)
        } else {
            Some(drill.started.quiet)
        };
        from.is_some_and(|from| drill.clock >= from)
    }
}

fn false_acknowledgements(drill: &Drill, table: &Table) -> f64 {
    (count(drill.false_acknowledgements()) * table.false_acknowledgement).min(table.false_acknowledgements)
}

/// Term for the best try, and its time.
fn diagnosis(drill: &Drill, table: &Table) -> (Term, u64) {
    let mut best = (term(TermName::Diagnosis, 0.0, table.diagnosis[0], "no right diagnosis"), drill.clock);
    for (number, (one, full)) in drill.tries.iter().zip(table.diagnosis).enumerate() {
        let (factor, answer) = match one.answer {
            Answer::Right => (1.0, "right"),
            Answer::Partial => (table.partial, "one of two faults found"),
            Answer::Wrong => continue,
        };
        if full * factor > best.0.points {
            let formula = format!("{answer} at try {}", number + 1);
            best = (term(TermName::Diagnosis, full * factor, table.diagnosis[0], formula), one.at);
        }
    }
    best
}

/// Price of the hints. Each hint costs a share of what came after it, and all of them at most the points of the resolution.
fn hints(drill: &Drill, (diagnosis, tried): (f64, u64), (resolution, resolved): (f64, u64)) -> Term {
    let price = |before: u64| {
        let opened = drill.hints.iter().filter(|hint| hint.at < before);
        let costs = opened.filter_map(|opened| drill.started.brief.hints.get(opened.index));
        (costs.map(|hint| f64::from(hint.cost)).sum::<f64>() / 100.0).min(1.0)
    };
    let (first, second) = (price(tried), price(resolved));
    let less = (first * diagnosis + second * resolution).min(resolution);
    let formula = match (drill.hints.is_empty(), less > 0.0) {
        (true, _) => "none opened".to_owned(),
        (_, false) => "free".to_owned(),
        _ => format!("{:.0} % of the diagnosis, {:.0} % of the resolution", first * 100.0, second * 100.0),
    };
    term(TermName::Hints, -less, 0.0, formula)
}

fn updates(drill: &Drill, table: &Table) -> Term {
    let judged = updates::judge(drill);
    if judged.asked == 0 {
        return term(TermName::Updates, table.updates, table.updates, "nothing was asked");
    }
    let share = f64::from(judged.points) / f64::from(judged.asked);
    let formula = format!("{:.0} × {} of {}", table.updates, judged.points, judged.asked);
    term(TermName::Updates, table.updates * share, table.updates, formula)
}

fn deductions(drill: &Drill, table: &Table) -> Term {
    let wrong = drill.mistakes().count();
    let disclosed = updates::judge(drill).disclosed;
    let less = (count(wrong) * table.wrong_fix).min(table.wrong_fixes) + f64::from(disclosed) * table.secret;
    let formula = match (wrong, disclosed) {
        (0, 0) => "none".to_owned(),
        (wrong, 0) => format!("wrong fixes: {wrong}"),
        (0, disclosed) => format!("disclosed secrets: {disclosed}"),
        (wrong, disclosed) => format!("wrong fixes: {wrong}, disclosed secrets: {disclosed}"),
    };
    term(TermName::Deductions, -less, 0.0, formula)
}
