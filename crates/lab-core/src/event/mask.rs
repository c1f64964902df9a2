//! Masks secrets in events. Passwords in URLs are masked even if nothing marks them as secret. All events are masked
//! here, so a new text field of an event must be handled here too.

use std::fmt;
use std::ops::Range;

mod forms;

use forms::Needle;

use super::{
    AlertChanged, EventKind, ExpectationResult, Keys, Logged, RunFinished, RunStarted, StepFinished, StepResult,
    StepStarted, Undo, UndoItem, UndoTarget,
};

/// Replacement text for a secret.
pub const MASK: &str = "***";

/// Values of parameters marked `secret`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    values: Vec<Needle>,
}

// Implemented by hand so that secrets are never printed by accident.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.values.len())
    }
}

impl Secrets {
    /// Adds a secret. Empty values and duplicates are ignored.
    pub fn add(&mut self, value: &str) {
        if !value.is_empty() && !self.values.iter().any(|known| known.text == value) {
            self.values.push(Needle::new(value));
        }
    }

    /// Adds all secrets of another set.
    pub fn extend(&mut self, other: &Self) {
        other.values.iter().for_each(|value| self.add(&value.text));
    }

    /// Returns true if there is no secret to mask.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns whether the text contains a secret, plain or encoded.
    pub fn are_in(&self, text: &str) -> bool {
        !self.places(text).is_empty()
    }

    /// Replaces each secret and each URL password with [`MASK`]. Escaped and encoded forms of a secret are replaced
    /// too.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for place in self.places(text) {
            masked.push_str(&text[end..place.start]);
            masked.push_str(MASK);
            end = place.end;
        }
        masked.push_str(&text[end..]);
        without_passwords(&masked)
    }

    /// Masks a text in place.
    pub fn hide(&self, text: &mut String) {
        if !self.is_empty() || text.contains("://") {
            *text = self.mask(text);
        }
    }

    /// Ranges of the secrets in a text, sorted, with overlapping ranges merged.
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for value in &self.values {
            value.find(text, &mut found);
        }
        found.sort_unstable_by_key(|place| (place.start, place.end));
        found.dedup_by(|next, place| {
            let overlap = next.start < place.end;
            if overlap {
                place.end = place.end.max(next.end);
            }
            overlap
        });
        found
    }
}

/// Masks the password of each URL: `postgres://lab:***@db:5432/postgres`.
fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for rest in parts {
        masked.push_str("://");
        let authority = rest.split(|c: char| c.is_whitespace() || "/?#\"'`".contains(c)).next().unwrap_or_default();
        let secret = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
        match secret {
            Some((name, password)) if !password.is_empty() => {
                masked.extend([name, ":", MASK, &rest[name.len() + 1 + password.len()..]]);
            }
            _ => masked.push_str(rest),
        }
    }
    masked
}

fn some(text: &mut Option<String>, secrets: &Secrets) {
    if let Some(text) = text {
        secrets.hide(text);
    }
}

impl EventKind {
    /// Masks every text that may contain a secret. Step names are exempt: a scenario with a secret in a step name is
    /// rejected on load.
    pub fn mask(&mut self, secrets: &Secrets) {
        match self {
            Self::RunStarted(run) => run_started(run, secrets),
            Self::StepStarted(StepStarted { .. }) | Self::UndoStarted { items: _ } => {}
            Self::StepFinished(step) => {
                let StepFinished { index: _, result } = step.as_mut();
                step_result(result, secrets);
            }
            Self::Notice { message } => secrets.hide(message),
            Self::Alert(AlertChanged { name: _, state: _, since: _, severity: _, summary }) => secrets.hide(summary),
            Self::Logged(Logged { service: _, step: _, written: _, text }) => secrets.hide(text),
            Self::UndoItem(item) => item.mask(secrets),
            Self::RunFinished(run) => run_finished(run, secrets),
        }
    }
}

impl UndoItem {
    /// Masks the value and the error.
    pub fn mask(&mut self, secrets: &Secrets) {
        let Self { target, status: _, error } = self;
        target.mask(secrets);
        some(error, secrets);
    }
}

impl UndoTarget {
    fn mask(&mut self, secrets: &Secrets) {
        match self {
            Self::Variable { service: _, name: _, value } => some(value, secrets),
            Self::ServerKey { service: _, variable: _, key } | Self::NamedCallerKey { caller: _, key } => {
                some(key, secrets);
            }
            Self::CallerKey { key } => secrets.hide(key),
            Self::RunState { service: _, state: _ } | Self::Lab => {}
        }
    }
}

fn keys(keys: &mut Keys, secrets: &Secrets) {
    let Keys { server, previous, caller, callers } = keys;
    for key in [server, caller].into_iter().chain(previous).chain(callers.values_mut()) {
        secrets.hide(key);
    }
}

fn run_started(run: &mut RunStarted, secrets: &Secrets) {
    let RunStarted {
        version: _,
        id: _,
        scenario: _,
        title,
        lab: _,
        engine: _,
        parameters,
        steps: _,
        keys: both,
        about: _,
        alerts: _,
        pace: _,
    } = run;
    secrets.hide(title);
    for value in parameters.values_mut() {
        secrets.hide(value);
    }
    keys(both, secrets);
}

fn step_result(result: &mut StepResult, secrets: &Secrets) {
    let StepResult {
        name: _,
        phase: _,
        role: _,
        action: _,
        status: _,
        start: _,
        elapsed: _,
        duration: _,
        detail,
        sent: _,
        attempts: _,
        unsent: _,
        failed_requests: _,
        deltas: _,
        codes: _,
        errors: _,
        latency_ms: _,
        samples: _,
        counters: _,
        callers: _,
        background: _,
        output,
        logs,
        expectations,
        error,
    } = result;
    some(detail, secrets);
    for line in output.iter_mut().chain(logs.iter_mut().map(|line| &mut line.text)) {
        secrets.hide(line);
    }
    for ExpectationResult { metric, expected, observed: _, observed_text, passed: _ } in expectations {
        for text in [metric, expected, observed_text] {
            secrets.hide(text);
        }
    }
    some(error, secrets);
}

fn run_finished(run: &mut RunFinished, secrets: &Secrets) {
    let RunFinished { status: _, duration: _, outage: _, undo, keys: both, reason } = run;
    let Undo { status: _, items } = undo;
    for item in items {
        item.mask(secrets);
    }
    if let Some(both) = both {
        keys(both, secrets);
    }
    some(reason, secrets);
}

#[cfg(test)]
mod tests {
    use super::{MASK, Secrets, without_passwords};

    #[test]
    fn secrets_that_contain_each_other_are_masked() {
        let mut secrets = Secrets::default();
        for value in ["hush", "hush-hush", "quiet", "hush", ""] {
            secrets.add(value);
        }
        assert_eq!(secrets.mask("a hush-hush of quiet hush"), format!("a {MASK} of {MASK} {MASK}"));
        assert_eq!(secrets.mask("nothing"), "nothing");
        assert!(secrets.are_in("x quiet y") && !secrets.are_in("loud") && !format!("{secrets:?}").contains("hush"));
    }

    fn is_masked(secret: &str, text: &str) {
        let mut secrets = Secrets::default();
        secrets.add(secret);
        let around = format!("before {text} after");
        assert!(secrets.are_in(&around), "{secret} is found in {text}");
        let masked = secrets.mask(&around);
        assert!(masked.starts_with("before ") && masked.ends_with(" after"), "{masked}");
        let left = masked.trim_start_matches("before ").trim_end_matches(" after").replace(MASK, "");
        assert!(left.len() <= 6, "{left:?} is left of {text}");
    }

    #[test]
    fn escaped_and_encoded_secrets_are_masked() {
        let secret = "K3y<&>\"'/$ +é😀=x";
        let forms = [
            // JSON: as serde_json, Go and Python write it, and JSON in JSON.
            r#"K3y<&>\"'/$ +é😀=x"#,
            r#"K3y\u003c\u0026\u003e\"'/$ +é😀=x"#,
            r#"K3y<&>\"'\/$ +\u00e9\ud83d\ude00=x"#,
            r#"K3y<&>\\\"'/$ +é😀=x"#,
            r#"K3y<&>\\\"'\\/$ +\\u00E9\\uD83D\\uDE00=x"#,
            // Python, Rust, JavaScript, C.
            r#"K3y<&>"\'/$ +\xe9\U0001f600=x"#,
            r"K3y\x3c\x26\x3e\x22\x27/$ +\xc3\xa9\xf0\x9f\x98\x80=x",
            r"K3y<&>\042\047/$\040+\303\251\360\237\230\200=x",
            r#"K3y<&>"'/$ +\u{e9}\u{1f600}=x"#,
            // HTML and XML.
            "K3y&lt;&amp;&gt;&quot;&#39;/$ +é😀=x",
            "K3y&lt;&amp;&gt;&#34;&#x27;&#x2F;$ +&#233;&#x1F600;&equals;x",
            "K3y&#60;&#38;&#62;&quot;&apos;&sol;&dollar; &plus;é😀=x",
            "K3y&amp;lt;&amp;amp;&amp;gt;&amp;quot;&amp;#39;/$ +é😀=x",
            // URLs: a path, a form, everything, twice.
            "K3y%3C%26%3E%22%27%2F%24%20%2B%C3%A9%F0%9F%98%80%3Dx",
            "K3y%3c%26%3e%22'%2f%24+%2b%c3%a9%f0%9f%98%80%3dx",
            "%4B%33%79%3C%26%3E%22%27%2F%24%20%2B%C3%A9%F0%9F%98%80%3D%78",
            "K3y%253C%2526%253E%2522%2527%252F%2524%2520%252B%25C3%25A9%25F0%259F%2598%2580%253Dx",
            // Shells, CSV, SQL, mail.
            r#"K3y<&>"'\''/$ +é😀=x"#,
            r#"K3y<&>"'"'"'/$ +é😀=x"#,
            r#"K3y\<\&\>\"\'/\$\ +é😀=x"#,
            r#"K3y<&>""'/$ +é😀=x"#,
            r#"K3y<&>"''/$ +é😀=x"#,
            "K3y<&>\"'/$$ +=C3=A9=F0=9F=98=80=3Dx",
        ];
        for form in forms {
            is_masked(secret, form);
        }
    }

    #[test]
    fn a_secret_is_masked_in_hex_and_in_base64() {
        use base64::Engine as _;
        use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
        for secret in ["K3y-Sup3rS3cret", "K3y?Sup3r>S3cret~~", "hush", "ÿÿ>?>?é"] {
            let hex = |separator: &str, upper: bool| -> String {
                let digits = |byte: u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
                secret.bytes().map(digits).collect::<Vec<_>>().join(separator)
            };
            for separator in ["", ":", " ", "-", "\\x", ", 0x"] {
                is_masked(secret, &hex(separator, false));
                is_masked(secret, &hex(separator, true));
            }
            for (before, after) in [("", ""), ("u:", ""), ("user:", "\n"), ("a", "b"), ("ab", "cd"), ("abc", "def")] {
                let whole = format!("{before}{secret}{after}");
                for encoded in [
                    STANDARD.encode(&whole),
                    STANDARD_NO_PAD.encode(&whole),
                    URL_SAFE.encode(&whole),
                    URL_SAFE_NO_PAD.encode(&whole),
                    STANDARD.encode(&whole).replace('/', "\\/"),
                    STANDARD.encode(&whole).replace('/', "%2F").replace('+', "%2B"),
                ] {
                    let mut secrets = Secrets::default();
                    secrets.add(secret);
                    let masked = secrets.mask(&encoded);
                    assert!(masked.contains(MASK), "{whole:?} as {encoded}");
                    // The remainder reveals nothing of the secret: it is no longer than the text around it.
                    let left = masked.replace(MASK, "").trim_end_matches('=').len();
                    assert!(left <= (before.len() + after.len()) * 4 / 3 + 2, "{whole:?}: {encoded} > {masked}");
                }
            }
        }
    }

    #[test]
    fn text_similar_to_a_secret_is_not_masked() {
        let mut secrets = Secrets::default();
        secrets.add("K3y-Sup3rS3cret");
        secrets.add("100%");
        for text in [
            "K3y-Sup3rS3cre",
            "k3y-sup3rs3cret",
            "4b33792d537570337253336372657",
            "SzN5LVN1",
            "%",
            "&#;",
            "\\u",
            "=4",
            "100",
            "日本",
        ] {
            assert_eq!(secrets.mask(text), text);
        }
        assert_eq!(secrets.mask("100% 100%25 100%%"), "*** *** ***");
        // A secret that looks escaped is found as it is and escaped once more.
        for (secret, text) in [
            ("a%3Cb", "a%253Cb"),
            ("a&lt;b", "a&amp;lt;b"),
            ("a\\u003cb", "a\\\\u003cb"),
            ("a&b&c", "a&amp;amp;b&amp;amp;c"),
        ] {
            is_masked(secret, secret);
            is_masked(secret, text);
        }
    }

    #[test]
    fn only_the_password_in_a_url_is_masked() {
        for (text, masked) in [
            ("postgres://lab:pa:ss@w@db:5432/postgres", "postgres://lab:***@db:5432/postgres"),
            ("app A=http://u:p@h, B=redis://:q@h?x=1 set", "app A=http://u:***@h, B=redis://:***@h?x=1 set"),
            ("http://127.0.0.1:80/a:b@c and me@host", "http://127.0.0.1:80/a:b@c and me@host"),
            ("http://user@host http://user:@host ://", "http://user@host http://user:@host ://"),
            ("\"amqp://ü:ö@h\"", "\"amqp://ü:***@h\""),
        ] {
            assert_eq!(without_passwords(text), masked);
            assert_eq!(without_passwords(masked), masked);
        }
    }
}
