//! [`Curve`]: how many seats' users are served over drill time. Drill time starts for each seat when its drill begins and
//! leaves pauses out, so seats that joined late are comparable.

use lab_drill::fold::Drill;

use super::{second_share, serves};

/// Maximum number of steps.
const STEPS: usize = 120;
/// Minimum length of a step in milliseconds of drill time.
const SHORTEST: u64 = 1000;

/// Seats in one step of drill time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Seats whose users are served.
    pub served: usize,
    /// Seats whose users fail.
    pub failing: usize,
}

/// Number of seats whose users are served, over drill time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curve {
    /// Length of a step in milliseconds.
    pub step: u64,
    /// The steps.
    pub steps: Vec<Step>,
    /// The last state of every seat. The last step has only those that have come so far.
    pub now: Step,
    /// Number of seats. Those without any request so far are neither served nor failing.
    pub seats: usize,
}

impl Curve {
    /// Curve of the drills of a room's drill. A drill that is over keeps its last state; one that has not come so far does not
    /// count yet.
    pub fn new<'a>(drills: impl IntoIterator<Item = &'a Drill>) -> Self {
        let drills: Vec<&Drill> = drills.into_iter().collect();
        let end = drills.iter().map(|drill| drill.clock).max().unwrap_or_default();
        let step = (end / STEPS as u64).max(SHORTEST).next_multiple_of(SHORTEST);
        let count = usize::try_from(end / step).unwrap_or_default();
        let mut steps = vec![Step::default(); count];
        let mut now = Step::default();
        for drill in &drills {
            let states = states(drill, step, count);
            now.add(states.iter().rev().copied().find(Option::is_some).flatten());
            for (sum, state) in steps.iter_mut().zip(states) {
                sum.add(state);
            }
        }
        Self { step, steps, now, seats: drills.len() }
    }
}

impl Step {
    /// Counts a seat, by whether its users are served.
    fn add(&mut self, served: Option<bool>) {
        match served {
            Some(true) => self.served += 1,
            Some(false) => self.failing += 1,
            None => {}
        }
    }
}

/// Whether the users of a drill are served in each step. `None` before the first second and after the last one.
fn states(drill: &Drill, step: u64, count: usize) -> Vec<Option<bool>> {
    let mut states = vec![None; count];
    for second in &drill.seconds {
        let index = usize::try_from(second.at.saturating_sub(1) / step).unwrap_or(usize::MAX);
        if let Some(state) = states.get_mut(index) {
            let served = serves(second_share(drill, second));
            // One bad second makes a step bad.
            *state = Some(state.unwrap_or(true) && served);
        }
    }
    if drill.ended.is_some() {
        let last = states.iter().rposition(Option::is_some);
        if let Some(last) = last {
            let state = states[last];
            states[last + 1..].fill(state);
        }
    }
    states
}
