//! Warnings before an update is sent: secrets, estimates of the resolution, and internals that do not belong to customers.

use std::sync::LazyLock;

use lab_core::event::{MASK, Secrets};
use regex::Regex;
use serde::Serialize;

use crate::event::{Audience, Update};

/// What is wrong with a part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A secret, such as a key.
    Secret,
    /// An estimate of the resolution, such as `in 10 minutes`.
    Estimate,
    /// The name of a variable, host or component.
    Internal,
}

/// A part of a text that should not be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What is wrong.
    pub kind: Kind,
    /// The part of the text. Secrets are masked.
    pub text: String,
}

impl Warning {
    /// The reason not to send it, as a sentence without its period.
    pub fn reason(&self) -> String {
        let Self { kind, text } = self;
        match kind {
            Kind::Secret => "it has a secret".to_owned(),
            Kind::Estimate => format!("{text:?} is an estimate, and customers will hold you to it"),
            Kind::Internal => format!("{text:?} is internal and means nothing to customers"),
        }
    }
}

/// A promise of the next update is no estimate of the resolution.
static UPDATE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(updates?|write again|be in touch|get back to you|report back|hear from us)\b"));
static ESTIMATE: LazyLock<Regex> = LazyLock::new(|| {
    // Spaces have no meaning in the pattern below.
    let words = |text: &str| text.replace(' ', r"\s+");
    let count =
        words(r"(\d+([.,]\d+)?|an?|half an?|one|two|three|five|ten|fifteen|twenty|thirty|a few|a couple of|some)");
    let unit = r"(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|days?|moments?)";
    let about = words(r"(about|around|roughly|approximately|approx\.?|at most|less than|under|the next)");
    let day = words(r"(noon|midnight|tonight|tomorrow|today|end of day|eod|(mon|tues|wednes|thurs|fri|satur|sun)day)");
    pattern(&format!(
        r"(?ix) \b(in|within)\s+({about}\s+)?{count}\s*-?\s*{unit}\b
              | \bwithin\s+the\s+(next\s+)?(minute|hour|day)\b
              | \b(by|until|before|around|at\s+about)\s+(\d{{1,2}}[:.]\d{{2}}|\d{{1,2}}\s*(am|pm)|{day})\b
              | \b(soon|shortly|any\s+(minute|moment)|momentarily)\b
              | \bETA\b",
    ))
});
static INTERNAL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x) \b[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\b                              # a variable
             | \b[a-z][a-z0-9]*(_[a-z0-9]+)+\b                              # a metric or a column
             | \b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b                             # an address
             | \b[a-z][a-z0-9-]*(\.[a-z0-9-]+)*:\d{2,5}\b                   # a host with its port
             | \b[a-z0-9-]+(\.[a-z0-9-]+)*\.(internal|local|svc|lan)\b      # a host
             | \b[a-z]*key-v?\d+\b                                          # a key, also of another lab
             | (^|\s)/(etc|var|tmp|opt|usr|home|root)/\S*                   # a file
             | (?i:\b(localhost|nginx|postgres(ql)?|sqlite|prometheus|grafana|docker|kubernetes)\b)",
    )
});

fn pattern(text: &str) -> Regex {
    #[expect(clippy::expect_used, reason = "the patterns are fixed and tested")]
    Regex::new(text).expect("a valid pattern")
}

/// What should not be sent to `to`: first secrets, then estimates, then internals. Internals may be sent to colleagues.
pub fn warnings(to: Audience, text: &str, secrets: &Secrets) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let masks = |text: &str| text.matches(MASK).count();
    // The writer may have typed masks.
    let typed = masks(text);
    // A secret is not reported a second time as an internal.
    let text = secrets.mask(text);
    warnings.extend((typed..masks(&text)).map(|_| warning(Kind::Secret, MASK)));
    let sentences = text.split_inclusive(['!', '?', ';', '\n']).flat_map(|part| part.split_inclusive(". "));
    for sentence in sentences.filter(|sentence| !UPDATE.is_match(sentence)) {
        warnings.extend(ESTIMATE.find_iter(sentence).map(|found| warning(Kind::Estimate, found.as_str())));
    }
    if to == Audience::Customers {
        warnings.extend(INTERNAL.find_iter(&text).map(|found| warning(Kind::Internal, found.as_str())));
    }
    warnings
}

/// Returns the warnings for an update, and masks its secrets: the log has only their number.
pub fn conceal(update: &mut Update, secrets: &Secrets) -> Vec<Warning> {
    let found = warnings(update.to, &update.text, secrets);
    let disclosed = found.iter().filter(|warning| warning.kind == Kind::Secret).count();
    update.disclosed = u32::try_from(disclosed).unwrap_or(u32::MAX);
    update.text = secrets.mask(&update.text);
    found
}

fn warning(kind: Kind, text: &str) -> Warning {
    Warning { kind, text: text.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(to: Audience, text: &str) -> Vec<(Kind, String)> {
        let mut secrets = Secrets::default();
        secrets.add("apikey-v2");
        warnings(to, text, &secrets).into_iter().map(|warning| (warning.kind, warning.text)).collect()
    }

    #[test]
    fn estimates_of_the_resolution_are_found() {
        for (text, estimate) in [
            ("We expect a fix in 10 minutes.", "in 10 minutes"),
            ("It will work again in about half an hour", "in about half an hour"),
            ("Fixed within the next 2h", "within the next 2h"),
            ("All should be fine by 10:30.", "by 10:30"),
            ("Back by noon", "by noon"),
            ("It works again before 3 pm", "before 3 pm"),
            ("It will be over soon", "soon"),
            ("ETA unknown", "ETA"),
            ("within the hour", "within the hour"),
        ] {
            assert_eq!(found(Audience::Internal, text), [(Kind::Estimate, estimate.to_owned())], "{text}");
        }
    }

    #[test]
    fn a_promised_update_and_the_past_are_no_estimates() {
        for text in [
            "We will send the next update in 10 minutes.",
            "You will hear from us by 10:30",
            "Requests have failed for 10 minutes, since 10:05.",
            "In the last 10 minutes a third of the requests failed.",
            "We are looking into it; customers get an error in their reports.",
            "Requests to /api/users are rejected.",
            "",
        ] {
            assert_eq!(found(Audience::Customers, text), [], "{text}");
        }
    }

    #[test]
    fn internals_are_found_for_customers_only() {
        for (text, internal) in [
            ("APP_DB_POOL was too low", "APP_DB_POOL"),
            ("app_requests_total is flat", "app_requests_total"),
            ("10.0.3.4:8000 does not answer", "10.0.3.4:8000"),
            ("the process at app:8000 hangs", "app:8000"),
            ("db.internal hangs", "db.internal"),
            ("Nginx rejects requests", "Nginx"),
            ("see /var/log/messages", "/var/log/messages"),
            ("take apikey-v1 instead", "apikey-v1"),
        ] {
            assert_eq!(found(Audience::Customers, text), [(Kind::Internal, internal.to_owned())], "{text}");
            assert_eq!(found(Audience::Internal, text), [], "{text}");
        }
    }

    #[test]
    fn the_secrets_of_an_update_are_counted_and_masked() {
        let mut secrets = Secrets::default();
        secrets.add("apikey-v2");
        let mut update =
            crate::testing::update(crate::event::ClaimedState::Resolved, crate::event::Affected::Nobody, None);
        update.text = "Fixed soon with apikey-v2.".to_owned();
        let reasons: Vec<String> = conceal(&mut update, &secrets).iter().map(Warning::reason).collect();
        let estimate = "\"soon\" is an estimate, and customers will hold you to it";
        assert_eq!(reasons, ["it has a secret", estimate]);
        assert_eq!((update.text.as_str(), update.disclosed), ("Fixed soon with ***.", 1));
    }

    #[test]
    fn secrets_are_found_and_not_repeated() {
        let warnings = found(Audience::Customers, "Use apikey-v2 instead of apikey-v2.");
        let secret = (Kind::Secret, "***".to_owned());
        assert_eq!(warnings, [secret.clone(), secret]);
        assert_eq!(found(Audience::Customers, "we replaced key ***"), []);
    }
}
