//! Verdicts that the referee cannot have given yet, although the participant may have done everything right. Who ends the drill
//! now loses their points.

use serde::Serialize;

use super::window::SECONDS;
use super::{Drill, Gap};

/// Time in milliseconds after a change in which it may still take effect.
const EFFECT: u64 = 10_000;
/// Time in milliseconds after a mitigation, or a change, in which its check ends.
const CHECK: u64 = 4000;

/// What the referee needs more time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "pending", rename_all = "snake_case")]
pub enum Pending {
    /// The last change may still take effect.
    Effect,
    /// The callers succeed again, but not for ten seconds yet.
    Window {
        /// Seconds so far.
        seconds: usize,
    },
    /// The callers have succeeded for long enough, and the fix is being checked.
    Check,
    /// The callers succeeded when the referee could last look at the lab.
    Sight,
}

impl Drill {
    /// The next verdict, if it is still pending. `changed` is the time in milliseconds since the last change of the participant,
    /// which may be missing in the log. Reveals nothing but what the participant sees.
    pub fn pending(&self, changed: Option<u64>) -> Option<Pending> {
        self.impact?;
        if self.ended.is_some() || self.resolved().is_some() {
            return None;
        }
        let logged = self.changes.last().map(|change| self.clock.saturating_sub(change.at));
        let changed = logged.into_iter().chain(changed).min().unwrap_or(u64::MAX);
        if let Some(mitigation) = self.mitigations().last().filter(|last| last.span.until.is_none()) {
            // The check of some incidents disturbs the callers, so drill time stands still.
            let known = self.clock.saturating_sub(mitigation.span.known);
            return (self.is_unknown() || known.min(changed) < CHECK).then_some(Pending::Check);
        }
        if self.is_unknown() {
            let succeeded = self.seconds.last().is_some_and(|second| self.heard.succeeds(second));
            return (succeeded || changed < EFFECT).then_some(Pending::Sight);
        }
        match self.successful_seconds() {
            0 => (changed < EFFECT).then_some(Pending::Effect),
            // No window follows from callers who succeed, but send too little.
            seconds if seconds > SECONDS => None,
            seconds => Some(Pending::Window { seconds }),
        }
    }

    /// Number of seconds without a failed request, up to now.
    fn successful_seconds(&self) -> usize {
        let since = self.gaps().last().map_or(0, Gap::end).max(self.impact.unwrap_or_default());
        let last = self.seconds.iter().rev().take_while(|second| second.begin() >= since);
        last.take_while(|second| self.heard.succeeds(second)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Ending;
    use crate::testing::Story;

    fn pending(story: &Story) -> Option<Pending> {
        story.drill().pending(None)
    }

    #[test]
    fn nothing_is_pending_before_a_change_and_after_the_last_verdict() {
        let story = Story::new().quiet(30);
        assert_eq!(pending(&story), None, "no impact");
        let story = story.inject().bad(20);
        assert_eq!(pending(&story), None, "requests fail, and nothing was changed");
        let story = story.change("app").bad(15);
        assert_eq!(pending(&story), None, "the change had no effect");
        let story = story.good(12).check();
        assert_eq!(pending(&story), None, "resolved");
        assert_eq!(story.drill().pending(Some(100)), None, "a resolution stays, whatever was changed since");
    }

    #[test]
    fn a_fix_is_pending_until_its_check() {
        let story = Story::new().quiet(30).inject().bad(20).change("app").bad(1);
        assert_eq!(pending(&story), Some(Pending::Effect));
        let story = story.good(4);
        assert_eq!(pending(&story), Some(Pending::Window { seconds: 4 }));
        assert_eq!(pending(&story.clone().bad(6)), None, "the requests fail again");
        assert_eq!(pending(&story.clone().end(Ending::Finished)), None);
        let story = story.good(6);
        assert_eq!(pending(&story), Some(Pending::Check));
        assert_eq!(
            pending(&story.clone().good(4)),
            None,
            "the check has failed by then, which is not repeated in the log"
        );
        assert_eq!(story.clone().good(4).drill().pending(Some(1000)), Some(Pending::Check), "another change");
        let checked = story.unknown(20);
        assert_eq!(pending(&checked), Some(Pending::Check), "drill time stands still during a check that disturbs");
        assert_eq!(pending(&checked.known().check()), None);
    }

    #[test]
    fn a_change_that_is_not_in_the_log_yet_counts() {
        let story = Story::new().quiet(30).inject().bad(20);
        assert_eq!(story.drill().pending(Some(9_999)), Some(Pending::Effect));
        assert_eq!(story.drill().pending(Some(10_000)), None);
    }

    #[test]
    fn callers_who_send_too_little_are_not_waited_for() {
        let story = Story::new().quiet(30).inject().bad(20).second(&[(5, 5), (5, 5)], 10);
        assert_eq!(pending(&story), Some(Pending::Window { seconds: 10 }));
        assert_eq!(pending(&story.second(&[(5, 5), (5, 5)], 1)), None);
    }

    #[test]
    fn a_referee_that_cannot_look_is_waited_for_if_the_callers_succeeded() {
        let story = Story::new().quiet(30).inject().bad(20);
        assert_eq!(pending(&story.clone().unknown(5)), None);
        let story = story.good(5).unknown(5);
        assert_eq!(pending(&story), Some(Pending::Sight));
        assert_eq!(pending(&story.known().good(2)), Some(Pending::Window { seconds: 2 }), "the window begins again");
    }
}
