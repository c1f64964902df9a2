//! [`Fields`]: the fields of a form.

use std::time::Duration;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::FORM;
use super::answer::problem;
use crate::config::SeatNumber;
use crate::host::Refusal;
use lab_system::duration::parts;

/// Units of times. Without a unit, the unit of the field counts.
const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// The fields of a form. A field that is empty counts as missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(pub(super) Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (headers, path) = (request.headers().clone(), request.uri().path().to_owned());
        match Form::from_request(request, state).await {
            Ok(Form(pairs)) => Ok(Self(pairs)),
            Err(rejection) => Err(unreadable(&headers, &path, &rejection)),
        }
    }
}

/// Answers a request whose body is not a form of these pages.
fn unreadable(headers: &HeaderMap, path: &str, rejection: &FormRejection) -> Response {
    let text = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => format!("the form is too large; at most {} KiB fit", FORM >> 10),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "a form must be sent as application/x-www-form-urlencoded".to_owned(),
        _ => format!("the form cannot be read: {}", rejection.body_text()),
    };
    let back = ["/desk", "/seat"].into_iter().find(|page| path.starts_with(page)).unwrap_or("/");
    problem(headers, rejection.status(), ("That did not work", &text), back)
}

impl Fields {
    /// Value of a field, without spaces around it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.all(name);
        values.next()
    }

    /// Values of a field that may occur more than once.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::Invalid(format!("{name:?} is missing")))
    }

    /// A switch, which is off if it is missing.
    pub(super) fn switch(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None | Some("false" | "no" | "off") => Ok(false),
            Some("true" | "yes" | "on") => Ok(true),
            Some(other) => Err(Refusal::Invalid(format!("{name:?} must be true or false, got {other:?}"))),
        }
    }

    /// Returns true if the person was asked and confirmed it.
    pub(super) fn is_confirmed(&self) -> bool {
        self.get("confirm") == Some("yes")
    }

    /// Number of a seat. `None` is all of them.
    pub(super) fn seat(&self) -> Result<Option<SeatNumber>, Refusal> {
        let number = |text: &str| text.parse().map_err(|_| Refusal::Invalid(format!("unknown seat {text:?}")));
        self.get("seat").map(number).transpose()
    }

    pub(super) fn required_seat(&self) -> Result<SeatNumber, Refusal> {
        self.seat()?.ok_or_else(|| Refusal::Invalid("choose a seat".to_owned()))
    }

    /// A time: a number of `unit`, or a number with a unit, such as `90s`.
    pub(super) fn time(&self, name: &str, unit: Duration) -> Result<Option<Duration>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let seconds = match text.parse::<f64>() {
            Ok(number) => Some(number * unit.as_secs_f64()),
            Err(_) => parts(text, &UNITS).and_then(|parts| {
                parts.into_iter().try_fold(0.0, |sum, (number, unit)| Some(sum + number.parse::<f64>().ok()? * unit))
            }),
        };
        let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let wrong = || Refusal::Invalid(format!("{name:?} must be a time such as 90s or 5m, got {text:?}"));
        time.map(Some).ok_or_else(wrong)
    }

    /// One of the names of a type.
    pub(super) fn named<T: DeserializeOwned>(&self, name: &str) -> Result<T, Refusal> {
        let text = self.required(name)?;
        let wrong = |_| Refusal::Invalid(format!("{name:?} cannot be {text:?}"));
        serde_json::from_value(Value::String(text.to_owned())).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_drill::event::ClaimedState;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn times_have_the_unit_of_their_field_or_their_own() {
        let minute = Duration::from_mins(1);
        for (text, seconds) in [("5", 300), ("90s", 90), ("1m30s", 90), (" 2h ", 7200), ("0", 0)] {
            let time = fields(&[("limit", text)]).time("limit", minute);
            assert_eq!(time, Ok(Some(Duration::from_secs(seconds))), "{text}");
        }
        for wrong in ["-1", "five", "5 m", "1e400", "NaN", "inf", "9999999999999999999999h"] {
            assert!(fields(&[("limit", wrong)]).time("limit", minute).is_err(), "{wrong}");
        }
        assert_eq!(fields(&[("limit", " ")]).time("limit", minute), Ok(None));
    }

    #[test]
    fn seats_switches_and_names_are_checked() {
        let form = fields(&[("seat", "7"), ("up", "true"), ("state", "resolved"), ("wrong", "x")]);
        assert_eq!((form.seat(), form.switch("up"), form.switch("down")), (Ok(Some(7)), Ok(true), Ok(false)));
        assert_eq!(form.named::<ClaimedState>("state"), Ok(ClaimedState::Resolved));
        assert!(form.named::<ClaimedState>("wrong").is_err() && form.switch("wrong").is_err());
        assert!(fields(&[("seat", "-1")]).seat().is_err() && fields(&[]).required_seat().is_err());
    }
}
