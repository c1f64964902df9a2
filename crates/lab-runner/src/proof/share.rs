//! [`Share`]: the runs of a proof that one lab executes, so that several labs prove a long scenario side by side.

use super::runs::{self, MissingClaims, ProofRun};
use super::{LESSON, Part, Proof, UNDONE};
use lab_scenario::Plan;

/// Which runs of a proof are executed in a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    index: usize,
    count: usize,
}

impl Share {
    /// All runs.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Distributes the runs of a proof evenly among at most `most` labs.
    ///
    /// # Errors
    /// If the scenario cannot be proved.
    pub fn split(plan: &Plan, most: usize) -> Result<Vec<Self>, MissingClaims> {
        // The last run belongs to every share: it shows that its lab is healthy in the end.
        let runs = runs::runs(plan)?.len() - 1;
        let count = most.clamp(1, runs.max(1));
        Ok((0..count).map(|index| Self { index, count }).collect())
    }

    /// Returns the runs of this share, with their numbers.
    pub(super) fn select(self, runs: Vec<ProofRun>) -> Vec<(usize, ProofRun)> {
        let last = runs.len().saturating_sub(1);
        let is_own = |number: &usize| *number == last || number % self.count == self.index;
        runs.into_iter().enumerate().filter(|(number, _)| is_own(number)).collect()
    }
}

impl Proof {
    /// Combines the shares of a proof, in the order of [`Share::split`]. The most severe outcome wins, and the longest duration
    /// counts. `None` without a share.
    pub fn merge(shares: Vec<Self>) -> Option<Self> {
        let parts = merge_parts(&shares.iter().map(|share| &share.parts[..]).collect::<Vec<_>>());
        let duration = shares.iter().map(|share| share.duration).fold(0.0, f64::max);
        let more_severe =
            |worst: Self, share: Self| if worst.exit.worse(share.exit) == worst.exit { worst } else { share };
        let worst = shares.into_iter().reduce(more_severe)?;
        Some(Self { duration, parts, ..worst })
    }
}

/// Returns the parts in the order of a proof in one lab. A share that was stopped has the first ones of its own.
fn merge_parts(shares: &[&[Part]]) -> Vec<Part> {
    let is_shared = |part: &&Part| part.name == LESSON || part.name == UNDONE;
    let mut merged: Vec<Part> =
        shares.iter().flat_map(|parts| parts.iter()).find(|part| part.name == LESSON).cloned().into_iter().collect();
    let mut own: Vec<_> = shares.iter().map(|parts| parts.iter().filter(|part| !is_shared(part))).collect();
    loop {
        let before = merged.len();
        merged.extend(own.iter_mut().filter_map(Iterator::next).cloned());
        if merged.len() == before {
            break;
        }
    }
    let undone = shares.iter().flat_map(|parts| parts.iter()).filter(|part| part.name == UNDONE).cloned();
    merged.extend(undone.reduce(|all, next| Part {
        passed: all.passed && next.passed,
        findings: [all.findings, next.findings].concat(),
        ..all
    }));
    merged
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use lab_core::error::Exit;

    fn part(name: &str, findings: &[&str]) -> Part {
        let findings: Vec<String> = findings.iter().map(|&finding| finding.to_owned()).collect();
        Part { name: name.to_owned(), passed: findings.is_empty(), findings }
    }

    fn share(status: Verdict, exit: Exit, duration: f64, parts: Vec<Part>) -> Proof {
        Proof { duration, parts, ..Proof::without("stop", status, exit, None) }
    }

    #[test]
    fn shares_are_merged_in_the_order_of_a_proof_in_one_lab() {
        let parts = |names: [&str; 3]| names.map(|name| part(name, &[])).to_vec();
        let first = share(Verdict::Proven, Exit::Passed, 2.0, parts(["healthy", "fixed", "undone"]));
        let mut second = share(Verdict::Proven, Exit::Passed, 3.0, parts(["broken", "wrong fix restart", "undone"]));
        let names = |proof: &Proof| proof.parts.iter().map(|part| part.name.clone()).collect::<Vec<_>>();
        let proof = Proof::merge(vec![first.clone(), second.clone()]).expect("two shares");
        assert_eq!(names(&proof), ["healthy", "broken", "fixed", "wrong fix restart", "undone"]);
        assert_eq!((proof.status, proof.exit, proof.duration), (Verdict::Proven, Exit::Passed, 3.0));

        second.parts =
            vec![part("broken", &["nothing is broken"]), part("undone", &["key apikey-v2 instead of apikey-v1"])];
        (second.status, second.exit) = (Verdict::NotProven, Exit::NotPassed);
        let proof = Proof::merge(vec![first, second]).expect("two shares");
        assert_eq!(names(&proof), ["healthy", "broken", "fixed", "undone"]);
        assert_eq!((proof.status, proof.exit), (Verdict::NotProven, Exit::NotPassed));
        assert_eq!(proof.parts[3].findings, ["key apikey-v2 instead of apikey-v1"]);
        assert!(!proof.parts[3].passed);
    }

    #[test]
    fn a_weakness_of_the_lesson_is_reported_once() {
        let shares = ["healthy", "broken"].map(|name| {
            let parts = vec![part("lesson", &["a hint gives it away"]), part(name, &[]), part("undone", &[])];
            share(Verdict::NotProven, Exit::NotPassed, 1.0, parts)
        });
        let proof = Proof::merge(shares.to_vec()).expect("two shares");
        let names: Vec<&str> = proof.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["lesson", "healthy", "broken", "undone"]);
    }

    #[test]
    fn the_most_severe_share_gives_the_status() {
        let failed = share(Verdict::Error, Exit::UndoIncomplete, 1.0, vec![part("healthy", &[])]);
        let failed = Proof { reason: Some("not every change could be reverted".to_owned()), ..failed };
        let interrupted = share(Verdict::Interrupted, Exit::Interrupted, 1.0, Vec::new());
        let proof = Proof::merge(vec![interrupted, failed.clone()]).expect("two shares");
        assert_eq!((proof.status, proof.exit, &proof.reason), (Verdict::Error, Exit::UndoIncomplete, &failed.reason));
        assert_eq!(Proof::merge(Vec::new()), None);
    }
}
