//! Times in which the referee cannot look, or in which the drill is paused. They do not count.

use std::time::Duration;

use super::Referee;
use crate::drill::DrillError;
use lab_drill::event::Event;

impl Referee {
    /// A gap in which this process did not run does not count.
    pub(super) fn leave_out(&mut self, gap: Duration) -> Result<(), DrillError> {
        self.clock.leave_out(gap);
        if self.drill.is_unknown() {
            return Ok(());
        }
        self.write(Event::Unknown { reason: "the referee did not run".to_owned() })?;
        self.write(Event::Known)
    }

    pub(super) fn lose_sight(&mut self, reason: &str) -> Result<(), DrillError> {
        if self.drill.is_unknown() {
            return Ok(());
        }
        self.write(Event::Unknown { reason: reason.to_owned() })?;
        self.clock.stop();
        Ok(())
    }

    /// Continues, unless the drill is paused.
    pub(super) fn regain_sight(&mut self) -> Result<(), DrillError> {
        if self.pause.is_on() {
            return Ok(());
        }
        self.clock.start();
        if self.drill.is_unknown() { self.write(Event::Known) } else { Ok(()) }
    }

    /// Pauses the drill, or lets it go on.
    pub(super) fn follow_pause(&mut self) -> Result<(), DrillError> {
        if self.pause.is_on() {
            return self.lose_sight("paused");
        }
        // A lab that did not answer in the meantime is looked at first.
        if self.failed_looks == 0 && self.drill.is_unknown() { self.regain_sight() } else { Ok(()) }
    }
}
