//! Drills with a real referee: from the start to the restored lab, also if the referee is killed.

use lab_drill::event::{Check, Ending, Entry, Event};
use lab_drill::fold::{Drill, Phase};
use lab_drill::log::{Drills, Log};
use lab_runner::drill::DrillProcess;
use lab_runner::lab::StateFolder;
use rustix::process::Signal;
use serde_json::Value;

use crate::desk::{Desk, host, kill};
use crate::support::until;

/// A drill that a participant plays.
pub(crate) struct Play {
    pub(crate) desk: Desk,
    pub(crate) id: String,
    before: Value,
}

impl Play {
    /// Starts the practice of a scenario.
    pub(crate) fn start(scenario: &str, quiet: &str) -> Self {
        let desk = Desk::new();
        desk.lab(&["up", "--port", "0"]).status(0);
        let before = state(&desk);
        desk.lab(&["drill", "start", scenario, "--quiet", quiet]).status(0).says("has begun");
        let lab = StateFolder::at(&desk.state()).expect("a state folder").lab("default").expect("a lab");
        let id = lab.drill().expect("it is ours").expect("a drill is in progress");
        Self { desk, id, before }
    }

    fn log(&self) -> Vec<Entry> {
        let mut log = Log::open(&Drills::new(&self.desk.state()).folder(&self.id)).expect("a log");
        log.read().expect("it can be read")
    }

    pub(crate) fn drill(&self) -> Drill {
        Drill::from_entries(&self.log()).expect("it has begun")
    }

    /// Waits for an entry.
    fn until(&self, so: impl Fn(&Event) -> bool) {
        until(|| self.log().iter().any(|entry| so(&entry.event)));
    }

    pub(crate) fn until_phase(&self, phase: Phase) {
        until(|| self.drill().phase() == phase);
    }

    /// Kills the referee and waits for its end: a killed process holds its lock for a moment.
    pub(crate) fn kill_referee(&self) {
        kill(self.referee(), Signal::KILL);
        let lab = StateFolder::at(&self.desk.state()).expect("a state folder").lab("default").expect("a lab");
        until(|| !DrillProcess::new(&lab).is_running());
    }

    fn referee(&self) -> u32 {
        let watching = self.log().into_iter().rev().find_map(|entry| match entry.event {
            Event::Watching { pid } => Some(pid),
            _ => None,
        });
        watching.expect("a referee watches")
    }

    /// Ends the drill. Everything is as before, and nothing of the drill is left.
    pub(crate) fn finish(&self) -> Drill {
        self.desk.lab(&["drill", "finish"]).status(0).complains("is restored");
        assert_eq!(state(&self.desk), self.before);
        let labs = self.desk.state().join("labs/default");
        assert!(!labs.join("drill.json").exists() && !labs.join("undo.ndjson").exists());
        let file = Drills::new(&self.desk.state()).folder(&self.id).path("log.ndjson");
        assert!(std::fs::read_to_string(file).expect("a log").starts_with('{'), "it is published");
        let drill = self.drill();
        assert_eq!(drill.restored, Some(Vec::new()));
        drill
    }
}

/// What a drill must leave as it was: run states, environments and keys.
pub(crate) fn state(desk: &Desk) -> Value {
    let mut status = desk.status();
    let mut services = status["services"].take();
    for service in services.as_array_mut().expect("a list") {
        let kept = ["name", "state", "env"].map(|key| (key.to_owned(), service[key].take()));
        *service = Value::Object(kept.into_iter().collect());
    }
    let keys = desk.lab(&["key", "show", "--json"]).status(0).json();
    serde_json::json!({ "services": services, "keys": keys })
}

#[test]
fn a_drill_is_played_from_the_start_to_the_restored_lab() {
    let play = Play::start("db-frozen", "1s");
    let desk = &play.desk;
    for refused in [&["up"][..], &["reset"], &["recover"], &["scenario", "run", "app-down"], &["drill", "start"]] {
        desk.lab(refused).status(3).complains("a drill is in progress in lab default").complains("lab drill give-up");
    }
    for refused in [["callers", "start"], ["callers", "stop"]] {
        desk.lab(&refused).status(3).complains("belong to the drill").complains("lab drill give-up");
    }
    play.until_phase(Phase::Broken);
    desk.lab(&["restart", "gateway"]).status(0);
    play.until(|event| matches!(event, Event::Changed { subject, .. } if subject == "gateway"));
    play.until(|event| matches!(event, Event::Services { down } if down == &["db"]));
    desk.lab(&["unpause", "db"]).status(0);
    play.until_phase(Phase::Resolved);
    let drill = play.finish();
    assert_eq!(drill.ended.map(|end| end.by), Some(Ending::Finished));
    assert_eq!(drill.down, Vec::<String>::new());
    // Both follow from facts that were seen in time.
    let (mitigated, resolved) = (drill.mitigations()[0].span.at, drill.resolutions()[0].at);
    assert!(resolved >= mitigated && resolved - mitigated <= 3000, "mitigated {mitigated} ms, resolved {resolved} ms");
    desk.lab(&["drill", "finish"]).status(3).complains("no drill is in progress");
}

#[test]
fn deleting_the_data_is_no_fix_and_is_restored() {
    let play = Play::start("db-frozen", "1s");
    play.until_phase(Phase::Broken);
    play.desk.lab(&["unpause", "db"]).status(0);
    play.desk.lab(&["db", "query", "--write", "DELETE FROM users"]).status(0);
    let other = |event: &Event| {
        let Event::Checked(Check::Failed { reasons }) = event else { return false };
        reasons.iter().any(|reason| reason.contains("other users than at the start"))
    };
    play.until(other);
    until(|| play.drill().mitigated().is_some());
    assert_eq!(play.drill().resolved(), None);
    let users = |desk: &Desk| desk.lab(&["db", "query", "--json", "SELECT count(*) AS n FROM users"]).status(0).stdout;
    let none = users(&play.desk);
    play.finish();
    assert_ne!(users(&play.desk), none);
}

#[test]
fn a_lab_that_cannot_be_seen_stops_the_clock() {
    let play = Play::start("app-slow", "1h");
    let status = play.desk.status();
    kill(host(&status), Signal::STOP);
    play.until(|event| matches!(event, Event::Unknown { .. }));
    let stopped = play.drill().clock;
    kill(host(&status), Signal::CONT);
    play.until(|event| *event == Event::Known);
    let drill = play.drill();
    assert!(!drill.is_unknown() && drill.clock - stopped < 3000, "{} after {stopped}", drill.clock);
    play.finish();
}

#[test]
fn a_crash_of_the_lab_is_no_fix() {
    let play = Play::start("rate-limited", "1s");
    play.until_phase(Phase::Broken);
    kill(host(&play.desk.status()), Signal::KILL);
    play.until(|event| matches!(event, Event::Unknown { .. }));
    let seconds = play.drill().seconds.len();
    play.until(|event| *event == Event::Known);
    until(|| play.drill().seconds.len() > seconds + 3);
    assert!(
        play.drill()
            .seconds
            .last()
            .is_some_and(|second| second.callers.iter().any(|(sent, succeeded)| succeeded < sent)),
        "the fault is still there"
    );
    play.finish();
}

#[test]
fn a_drill_ends_with_its_lab() {
    let play = Play::start("app-slow", "1h");
    play.desk.lab(&["down"]).status(0).says("is down");
    play.desk.assert_clean();
    assert_eq!(play.drill().ended.map(|end| end.by), Some(Ending::LabGone));
}

#[test]
fn giving_up_works_without_a_referee() {
    let play = Play::start("rate-limited", "1s");
    play.until(|event| *event == Event::Broken);
    play.kill_referee();
    play.desk.lab(&["history"]).complains("lab drill resume");
    play.desk.lab(&["drill", "give-up"]).status(0).complains("is restored");
    assert_eq!(state(&play.desk), play.before);
}

/// Kinds of entries at which the referee is killed.
const KINDS: [&str; 8] = ["watching", "second", "injecting", "broken", "services", "changed", "wrong_fix", "checked"];

fn kind(entry: &Entry) -> String {
    let value = serde_json::to_value(&entry.event).expect("JSON");
    value["event"].as_str().expect("a kind").to_owned()
}

#[test]
fn a_referee_that_is_killed_at_any_entry_loses_nothing() {
    let all = std::env::var_os("LAB_TEST_KILLS").is_some_and(|value| value == "all");
    let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| all || ["injecting", "wrong_fix"].contains(kind)).collect();
    std::thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(move || play_with_a_kill(kind));
        }
    });
}

/// Plays a drill whose referee is killed once, at the first entry of a kind.
fn play_with_a_kill(at: &str) {
    let play = Play::start("db-frozen", "1s");
    let mut killed = false;
    let mut kill_at = |kinds: &[&str]| {
        if killed || !kinds.contains(&at) {
            return;
        }
        until(|| play.log().iter().any(|entry| kind(entry) == at));
        play.kill_referee();
        let before = play.log();
        play.desk.lab(&["drill", "resume"]).status(0).says("goes on");
        let after = play.log();
        assert_eq!(after[..before.len()], before, "{at}: nothing is lost");
        killed = true;
    };
    kill_at(&["watching", "second", "injecting", "broken", "services"]);
    play.until_phase(Phase::Broken);
    play.desk.lab(&["restart", "gateway"]).status(0);
    kill_at(&["changed", "wrong_fix"]);
    play.until(|event| matches!(event, Event::WrongFix { name } if name == "restart-the-gateway"));
    play.desk.lab(&["unpause", "db"]).status(0);
    kill_at(&["checked"]);
    play.until_phase(Phase::Resolved);
    let drill = play.finish();
    assert!(killed, "{at}");
    let count = |name: &str| play.log().iter().filter(|entry| kind(entry) == name).count();
    assert_eq!((count("injecting"), count("broken"), count("wrong_fix")), (1, 1, 1), "{at}");
    assert_eq!(drill.wrong_fixes.len(), 1, "{at}");
    let mut revisions: Vec<(String, u64)> =
        drill.changes.iter().map(|change| (change.subject.clone(), change.revision)).collect();
    let all = revisions.len();
    revisions.dedup();
    assert_eq!(revisions.len(), all, "{at}: each change is reported once");
}
