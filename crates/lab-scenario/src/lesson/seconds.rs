//! Serialises a duration as a number of seconds, as the journal does.

use std::time::Duration;

use serde::Serializer;

pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
