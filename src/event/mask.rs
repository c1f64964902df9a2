//! [`Secrets`]: values that nobody is to read, and their masking in everything that a run tells; passwords in URLs are masked
//! whether anybody marked them or not. The one place where events are masked: whoever adds a text to an event says here
//! whether it may hold a secret.

use std::fmt;

use super::{
    AlertChanged, EventKind, ExpectationResult, Keys, Logged, RunFinished, RunStarted, StepFinished, StepStarted, Undo,
    UndoItem,
};

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// The values of parameters marked `secret`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The longest first, so that none leaves a piece of another.
    values: Vec<String>,
}

// By hand: a list of secrets is not to be printed by accident.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.values.len())
    }
}

impl Secrets {
    /// One more.
    pub fn add(&mut self, value: &str) {
        if !value.is_empty() && !self.values.iter().any(|known| known == value) {
            self.values.push(value.to_owned());
            self.values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        }
    }

    /// All of another's.
    pub fn extend(&mut self, other: &Self) {
        other.values.iter().for_each(|value| self.add(value));
    }

    /// Whether a text holds one.
    pub fn are_in(&self, text: &str) -> bool {
        self.values.iter().any(|value| text.contains(value.as_str()))
    }

    /// A text with each secret in it replaced by [`MASK`], and each password of a URL.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        without_passwords(&self.values.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), MASK)))
    }

    /// The same, in place.
    pub fn hide(&self, text: &mut String) {
        if self.are_in(text) || text.contains("://") {
            *text = self.mask(text);
        }
    }
}

/// A text with the password masked of each URL in it: `postgres://lab:***@db:5432/postgres`.
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
    /// Masks every text of it that may hold a secret. Names of steps cannot: a scenario with one in a name is refused.
    pub fn mask(&mut self, secrets: &Secrets) {
        match self {
            Self::RunStarted(run) => run_started(run, secrets),
            Self::StepStarted(StepStarted { .. }) | Self::UndoStarted { items: _ } => {}
            Self::StepFinished(step) => step_finished(step, secrets),
            Self::Notice { message } => secrets.hide(message),
            Self::Alert(AlertChanged { name: _, state: _, since: _, severity: _, summary }) => secrets.hide(summary),
            Self::Logged(Logged { service: _, step: _, written: _, text }) => secrets.hide(text),
            Self::UndoItem(item) => item.mask(secrets),
            Self::RunFinished(run) => run_finished(run, secrets),
        }
    }
}

impl UndoItem {
    /// Masks its value, and why it could not be put back.
    pub fn mask(&mut self, secrets: &Secrets) {
        let Self { target: _, name: _, value, status: _, error } = self;
        secrets.hide(value);
        some(error, secrets);
    }
}

fn keys(keys: &mut Keys, secrets: &Secrets) {
    let Keys { server, caller, callers } = keys;
    for key in [server, caller].into_iter().chain(callers.values_mut()) {
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

fn step_finished(step: &mut StepFinished, secrets: &Secrets) {
    let StepFinished {
        index: _,
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
        expectations,
        error,
    } = step;
    some(detail, secrets);
    for line in output {
        secrets.hide(line);
    }
    for ExpectationResult { metric, expected, observed: _, observed_text, held: _ } in expectations {
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
    fn every_secret_is_masked_also_one_that_holds_another() {
        let mut secrets = Secrets::default();
        for value in ["hush", "hush-hush", "quiet", "hush", ""] {
            secrets.add(value);
        }
        assert_eq!(secrets.mask("a hush-hush of quiet hush"), format!("a {MASK} of {MASK} {MASK}"));
        assert_eq!(secrets.mask("nothing"), "nothing");
        assert!(secrets.are_in("x quiet y") && !secrets.are_in("loud") && !format!("{secrets:?}").contains("hush"));
    }

    #[test]
    fn a_password_in_a_url_is_masked_and_nothing_else_of_it() {
        for (text, shown) in [
            ("postgres://lab:pa:ss@w@db:5432/postgres", "postgres://lab:***@db:5432/postgres"),
            ("app A=http://u:p@h, B=redis://:q@h?x=1 set", "app A=http://u:***@h, B=redis://:***@h?x=1 set"),
            ("http://127.0.0.1:80/a:b@c and me@host", "http://127.0.0.1:80/a:b@c and me@host"),
            ("http://user@host http://user:@host ://", "http://user@host http://user:@host ://"),
            ("\"amqp://ü:ö@h\"", "\"amqp://ü:***@h\""),
        ] {
            assert_eq!(without_passwords(text), shown);
            assert_eq!(without_passwords(shown), shown);
        }
    }
}
