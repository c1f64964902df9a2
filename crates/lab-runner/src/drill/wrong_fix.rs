//! Recognizes a named fix in the participant's changes. A pure comparison of revisions with the steps of the fix, by kind: a
//! longer timeout is recognized whatever its length, and a new key whatever its value. Values that are no amounts, and keys that
//! were in use before, compare exactly.

use crate::lab::revisions::{CALLERS, DEFAULT_CALLER, Entry, Outcome, Revision, Revisions};
use lab_core::engine::{Roles, RunState, ServiceChange};
use lab_scenario::plan::{Action, Step};

mod value;

/// Returns true if the revisions selected by `is_theirs` contain every change of the steps. A fix without changes is never
/// contained.
pub fn contains(revisions: &Revisions, steps: &[Step], roles: &Roles, is_theirs: impl Fn(&Revision) -> bool) -> bool {
    let mut trail = Trail { revisions, roles, is_theirs: &is_theirs, position: Vec::new() };
    let changes = steps.iter().filter(|step| step.action.is_change());
    let mut count = 0;
    changes.inspect(|_| count += 1).all(|step| trail.has(&step.action)) && count > 0
}

struct Trail<'a> {
    revisions: &'a Revisions,
    roles: &'a Roles,
    is_theirs: &'a dyn Fn(&Revision) -> bool,
    /// Run states that were found so far, as an index into those of each service.
    position: Vec<(String, usize)>,
}

impl Trail<'_> {
    fn has(&mut self, action: &Action) -> bool {
        match action {
            Action::Change(change) => {
                let service = self.roles.service(&change.service).to_owned();
                let ServiceChange { env, run, .. } = &change.change;
                env.iter().all(|(name, value)| match value {
                    Some(key) if self.is_key(&service, name) => self.sets_key(key),
                    value => self.sets(&service, name, value.as_deref()),
                }) && run.is_none_or(|run| self.reaches(&service, run))
            }
            Action::RotateKey { server } => self.sets_key(server),
            Action::CallerKey { key, callers } => self.sets_callers(callers, |_, new| new == key),
            Action::AlignKey { callers } => {
                self.sets_callers(callers, |entry, new| self.server_key(entry) == Some(new))
            }
            // Observes, or does something that leaves no revision.
            _ => false,
        }
    }

    fn entries<'s>(&'s self, subject: &'s str) -> Vec<Entry<'s>> {
        let mut entries = self.revisions.entries(subject);
        entries.retain(|entry| entry.revision.outcome == Outcome::Done && (self.is_theirs)(entry.revision));
        entries
    }

    fn sets(&self, subject: &str, name: &str, value: Option<&str>) -> bool {
        let is_set = |entry: &Entry<'_>| {
            entry.differences().iter().any(|change| {
                let (old, new) = (change.old.as_deref(), change.new.as_deref());
                change.name == name && value::is_similar(value, old, new, entry.revision.at)
            })
        };
        self.entries(subject).iter().any(is_set)
    }

    fn is_key(&self, service: &str, variable: &str) -> bool {
        service == self.roles.app && variable == self.roles.key_variable
    }

    /// Whether the server gets this key or, if it is a new one, any new key.
    fn sets_key(&self, key: &str) -> bool {
        let known = self.known_keys();
        let is_new = |key: &str| !known.contains(&key);
        let is_set = |entry: &Entry<'_>| {
            let changes = entry.differences();
            let mut news = changes.iter().filter(|change| change.name == self.roles.key_variable);
            news.any(|change| change.new.as_deref().is_some_and(|new| new == key || (is_new(new) && is_new(key))))
        };
        self.entries(&self.roles.app).iter().any(is_set)
    }

    /// The server's last two keys before the participant's changes: that of now, and that of before the fault.
    fn known_keys(&self) -> Vec<&str> {
        let is_before = |revision: &&Revision| revision.outcome == Outcome::Done && !(self.is_theirs)(revision);
        let states = self.revisions.of(&self.roles.app).rev().filter(is_before);
        let mut keys: Vec<&str> = states
            .filter_map(|revision| revision.state.env.get(&self.roles.key_variable).map(String::as_str))
            .collect();
        keys.dedup();
        keys.truncate(2);
        keys
    }

    fn sets_callers(&self, callers: &[String], is_expected: impl Fn(&Entry<'_>, &str) -> bool) -> bool {
        let has = |variable: &str| {
            let is_set = |entry: &Entry<'_>| {
                let changes = entry.differences();
                let mut news =
                    changes.iter().filter(|change| change.name == variable).filter_map(|it| it.new.as_deref());
                news.any(|new| is_expected(entry, new))
            };
            self.entries(CALLERS).iter().any(is_set)
        };
        match callers {
            [] => has(DEFAULT_CALLER),
            callers => callers.iter().all(|caller| has(&format!("{DEFAULT_CALLER} {caller}"))),
        }
    }

    /// Key of the server when a revision was made.
    fn server_key(&self, entry: &Entry<'_>) -> Option<&str> {
        let at = entry.revision.at;
        let before = self.revisions.of(&self.roles.app).rev();
        let current = before.into_iter().find(|revision| revision.at <= at && revision.outcome == Outcome::Done)?;
        current.state.env.get(&self.roles.key_variable).map(String::as_str)
    }

    /// Whether a service is brought to this run state after the states that earlier steps needed. A stop of a service that is
    /// stopped already is no change, and neither is a start of a running one.
    fn reaches(&mut self, service: &str, run: RunState) -> bool {
        let entries = self.entries(service);
        let before = entries.first().and_then(|entry| entry.before).map(|before| before.run);
        let states: Vec<RunState> = entries.iter().flat_map(|entry| states(entry)).collect();
        let position = self.position.iter().find(|(known, _)| known == service).map_or(0, |(_, position)| *position);
        let is_met = match position {
            0 => before == Some(run),
            position => states.get(position - 1) == Some(&run),
        };
        let found = states[position.min(states.len())..].iter().position(|state| *state == run);
        let next = match found {
            Some(index) => position + index + 1,
            None if is_met && !states.is_empty() => position,
            None => return false,
        };
        self.position.retain(|(known, _)| known != service);
        self.position.push((service.to_owned(), next));
        true
    }
}

/// Run states that a revision leads through. A restart is a revision without differences.
fn states(entry: &Entry<'_>) -> Vec<RunState> {
    let restart =
        entry.before.is_some_and(|before| *before == entry.revision.state) && entry.revision.statement.is_none();
    match entry.run_change() {
        Some((_, new)) => vec![new],
        None if restart => vec![RunState::Stopped, RunState::Running],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Lab;
    use crate::lab::revisions::Author;
    use crate::lab::testing::mock_lab;
    use lab_core::engine::{APP, GATEWAY};
    use lab_scenario::{LoadOptions, Source, load};

    fn steps(text: &str) -> Vec<Step> {
        let text = format!("title: T\nsteps: [{text}]");
        load(&Source::Text { name: "test.yaml".into(), text }, &LoadOptions::default()).unwrap().steps
    }

    fn has(lab: &Lab, text: &str) -> bool {
        let by_hand = |revision: &Revision| matches!(revision.author, Author::Hand { .. });
        contains(&lab.revisions().unwrap(), &steps(text), &Roles::default(), by_hand)
    }

    const RESTART: &str = "{ stop: app }, { start: app }";

    #[tokio::test(start_paused = true)]
    async fn a_restart_is_recognized_in_one_revision_and_in_two() {
        let by = Author::hand("lab restart");
        let stop_and_start = [ServiceChange::run(RunState::Stopped), ServiceChange::run(RunState::Running)];
        let (_folder, lab, engine) = mock_lab("apikey-v1").await;
        lab.reconcile(&engine, APP, &stop_and_start, &by).await.unwrap();
        assert!(has(&lab, RESTART) && !has(&lab, "{ stop: gateway }, { start: gateway }"));
        let (_folder, lab, engine) = self::mock_lab("apikey-v1").await;
        lab.reconcile(&engine, APP, &stop_and_start[..1], &by).await.unwrap();
        assert!(has(&lab, "{ stop: app }") && !has(&lab, RESTART));
        lab.reconcile(&engine, APP, &stop_and_start[1..], &by).await.unwrap();
        assert!(has(&lab, RESTART) && !has(&lab, "{ pause: app }"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_of_a_stopped_service_is_its_start() {
        let (_folder, lab, engine) = mock_lab("apikey-v1").await;
        let drill = Author::Drill { drill: "x-7f3a".to_owned() };
        lab.reconcile(&engine, APP, &[ServiceChange::kill()], &drill).await.unwrap();
        assert!(!has(&lab, RESTART), "what the drill did is not theirs");
        lab.reconcile(&engine, APP, &[ServiceChange::run(RunState::Running)], &Author::hand("lab start"))
            .await
            .unwrap();
        assert!(has(&lab, RESTART) && has(&lab, "{ start: app }"));
    }

    #[tokio::test(start_paused = true)]
    async fn variables_and_keys_compare_by_kind() {
        let (_folder, lab, engine) = mock_lab("apikey-v1").await;
        let by = Author::hand("lab env set");
        lab.reconcile(&engine, APP, &[ServiceChange::env("APP_DB_POOL", "8")], &by).await.unwrap();
        assert!(has(&lab, "{ set_env: { service: app, env: { APP_DB_POOL: '8' } } }"));
        assert!(has(&lab, "{ set_env: { service: app, env: { APP_DB_POOL: '12' } } }"), "another amount");
        for other in [
            "{ set_env: { service: app, env: { APP_DB_POOL: many } } }",
            "{ set_env: { service: app, env: { APP_DB_POOL: null } } }",
            "{ set_env: { service: app, env: { APP_DB_POOL: '8', APP_RATE_LIMIT: 5/s } } }",
            "{ check: { path: /health, status: 200 } }",
            RESTART,
        ] {
            assert!(!has(&lab, other), "{other}");
        }
        let rotated = "{ rotate_key: { server: apikey-v2 } }, { align_key: { caller: server } }";
        lab.reconcile(&engine, APP, &[ServiceChange::env("APP_API_KEY", "apikey-v2")], &by).await.unwrap();
        assert!(!has(&lab, rotated));
        lab.set_caller_key("apikey-v2", &by).unwrap();
        assert!(has(&lab, rotated) && has(&lab, "{ rotate_key: { server: apikey-v3 } }"), "another new key");
        assert!(!has(&lab, "{ rotate_key: { server: apikey-v1 } }"), "the key of before is not new");
        assert!(has(&lab, "{ set_env: { service: app, env: { APP_API_KEY: apikey-v3 } } }"));
        let change =
            ServiceChange { env: [("GATEWAY_READ_TIMEOUT".to_owned(), None)].into(), ..ServiceChange::default() };
        lab.reconcile(&engine, GATEWAY, &[ServiceChange::env("GATEWAY_READ_TIMEOUT", "20s")], &by).await.unwrap();
        lab.reconcile(&engine, GATEWAY, &[change], &by).await.unwrap();
        assert!(has(&lab, "{ set_env: { service: gateway, env: { GATEWAY_READ_TIMEOUT: null } } }"));
    }
}
