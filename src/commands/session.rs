//! [`Session`]: terminal, state folder and selected lab of one command.

use crate::engines::{Connect, EngineRegistry};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lab_core::engine::{Description, Engine, EngineError};
use lab_core::error::{Exit, Failure};
use lab_core::event::{Keys, Secrets};
use lab_report::report::{encode, short_id};
use lab_report::term::{Term, Tone, clean_lines, mask_with, masked};
use lab_runner::drill::{self, DrillProcess};
use lab_runner::lab::{DEFAULT_NAME, Lab, Record, StateFolder, previous_key};
use lab_runner::provision::Provisioner;
use lab_runner::runner::Interrupt;
use lab_runner::undo;

/// Variable that the console of a room sets. Its user is on another machine, where the lab's addresses lead nowhere.
pub(super) const IN_CONSOLE: &str = "LAB_IN_CONSOLE";

/// State of one invocation of lab.
pub(super) struct Session {
    pub(super) term: Term,
    name: Option<String>,
    /// Masked in all output.
    secrets: Mutex<Secrets>,
    /// The user asked to see the secrets.
    is_revealed: AtomicBool,
    in_console: bool,
}

/// An existing lab and its engine.
pub(super) struct Connected {
    pub(super) lab: Lab,
    pub(super) record: Record,
    pub(super) engine: Arc<dyn Engine>,
}

impl Session {
    pub(super) fn new(name: Option<&str>) -> Self {
        Self {
            term: Term::new(),
            name: name.map(str::to_owned),
            secrets: Mutex::default(),
            is_revealed: AtomicBool::new(false),
            in_console: std::env::var_os(IN_CONSOLE).is_some(),
        }
    }

    /// Lab name, if one was given.
    pub(super) fn named(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns true if the user cannot open the lab's addresses.
    pub(super) fn is_in_console(&self) -> bool {
        self.in_console
    }

    /// Selected lab, whether it exists or not.
    pub(super) fn lab(&self) -> anyhow::Result<Lab> {
        let lab = StateFolder::open()?.lab(self.named().unwrap_or(DEFAULT_NAME))?;
        self.hide_secrets_of(&lab);
        Ok(lab)
    }

    /// Masks nothing from now on, because the user asked to see the secrets.
    pub(super) fn reveal(&self) {
        self.is_revealed.store(true, Ordering::Relaxed);
    }

    /// Masks these secrets in all further output, including errors.
    pub(super) fn hide(&self, secrets: &Secrets) {
        if self.is_revealed.load(Ordering::Relaxed) {
            return;
        }
        let mut all = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(secrets);
        if !all.is_empty() {
            let all = all.clone();
            mask_with("session", move |text| all.mask(text));
        }
    }

    /// Masks the lab's passwords and the secrets of runs in it.
    pub(super) fn hide_secrets_of(&self, lab: &Lab) {
        // Unreadable files reveal nothing; the code that needs them reports the error.
        let mut secrets = undo::pending(lab).ok().flatten().map(|pending| pending.secrets).unwrap_or_default();
        for password in lab.record().ok().flatten().iter().flat_map(|record| record.containers.secrets.values()) {
            secrets.add(password);
        }
        self.hide(&secrets);
    }

    /// Opens the selected lab, which must exist. Notes a pending undo.
    pub(super) fn connect(&self) -> anyhow::Result<Connected> {
        let lab = self.lab()?;
        self.note_leftover_labs(&lab)?;
        let Some(record) = lab.record()? else { return Err(no_such_lab(&lab).into()) };
        let engine = lab.engine(&record)?;
        self.note_pending_undo(&lab)?;
        Ok(Connected { lab, record, engine })
    }

    /// Provides labs, with live progress of their start until it is dropped.
    pub(super) fn provisioner(&self, interrupt: &Interrupt) -> Provisioner {
        let progress = super::progress::show(&self.term);
        Provisioner { connector: Arc::new(EngineRegistry), progress, interrupt: interrupt.clone() }
    }

    /// Notes a pending undo of a lab on stderr.
    pub(super) fn note_pending_undo(&self, lab: &Lab) -> anyhow::Result<()> {
        if lab.running().is_some() {
            return Ok(());
        }
        if let Some(id) = lab.drill()? {
            self.note_stopped_drill(lab, &id);
            return Ok(());
        }
        if lab.is_reset_pending() {
            let message =
                format!("lab {}: its reset was interrupted; finish it with lab reset{}", lab.name(), lab.name_option());
            self.term.note(&self.term.stderr_painter().paint(Tone::Warn, &message));
        }
        if let Some(pending) = undo::pending(lab)?
            && !pending.kept
        {
            let message = format!(
                "lab {}: undo of run {} ({}) is pending; run lab recover{}",
                lab.name(),
                short_id(&pending.run),
                pending.scenario,
                lab.name_option()
            );
            self.term.note(&self.term.stderr_painter().paint(Tone::Warn, &message));
        }
        Ok(())
    }

    /// Notes a drill whose referee is gone, or whose lab is not restored yet. Anything else would tell what the drill does.
    fn note_stopped_drill(&self, lab: &Lab, id: &str) {
        let name = lab.name_option();
        let message = match drill::is_ended(lab, id) {
            Ok(true) => format!("lab {} is not restored after its drill; run lab recover{name}", lab.name()),
            Ok(false) if DrillProcess::new(lab).is_running() => return,
            Ok(false) => format!(
                "the referee of the drill in lab {} was killed; lab drill resume{name} continues it",
                lab.name()
            ),
            Err(error) => format!("lab {}: {error}", lab.name()),
        };
        self.term.note(&self.term.stderr_painter().paint(Tone::Warn, &message));
    }

    /// Notes leftover temporary labs of interrupted runs on stderr, except the selected lab: they keep running unnoticed
    /// otherwise. Reads only files and contacts no engine.
    pub(super) fn note_leftover_labs(&self, selected: &Lab) -> anyhow::Result<()> {
        let mut left: Vec<String> = Vec::new();
        for lab in StateFolder::open()?.labs()? {
            // Counts a lab with an unreadable undo log as leftover; `lab recover` reports the error.
            let is_pending = |lab: &Lab| undo::pending(lab).map_or(true, |pending| pending.is_some_and(|it| !it.kept));
            if lab.name() != selected.name() && lab.is_temporary() && is_pending(&lab) && lab.running().is_none() {
                left.push(lab.name().to_owned());
            }
        }
        let (labs, are, it) = match left.len() {
            0 => return Ok(()),
            1 => ("lab", "is left over from an interrupted run", "it"),
            _ => ("labs", "are left over from interrupted runs", "them"),
        };
        // With a name, also from the environment, `lab recover` handles only that lab.
        let all = if self.named().is_some() { " --all" } else { "" };
        let message = format!("{labs} {} {are}; remove {it} with lab recover{all}", left.join(", "));
        self.term.note(&self.term.stderr_painter().paint(Tone::Warn, &message));
        Ok(())
    }

    /// Writes data to stdout, unmodified unless stdout is a terminal. A closed pipe is not an error.
    pub(super) fn print(&self, data: &[u8]) -> anyhow::Result<Exit> {
        let mut out = self.term.data();
        out.write_all(data)?;
        out.flush()?;
        Ok(Exit::Passed)
    }

    /// Writes a line of text to stdout.
    pub(super) fn line(&self, text: &str) -> anyhow::Result<Exit> {
        let mut out = self.term.out();
        out.write_all(format!("{text}\n").as_bytes())?;
        out.flush()?;
        Ok(Exit::Passed)
    }

    /// Writes a line from an external source, with secrets masked and, on a terminal, control characters removed.
    pub(super) fn foreign_line(&self, text: &str) -> anyhow::Result<Exit> {
        if self.term.is_terminal() {
            return self.line(&clean_lines(text));
        }
        self.print(format!("{}\n", masked(text)).as_bytes())
    }

    /// Writes a value to stdout as a JSON document, with secrets masked.
    pub(super) fn json(&self, value: &impl serde::Serialize) -> anyhow::Result<Exit> {
        self.document(&encode::document(value)?)
    }

    /// Writes a JSON document to stdout, with secrets masked.
    pub(super) fn document(&self, json: &[u8]) -> anyhow::Result<Exit> {
        self.print(&encode::map_texts(json, |text| masked(text).into_owned()))
    }
}

impl Connected {
    /// State of all services. If the stack is not running, the error has a hint.
    pub(super) async fn describe(&self) -> anyhow::Result<Description> {
        Ok(self.engine.describe().await.map_err(|error| self.not_described(error))?)
    }

    /// Key that the server expects, `None` if it has no key. If the app's container is missing: the key that it restarts
    /// with.
    pub(super) async fn server_key(&self) -> anyhow::Result<Option<String>> {
        let roles = self.engine.roles();
        let env = self.engine.env(&roles.app).await.map_err(|error| self.not_described(error))?;
        if env.is_empty() {
            return Ok(self.lab.existing()?.expected_server_key().map(str::to_owned));
        }
        Ok(env.get(&roles.key_variable).cloned())
    }

    /// Keys of the server and the callers. `None` if the server has no key. If the app's container is missing: the key that it
    /// restarts with.
    pub(super) fn keys(&self, now: &Description) -> anyhow::Result<Option<Keys>> {
        let record = self.lab.existing()?;
        let app = now.app();
        let gone = app.is_none_or(|app| app.instance.is_none() && app.env.is_empty());
        let remembered = record.expected_server_key().filter(|_| gone);
        let Some(server) = remembered.or_else(|| now.server_key()).map(str::to_owned) else { return Ok(None) };
        let previous = app.and_then(|app| previous_key(app, &now.roles, chrono::Utc::now()));
        Ok(Some(Keys { server, previous, caller: record.caller_key, callers: record.callers }))
    }

    /// Settles interrupted changes by what the services have, unless another command is changing the lab.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        // A damaged history is reported by the commands that need it.
        let is_pending = |lab: &Lab| lab.revisions().is_ok_and(|revisions| revisions.pending().next().is_some());
        if (self.record.next_server_key.is_some() || is_pending(&self.lab))
            && let Ok(_change) = self.lab.try_lock_change("a look at the lab")
        {
            self.lab.settle(self.engine.as_ref()).await?;
        }
        Ok(())
    }

    fn not_described(&self, error: EngineError) -> EngineError {
        if !error.kind.is_down() {
            return error;
        }
        let name = self.lab.name_option();
        error.hint(format!("lab up{name} restarts it with the same keys; lab down{name} removes it"))
    }
}

/// The error for a lab that does not exist.
pub(super) fn no_such_lab(lab: &Lab) -> Failure {
    Failure::failed(format!("lab {} does not exist", lab.name())).hint(format!("lab up{}", lab.name_option()))
}

/// The error for a service that is not among those of a lab.
pub(super) fn unknown_service<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let known: Vec<&str> = known.collect();
    let failure = Failure::usage(format!("unknown service {name:?} (this lab has {})", known.join(", ")));
    let lab = StateFolder::open().ok().and_then(|state| state.lab(name).ok());
    // A lab's name is a likely mistake, because other commands accept one here.
    if lab.is_some_and(|lab| lab.folder().root().exists()) {
        return failure.hint(format!("{name} is a lab: select it with --name {name}"));
    }
    failure
}

/// The error for a command that needs a service and got none.
pub(super) fn no_service<'a>(command: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let known: Vec<&str> = known.collect();
    let message = format!("{command} needs a service (this lab has {})", known.join(", "));
    Failure::usage(message).hint(format!("{command} {}", known.first().unwrap_or(&lab_core::engine::APP)))
}
