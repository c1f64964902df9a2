//! Verdicts that would be lost if a drill ended now.

use chrono::Utc;

use crate::lab::Lab;
use crate::lab::revisions::{Author, Outcome};
use lab_drill::fold::{Drill, Pending};

/// The next verdict of the drill in progress in a lab, if it is still pending. The lab's history has changes that the referee
/// has not seen yet. If it cannot be read, those of the log count.
pub fn pending(lab: &Lab, drill: &Drill) -> Option<Pending> {
    let age = || {
        let revisions = lab.revisions().ok()?;
        let made = revisions.iter().filter(|revision| {
            let is_by_hand = matches!(revision.author, Author::Hand { .. });
            is_by_hand && revision.outcome != Outcome::Failed && revision.at >= drill.at
        });
        let last = made.map(|revision| revision.at).max()?;
        Some((Utc::now() - last).num_milliseconds().max(0).unsigned_abs())
    };
    drill.pending(age())
}
