//! [`Statistics`]: how a whole room did in one drill.

use std::collections::BTreeMap;

use lab_drill::event::Ending;
use lab_drill::fold::{Answer, Drill};
use lab_drill::score::Score;
use serde::Serialize;

use crate::state::State;

/// Name of a phase.
pub const ACKNOWLEDGED: &str = "acknowledged";
/// Name of a phase.
pub const DIAGNOSED: &str = "right diagnosis";
/// Name of a phase.
pub const MITIGATED: &str = "users served";
/// Name of a phase.
pub const RESOLVED: &str = "cause removed";
/// Number of ranges of points in [`Statistics::points`].
pub const RANGES: usize = 10;

/// How a room did in one drill. Times count from the first failed request, in milliseconds of drill time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Statistics {
    /// Seats with a drill.
    pub seats: usize,
    /// Seats that finished on their own.
    pub finished: usize,
    /// Times of each phase, in order.
    pub phases: Vec<Phase>,
    /// The hints of the incident, in order.
    pub hints: Vec<HintUse>,
    /// Named wrong fixes that were made, the most frequent one first.
    pub wrong_fixes: Vec<WrongFixUse>,
    /// Seats by points: below 10, below 20, and so on; the last range has 100.
    pub points: [usize; RANGES],
    /// Points of all seats.
    pub score: Option<Spread<f64>>,
}

/// Times of one phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phase {
    /// Its name, such as `acknowledged`.
    pub name: &'static str,
    /// Seats that reached it.
    pub reached: usize,
    /// Time in which an experienced person reaches it.
    pub par: Option<u64>,
    /// Times of those that reached it.
    pub time: Option<Spread<u64>>,
}

/// Spread of some values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread<T> {
    /// Least value.
    pub least: T,
    /// A quarter of the values is not above it.
    pub lower: T,
    /// Half of the values are not above it.
    pub median: T,
    /// Three quarters of the values are not above it.
    pub upper: T,
    /// Greatest value.
    pub greatest: T,
}

/// Use of a hint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HintUse {
    /// What it is about.
    pub about: String,
    /// Seats that opened it.
    pub opened: usize,
    /// Seats that came a step further after it and before the next hint: to the right diagnosis, the mitigation or the
    /// resolution.
    pub helped: usize,
    /// Median of the times until that step.
    pub after: Option<u64>,
}

/// How often a named wrong fix was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrongFixUse {
    /// Its name.
    pub name: String,
    /// Why it does not help.
    pub why: String,
    /// Seats that made it.
    pub seats: usize,
}

impl<T: Copy> Spread<T> {
    /// Spread of values that are sorted. `None` without any.
    fn new(sorted: &[T]) -> Option<Self> {
        let last = sorted.len().checked_sub(1)?;
        // The nearest rank, so that each figure is the value of a seat.
        let at = |quarters: usize| sorted[((sorted.len() * quarters).div_ceil(4)).saturating_sub(1).min(last)];
        Some(Self { least: sorted[0], lower: at(1), median: at(2), upper: at(3), greatest: sorted[last] })
    }
}

impl Statistics {
    /// A phase by its name.
    pub fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.name == name)
    }

    /// Statistics of a drill of the room, by its index.
    pub fn new(state: &State<'_>, index: usize) -> Self {
        let played = state.room.seats.values().filter_map(|seat| {
            let seat_drill = seat.drill_of(index)?;
            state.drills.get(&seat_drill.id)
        });
        Self::from_drills(&played.collect::<Vec<_>>())
    }

    fn from_drills(drills: &[&Drill]) -> Self {
        let finished = drills.iter().filter(|drill| drill.ended.is_some_and(|end| end.by == Ending::Finished)).count();
        let mut scores: Vec<f64> = drills.iter().filter_map(|drill| Some(Score::new(drill).ok()?.points)).collect();
        scores.sort_by(f64::total_cmp);
        let mut points = [0; RANGES];
        for score in &scores {
            let range = (1..RANGES).rev().find(|range| *score >= 10.0 * f64::from(u32::try_from(*range).unwrap_or(0)));
            points[range.unwrap_or(0)] += 1;
        }
        Self {
            seats: drills.len(),
            finished,
            phases: phases(drills),
            hints: hints(drills),
            wrong_fixes: wrong_fixes(drills),
            points,
            score: Spread::new(&scores),
        }
    }
}

fn right(drill: &Drill) -> Option<u64> {
    drill.tries.iter().find(|one| one.answer == Answer::Right).map(|one| one.at)
}

fn phases(drills: &[&Drill]) -> Vec<Phase> {
    let par = drills.first().map(|drill| drill.started.brief.par);
    let milliseconds = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let phase = |name, par: Option<std::time::Duration>, at: fn(&Drill) -> Option<u64>| {
        let times = drills.iter().filter_map(|drill| Some(at(drill)?.saturating_sub(drill.impact?)));
        let mut times: Vec<u64> = times.collect();
        times.sort_unstable();
        Phase { name, reached: times.len(), par: par.map(milliseconds), time: Spread::new(&times) }
    };
    vec![
        phase(ACKNOWLEDGED, par.map(|par| par.detect), Drill::acknowledged),
        phase(DIAGNOSED, None, right),
        phase(MITIGATED, par.map(|par| par.mitigate), Drill::mitigated),
        phase(RESOLVED, par.map(|par| par.resolve), Drill::resolved),
    ]
}

fn hints(drills: &[&Drill]) -> Vec<HintUse> {
    let Some(first) = drills.first() else { return Vec::new() };
    let uses = first.started.brief.hints.iter().enumerate().map(|(index, hint)| {
        let opened =
            || drills.iter().filter_map(|drill| Some((drill, drill.hints.iter().find(|hint| hint.index == index)?.at)));
        let mut steps: Vec<u64> = opened().filter_map(|(drill, at)| step_after(drill, at)).collect();
        steps.sort_unstable();
        let after = Spread::new(&steps).map(|spread| spread.median);
        HintUse { about: hint.about.clone(), opened: opened().count(), helped: steps.len(), after }
    });
    uses.collect()
}

/// Time from the opening of a hint to the next step forward, if no other hint was opened before it.
fn step_after(drill: &Drill, at: u64) -> Option<u64> {
    let next_hint = drill.hints.iter().map(|hint| hint.at).find(|other| *other > at).unwrap_or(u64::MAX);
    let steps = [right(drill), drill.mitigated(), drill.resolved()];
    let step = steps.into_iter().flatten().filter(|step| *step >= at && *step <= next_hint).min()?;
    Some(step - at)
}

fn wrong_fixes(drills: &[&Drill]) -> Vec<WrongFixUse> {
    let mut seats: BTreeMap<&str, usize> = BTreeMap::new();
    for fix in drills.iter().flat_map(|drill| drill.mistakes()) {
        *seats.entry(&fix.name).or_default() += 1;
    }
    let known = drills.iter().flat_map(|drill| &drill.started.brief.wrong_fixes).collect::<Vec<_>>();
    let why = |name: &str| known.iter().find(|fix| fix.name == name).map(|fix| fix.why.clone()).unwrap_or_default();
    let uses = seats.into_iter().map(|(name, seats)| WrongFixUse { name: name.to_owned(), why: why(name), seats });
    let mut uses: Vec<WrongFixUse> = uses.collect();
    uses.sort_by_key(|fix| std::cmp::Reverse(fix.seats));
    uses
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_spread_has_values_in_order(mut values in prop::collection::vec(0_u64..1000, 1..40)) {
            values.sort_unstable();
            let Spread { least, lower, median, upper, greatest } = Spread::new(&values).unwrap();
            prop_assert!(least <= lower && lower <= median && median <= upper && upper <= greatest);
            for (value, quarters) in [(lower, 1), (median, 2), (upper, 3)] {
                let not_above = values.iter().filter(|other| **other <= value).count();
                prop_assert!(values.contains(&value) && not_above * 4 >= values.len() * quarters);
            }
        }
    }

    #[test]
    fn nothing_has_no_spread() {
        assert_eq!(Spread::<u64>::new(&[]), None);
    }
}
