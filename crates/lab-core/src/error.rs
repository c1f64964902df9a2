//! Exit codes, the documented interface to scripts and CI, and [`Failure`], which carries one. Crates have their own
//! error types; the binary converts them.

use std::fmt;

/// Process exit codes of `lab`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: passed, or nothing to evaluate.
    Passed,
    /// 1: an expectation failed, or a fault had no effect.
    NotPassed,
    /// 2: wrong usage or an invalid file.
    Usage,
    /// 3: the engine or the stack failed, the lab does not exist or is locked, or an undo is pending.
    Failed,
    /// 4: the undo is incomplete.
    UndoIncomplete,
    /// 130: interrupted (Ctrl-C), after the undo.
    Interrupted,
    /// 143: terminated (SIGTERM), after the undo.
    Terminated,
}

impl Exit {
    /// Exit status seen by the shell.
    pub fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::NotPassed => 1,
            Self::Usage => 2,
            Self::Failed => 3,
            Self::UndoIncomplete => 4,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// Combines two outcomes; the more severe one wins: 4, then 130 and 143, then 3, 2 and 1.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if self.rank() >= other.rank() { self } else { other }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::NotPassed => 1,
            Self::Usage => 2,
            Self::Failed => 3,
            Self::Interrupted | Self::Terminated => 4,
            Self::UndoIncomplete => 5,
        }
    }
}

/// An error with a hint. `main` prints both and exits with `exit`.
#[derive(Debug)]
pub struct Failure {
    /// Exit code of the process.
    pub exit: Exit,
    /// Error message; reads well after "failed to" or "error:".
    pub message: String,
    /// Suggested next step.
    pub hint: Option<String>,
}

impl Failure {
    /// Wrong usage or an invalid file (exit 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), hint: None }
    }

    /// The engine, the stack or the machine failed (exit 3).
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into(), hint: None }
    }

    /// Adds a suggested next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_worst_outcome_wins() {
        let order = [Exit::Passed, Exit::NotPassed, Exit::Failed, Exit::Interrupted, Exit::UndoIncomplete];
        for pair in order.windows(2) {
            assert_eq!(pair[0].worse(pair[1]), pair[1]);
            assert_eq!(pair[1].worse(pair[0]), pair[1]);
        }
    }
}
