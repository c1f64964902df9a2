//! Parsers for the values of drills.

use std::time::Duration;

use super::{duration, line};
use crate::Expected;
use crate::limits::limit;
use lab_core::diagnosis::{Cause, Location};
use lab_yaml::{did_you_mean, quote_list};

/// Parses the delay of an inject; it can be 0.
pub fn delay(text: &str) -> Result<Duration, Expected> {
    let delay = duration(text)?;
    if delay > Duration::from_mins(limit!(delay)) {
        return Err(Expected::new(concat!("expected at most ", limit!(delay), "m")));
    }
    Ok(delay)
}

/// Parses a whole number of percent: 0 to 100.
pub fn percent(text: &str) -> Result<u8, Expected> {
    match text.parse::<u8>() {
        Ok(percent) if percent <= 100 && !text.starts_with('+') => Ok(percent),
        _ => Err(Expected::new("expected a whole number of percent from 0 to 100")),
    }
}

/// Parses the first half of a diagnosis.
pub fn location(text: &str) -> Result<Location, Expected> {
    Location::from_name(text).ok_or_else(|| unknown_choice(text, &Location::ALL.map(Location::name)))
}

/// Parses the second half of a diagnosis.
pub fn cause(text: &str) -> Result<Cause, Expected> {
    Cause::from_name(text).ok_or_else(|| unknown_choice(text, &Cause::ALL.map(Cause::name)))
}

/// Like [`location`], but accepts what [`Location::from_typed`] does. For command lines.
pub fn typed_location(text: &str) -> Result<Location, Expected> {
    Location::from_typed(text).map_or_else(|| location(text), Ok)
}

/// Like [`cause`], but accepts what [`Cause::from_typed`] does. For command lines.
pub fn typed_cause(text: &str) -> Result<Cause, Expected> {
    Cause::from_typed(text).map_or_else(|| cause(text), Ok)
}

fn unknown_choice(text: &str, names: &[&'static str]) -> Expected {
    let all = || quote_list(names.iter().copied());
    Expected::new(did_you_mean(text, names.iter().copied(), &format!("expected one of {}", all())))
}

/// Parses the sender of a message: one short line.
pub fn sender(text: &str) -> Result<String, Expected> {
    let text = line(text)?;
    if text.chars().count() > 60 { Err(Expected::new("expected at most 60 characters")) } else { Ok(text) }
}
