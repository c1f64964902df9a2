//! What can go wrong, and which exit code it is. Modules have errors of their own; here they meet [`Exit`], the documented
//! interface to scripts and CI.

use std::fmt;

/// The process exit codes of `lab`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: it held, or there was nothing to judge.
    Held,
    /// 1: an expectation did not hold, or a fault had no effect.
    NotHeld,
    /// 2: wrong usage, or an invalid file.
    Usage,
    /// 3: the engine or the stack failed, there is no lab, its lock is held, or an undo is owed.
    Failed,
    /// 4: the undo is incomplete.
    UndoIncomplete,
    /// 130: interrupted (Ctrl-C), after the undo.
    Interrupted,
    /// 143: terminated (SIGTERM), after the undo.
    Terminated,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::NotHeld => 1,
            Self::Usage => 2,
            Self::Failed => 3,
            Self::UndoIncomplete => 4,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// Which of two outcomes is reported where both apply: 4, then 130 and 143, then 3, then 2, then 1.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if self.rank() >= other.rank() { self } else { other }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::NotHeld => 1,
            Self::Usage => 2,
            Self::Failed => 3,
            Self::Interrupted | Self::Terminated => 4,
            Self::UndoIncomplete => 5,
        }
    }
}

/// An error with what to do about it. `main` prints both and exits with `exit`.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong with what: fits after "failed to" or "error:".
    pub message: String,
    /// What to do next, where we know.
    pub hint: Option<String>,
}

impl Failure {
    /// Wrong usage, or an invalid file (exit 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), hint: None }
    }

    /// The engine, the stack or the machine failed (exit 3).
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into(), hint: None }
    }

    /// Adds what to do next.
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
        let order = [Exit::Held, Exit::NotHeld, Exit::Failed, Exit::Interrupted, Exit::UndoIncomplete];
        for pair in order.windows(2) {
            assert_eq!(pair[0].worse(pair[1]), pair[1]);
            assert_eq!(pair[1].worse(pair[0]), pair[1]);
        }
    }
}
