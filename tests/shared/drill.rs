//! Plays of drills: an incident is practised, something is done about it with the commands of a participant, and the verdict
//! is read from the debrief. The plays wait for entries of the drill's log, in drill time, so that a slow machine costs time but
//! no verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lab_drill::event::Started;
use lab_drill::fold::Drill;
use lab_drill::log::{Drills, Log, LogError};
use lab_scenario::lesson::Claims;
use lab_scenario::plan::{Kind, Step, Verb};
use lab_scenario::{Action, LoadOptions, Plan, Source, library, load};
use serde_json::Value;

use crate::command::CommandOutput;
use crate::incident::fix_commands;

/// Longest wait for an entry. A play that passes waits for 10 to 15 seconds, unless the machine is overloaded.
const LONGEST_WAIT: Duration = Duration::from_secs(90);
/// Drill time in milliseconds in which a verdict would be known: its window of 10 seconds, 2 seconds for the check, and one to
/// spare.
const VERDICT_TIME: u64 = 13_000;

/// What a play does about its incident.
#[derive(Clone, Debug)]
pub(crate) enum Fix {
    /// The commands of the runbook: it is resolved.
    Runbook,
    /// A named wrong fix: it is named, and nothing is resolved.
    Wrong(String),
    /// First nothing, then a named wrong fix that is undone by hand, and then the commands of the runbook: it is named, and
    /// the incident is resolved only then.
    WrongThenRunbook(String),
    /// A fix other than that of the runbook: it is resolved.
    Other(String),
    /// The commands of the runbook, but the users are deleted, and then the app is stopped: nothing is resolved.
    Destroy,
}

/// An incident, and what is done about it.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    pub(crate) incident: String,
    pub(crate) fix: Fix,
}

/// A lab for one play.
pub(crate) struct Stage<'a> {
    /// `docker` or `embedded`.
    pub(crate) engine: &'static str,
    /// State folder.
    pub(crate) state: PathBuf,
    /// Runs a lab command.
    pub(crate) lab: &'a dyn Fn(&[&str]) -> CommandOutput,
}

/// Incidents that can be drilled on an engine, with their claims.
fn incidents(engine: &str) -> Vec<(String, Claims)> {
    let plans = library::names().map(|name| plan(name, &BTreeMap::new()));
    let is_drilled = |plan: &Plan| {
        plan.kind == Kind::Incident && (plan.engines.is_empty() || plan.engines.iter().any(|name| name == engine))
    };
    plans.filter(is_drilled).map(|plan| (plan.name, plan.claims)).collect()
}

fn plan(name: &str, parameters: &BTreeMap<String, String>) -> Plan {
    // Secrets are masked in the log. They are not varied.
    let set = parameters.iter().filter(|(_, value)| !value.contains("***"));
    let set = set.map(|(name, value)| (name.clone(), value.clone())).collect();
    let options = LoadOptions { set, ..LoadOptions::default() };
    load(&Source::Library(name.to_owned()), &options).unwrap_or_else(|errors| panic!("{name}: {errors}"))
}

/// Everything that can be done about an incident.
fn fixes(claims: &Claims) -> Vec<Fix> {
    let wrong = claims.wrong_fixes.iter().enumerate().map(|(index, fix)| match index {
        0 => Fix::WrongThenRunbook(fix.name.clone()),
        _ => Fix::Wrong(fix.name.clone()),
    });
    let other = claims.other_fixes.iter().map(|fix| Fix::Other(fix.name.clone()));
    [Fix::Runbook, Fix::Destroy].into_iter().chain(wrong).chain(other).collect()
}

/// Plays of the selected fixes of every incident that can be drilled on an engine. `LAB_TEST_INCIDENT` selects one incident.
pub(crate) fn plays(engine: &str, is_selected: impl Fn(&Fix) -> bool) -> Vec<Play> {
    let only = std::env::var("LAB_TEST_INCIDENT").ok();
    let incidents = incidents(engine);
    assert!(incidents.len() >= 16, "{} incidents; the library has more", incidents.len());
    let incidents = incidents.into_iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == name));
    let plays = incidents.flat_map(|(incident, claims)| {
        fixes(&claims).into_iter().map(move |fix| Play { incident: incident.clone(), fix })
    });
    plays.filter(|play| is_selected(&play.fix)).collect()
}

/// Plays all, so many at once, and reports all that failed.
pub(crate) fn play_all(plays: &[Play], parallel: usize, play: impl Fn(&Play) + Sync) {
    let (queue, failed) = (Mutex::new(plays.iter()), Mutex::new(Vec::new()));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..parallel {
            scope.spawn(|| {
                while let Some(one) = next() {
                    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(one)));
                    if played.is_err() {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{one:?}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failed.is_empty(), "{} of {} plays failed:\n{}", failed.len(), plays.len(), failed.join("\n"));
}

/// Plays one drill to its debrief, and asserts the verdict. The lab is restored, and stays up.
pub(crate) fn play(play: &Play, stage: &Stage<'_>) {
    let mut game = Game::start(&play.incident, stage);
    game.until("the impact", |drill| drill.impact.is_some() && drill.broken.is_some());
    match &play.fix {
        Fix::Runbook => {
            game.follow_runbook();
            game.until("the resolution", |drill| drill.resolved().is_some());
        }
        Fix::Other(name) => {
            game.execute(&game.other_fix(name));
            game.until("the resolution", |drill| drill.resolved().is_some());
        }
        Fix::Wrong(name) => game.fix_wrongly(name),
        Fix::WrongThenRunbook(name) => {
            game.pause();
            assert_eq!(game.drill.mitigations(), [], "{play:?}: nobody did anything");
            let before = game.revisions();
            game.fix_wrongly(name);
            game.roll_back(&before);
            game.follow_runbook();
            game.until("the resolution", |drill| drill.resolved().is_some());
        }
        Fix::Destroy => {
            (stage.lab)(&["callers", "stop"]).status(3).complains("lab drill give-up");
            game.follow_runbook();
            (stage.lab)(&["db", "query", "--write", "DELETE FROM users"]).status(0);
            game.pause();
            assert_eq!(game.drill.resolutions(), [], "{play:?}: the users are gone");
            (stage.lab)(&["stop", "app"]).status(0);
            game.until("the end of the mitigation", |drill| drill.mitigated().is_none());
        }
    }
    game.finish(play);
}

/// A drill in progress.
struct Game<'a> {
    stage: &'a Stage<'a>,
    id: String,
    plan: Plan,
    drill: Drill,
    log: Log,
    /// Users before the drill.
    users: Value,
}

impl<'a> Game<'a> {
    fn start(incident: &str, stage: &'a Stage<'a>) -> Self {
        let drills = Drills::new(&stage.state);
        let known: BTreeSet<String> = drills.ids().expect("it can be read").into_iter().collect();
        let users = (stage.lab)(&["request", "--json"]).status(0).json()["body"].clone();
        (stage.lab)(&["drill", "start", incident, "--quiet", "3s"]).status(0);
        let id = drills.ids().expect("it can be read").into_iter().find(|id| !known.contains(id)).expect("a drill");
        let mut log = Log::open(&drills.folder(&id)).expect("the state folder is ours");
        let entries = log.read().expect("it can be read");
        let drill = Drill::from_entries(&entries).expect("it has started");
        let Started { brief, fault, .. } = &*drill.started;
        assert!(*fault, "a practice has a fault");
        let plan = plan(incident, &brief.parameters);
        Self { stage, id, plan, drill, log, users }
    }

    /// Applies what was written since.
    fn follow(&mut self) {
        match self.log.read() {
            Ok(entries) => entries.iter().for_each(|entry| self.drill.apply(entry)),
            Err(LogError::Over) => {
                panic!("{}: the drill has ended by itself: {:?}", self.plan.name, self.drill.failure)
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits for what the log says.
    fn until(&mut self, what: &str, so: impl Fn(&Drill) -> bool) {
        let begun = Instant::now();
        self.follow();
        while !so(&self.drill) {
            let waited = begun.elapsed() < LONGEST_WAIT;
            assert!(waited, "{}: {what} did not come: {:?}", self.plan.name, Summary(&self.drill));
            std::thread::sleep(Duration::from_millis(100));
            self.follow();
        }
    }

    /// Waits for as long as a verdict takes.
    fn pause(&mut self) {
        self.follow();
        let end = self.drill.clock + VERDICT_TIME;
        self.until("the end of the pause", |drill| drill.clock >= end);
    }

    fn lab(&self, command: &[String]) {
        let args: Vec<&str> = command.iter().map(String::as_str).collect();
        (self.stage.lab)(&args).status(0);
    }

    /// Executes the commands of the runbook, with the values of this drill.
    fn follow_runbook(&self) {
        let defaults = plan(&self.plan.name, &BTreeMap::new()).parameters;
        for mut command in fix_commands(&self.plan.name, self.stage.engine) {
            let value_of = |text: &str| {
                let mut varied =
                    defaults.iter().filter(|(name, value)| *value == text && self.plan.parameters[*name] != **value);
                varied.next().map(|(name, _)| self.plan.parameters[name].clone())
            };
            for word in &mut command {
                let (name, value) = word.split_once('=').map_or(("", word.as_str()), |(name, value)| (name, value));
                if let Some(value) = value_of(value) {
                    *word = if name.is_empty() { value } else { format!("{name}={value}") };
                }
            }
            // Commands that show something may fail.
            let changes =
                !matches!(command[0].as_str(), "traffic" | "metrics" | "request") && command != ["key", "show"];
            if changes {
                self.lab(&command);
            }
        }
    }

    fn wrong_fix(&self, name: &str) -> Vec<Step> {
        let found = self.plan.claims.wrong_fixes.iter().find(|fix| fix.name == name);
        found.expect("it is in the scenario").steps.clone()
    }

    fn other_fix(&self, name: &str) -> Vec<Step> {
        let found = self.plan.claims.other_fixes.iter().find(|fix| fix.name == name);
        found.expect("it is in the scenario").steps.clone()
    }

    /// Executes steps by hand.
    fn execute(&self, steps: &[Step]) {
        for command in commands(steps) {
            self.lab(&command);
        }
    }

    /// Executes a wrong fix. It is recognized, and resolves nothing.
    fn fix_wrongly(&mut self, name: &str) {
        self.execute(&self.wrong_fix(name));
        let named = |drill: &Drill| drill.wrong_fixes.iter().any(|fix| fix.name == name);
        self.until(name, named);
        self.pause();
        assert_eq!(self.drill.resolutions(), [], "{}: {name} is no fix", self.plan.name);
    }

    /// Current revision of each subject.
    fn revisions(&self) -> BTreeMap<String, u64> {
        let rows = (self.stage.lab)(&["history", "--json"]).status(0).json();
        let rows = rows.as_array().expect("a list").iter();
        rows.map(|row| {
            let subject = row["service"].as_str().expect("a name").to_owned();
            (subject, row["revision"].as_u64().expect("a number"))
        })
        .collect()
    }

    /// Returns to earlier revisions by hand.
    fn roll_back(&self, before: &BTreeMap<String, u64>) {
        for (subject, revision) in self.revisions() {
            let Some(target) = before.get(&subject).filter(|before| **before != revision) else { continue };
            (self.stage.lab)(&["rollback", &subject, "--to", &target.to_string()]);
        }
    }

    /// Ends the drill and compares the debrief with what the play did.
    fn finish(mut self, play: &Play) {
        self.follow();
        let lab = self.stage.lab;
        lab(&["drill", "finish"]).status(0);
        let debrief = lab(&["drill", "show", &self.id, "--json"]).status(0).json();
        let fixes = self.drill.started.brief.wrong_fixes.iter().filter(|fix| fix.partial);
        compare(play, &debrief, &fixes.map(|fix| fix.name.as_str()).collect::<Vec<_>>());
        // The lab is as before.
        let users = lab(&["request", "--json"]).status(0).json()["body"].clone();
        assert_eq!(users, self.users, "{play:?}");
    }
}

/// Compares a debrief with what the play did. A part of a right fix is no wrong fix once the incident is resolved, and may be one
/// before.
fn compare(play: &Play, debrief: &Value, partial: &[&str]) {
    let times = &debrief["times"];
    let wrong_fixes = debrief["wrong_fixes"].as_array().expect("a list");
    let names: Vec<&str> = wrong_fixes.iter().map(|fix| fix["name"].as_str().expect("a name")).collect();
    let at = |name: &str| times[name].as_u64();
    let is_fixed = (at("mitigated").is_some(), at("resolved").is_some());
    let points = |name: &str| {
        let terms = debrief["score"]["terms"].as_array().expect("terms").iter();
        terms.filter(|term| term["name"] == name).map(|term| term["points"].as_f64().expect("a number")).sum::<f64>()
    };
    let expected: &[&str] = match &play.fix {
        Fix::Runbook | Fix::Other(_) => {
            assert_eq!(is_fixed, (true, true), "{play:?}: {times}");
            assert!(at("impact") <= at("mitigated") && at("mitigated") <= at("resolved"), "{play:?}: {times}");
            // At this speed, nothing is lost.
            assert_eq!((points("mitigation"), points("resolution")), (25.0, 30.0), "{play:?}: {}", debrief["score"]);
            &[]
        }
        Fix::Wrong(name) => {
            assert_eq!((at("resolved"), points("resolution")), (None, 0.0), "{play:?}: {times}");
            &[name]
        }
        Fix::WrongThenRunbook(name) => {
            assert_eq!(is_fixed, (true, true), "{play:?}: {times}");
            &[name]
        }
        Fix::Destroy => {
            assert_eq!(is_fixed, (false, false), "{play:?}: {times}");
            assert_eq!((points("mitigation"), points("resolution")), (0.0, 0.0), "{play:?}: {}", debrief["score"]);
            &[]
        }
    };
    let is_resolved = at("resolved").is_some();
    let is_counted = |name: &&str| !(is_resolved && partial.contains(name));
    let expected: Vec<&str> = expected.iter().copied().filter(is_counted).collect();
    let names: Vec<&str> =
        names.into_iter().filter(|name| expected.contains(name) || !partial.contains(name)).collect();
    assert_eq!(names, expected, "{play:?}");
    assert_eq!(debrief["ending"], "finished", "{play:?}");
    assert_eq!(debrief["restored"], Value::Array(Vec::new()), "{play:?}");
    assert_eq!(debrief["proof"]["matches"], true, "{play:?}");
}

/// Entries of a drill in short, for a failure's message.
struct Summary<'a>(&'a Drill);

impl std::fmt::Debug for Summary<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(drill) = self;
        let seconds: Vec<_> = drill.seconds.iter().rev().take(3).map(|second| &second.callers).collect();
        f.debug_struct("Drill")
            .field("clock", &drill.clock)
            .field("impact", &drill.impact)
            .field("turns", &drill.turns())
            .field("down", &drill.down)
            .field("check", &drill.check)
            .field("changes", &drill.changes)
            .field("gaps", &drill.gaps())
            .field("last_seconds", &seconds)
            .finish_non_exhaustive()
    }
}

/// Commands that do the same as the steps of a fix.
fn commands(steps: &[Step]) -> Vec<Vec<String>> {
    let mut commands: Vec<Vec<String>> = Vec::new();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for step in steps {
        match &step.action {
            Action::Change(change) if change.verb == Verb::SetEnv => {
                let (mut set, mut unset) =
                    (words(&["env", "set", &change.service]), words(&["env", "unset", &change.service]));
                for (name, value) in &change.change.env {
                    match value {
                        Some(value) => set.push(format!("{name}={value}")),
                        None => unset.push(name.clone()),
                    }
                }
                commands.extend([set, unset].into_iter().filter(|command| command.len() > 3));
            }
            Action::Change(change) => {
                let last = commands.last_mut();
                match last.filter(|last| change.verb == Verb::Start && **last == ["stop", change.service.as_str()]) {
                    // As a person does it.
                    Some(stop) => "restart".clone_into(&mut stop[0]),
                    None => commands.push(words(&[change.verb.name(), &change.service])),
                }
            }
            Action::RotateKey { server } => commands.push(words(&["key", "rotate", server])),
            Action::AlignKey { callers } if callers.is_empty() => commands.push(words(&["key", "align"])),
            Action::AlignKey { callers } => {
                commands.extend(callers.iter().map(|caller| words(&["key", "align", "--caller", caller])));
            }
            // The callers send requests all the time.
            Action::Traffic(_) => {}
            action => panic!("no command does this: {action:?}"),
        }
    }
    commands
}
