//! `wait`: waits for a fixed time.

use std::time::Duration;

use super::{Action, Amounts, Definition, Profile, Reading};
use crate::schema::{KeySpec, Shape, kinds};
use crate::value;

pub(super) static DEFINITION: Definition = Definition::new(
    KeySpec::new("wait", Shape::Scalar(kinds::STEP_DURATION), "waits for a fixed time", "500ms"),
    Reading::Scalar(|reader, text| reader.value("wait", text, value::step_duration).map(Action::Wait)),
);

pub(super) fn profile<'a>(time: Duration) -> Profile<'a> {
    let amounts = Amounts { seconds: Some(time.as_secs_f64()), ..Amounts::default() };
    Profile { amounts, ..Profile::observation() }
}

pub(super) fn describe(time: Duration) -> String {
    format!("for {time:?}")
}
