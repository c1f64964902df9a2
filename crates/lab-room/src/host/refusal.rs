//! [`Refusal`]: why an action was not done.

use std::time::Duration;

use crate::config::SeatNumber;

/// Why an action was not done. The text is for the person who tried it. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A part of the request is missing or wrong.
    #[error("{0}")]
    Invalid(String),
    /// It does not fit the state of the room.
    #[error("{0}")]
    Conflict(String),
    /// It needs a confirmation.
    #[error("{0}")]
    Unconfirmed(String),
    /// No seat has this number.
    #[error("there is no seat {0}")]
    NoSeat(SeatNumber),
    /// No seat has this code.
    #[error("no seat has this code; look at your card, or ask your trainer")]
    WrongCode,
    /// Too many attempts.
    #[error("too many attempts; try again in {} s", .0.as_secs() + 1)]
    TooMany(Duration),
    /// It cannot be made durable.
    #[error("it cannot be saved, so nothing was changed: {0}")]
    Unsaved(String),
    /// A lab failed.
    #[error("{0}")]
    Lab(String),
}

impl Refusal {
    pub(super) fn conflict(text: impl Into<String>) -> Self {
        Self::Conflict(text.into())
    }

    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}
