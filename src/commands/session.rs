//! [`Session`]: what every verb needs: the terminal, the state folder, the lab that is meant, and its engine.

use crate::engines::Connect;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use lab_core::engine::{Description, Engine, EngineError, EngineErrorKind};
use lab_core::error::{Exit, Failure};
use lab_core::event::Secrets;
use lab_report::report::{encode, short_id};
use lab_report::term::{Term, Tone, clean_lines, mask_with, masked};
use lab_runner::lab::{DEFAULT_NAME, Lab, Record, StateFolder};
use lab_runner::undo;

/// One call of lab.
pub(super) struct Session {
    pub(super) term: Term,
    name: Option<String>,
    /// What is masked in all that this call shows.
    secrets: Mutex<Secrets>,
}

/// A lab that exists, and its engine.
pub(super) struct Connected {
    pub(super) lab: Lab,
    pub(super) record: Record,
    pub(super) engine: Arc<dyn Engine>,
}

impl Session {
    pub(super) fn new(name: Option<&str>) -> Self {
        Self { term: Term::new(), name: name.map(str::to_owned), secrets: Mutex::default() }
    }

    /// The name that was given, if one was.
    pub(super) fn named(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The lab that is meant, whether it exists or not.
    pub(super) fn lab(&self) -> anyhow::Result<Lab> {
        let lab = StateFolder::open()?.lab(self.named().unwrap_or(DEFAULT_NAME))?;
        self.hide_secrets_of(&lab);
        Ok(lab)
    }

    /// Masks these in all that is shown from now on, errors included.
    pub(super) fn hide(&self, secrets: &Secrets) {
        let mut all = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(secrets);
        if !all.is_empty() {
            let all = all.clone();
            mask_with("session", move |text| all.mask(text));
        }
    }

    /// Masks what runs have put into a lab that is not to be read, and the lab's passwords.
    pub(super) fn hide_secrets_of(&self, lab: &Lab) {
        // Files that cannot be read hold nothing that could be shown; who needs them says what is wrong with them.
        let mut secrets = undo::pending(lab).ok().flatten().map(|pending| pending.secrets).unwrap_or_default();
        for password in lab.record().ok().flatten().iter().flat_map(|record| record.containers.secrets.values()) {
            secrets.add(password);
        }
        self.hide(&secrets);
    }

    /// The lab that is meant, which must exist. Says where an undo of it is owed.
    pub(super) fn connect(&self) -> anyhow::Result<Connected> {
        let lab = self.lab()?;
        self.mention_left(&lab)?;
        let Some(record) = lab.record()? else { return Err(missing(&lab).into()) };
        let engine = lab.engine(&record)?;
        self.mention_undo(&lab)?;
        Ok(Connected { lab, record, engine })
    }

    /// Says on stderr that an undo of a lab is owed.
    pub(super) fn mention_undo(&self, lab: &Lab) -> anyhow::Result<()> {
        if lab.running().is_some() {
            return Ok(());
        }
        if let Some(pending) = undo::pending(lab)?
            && !pending.kept
        {
            let message = format!(
                "lab {} owes the undo of run {} ({}): lab recover{} does it",
                lab.name(),
                short_id(&pending.run),
                pending.scenario,
                name_option(lab)
            );
            self.term.note(&self.term.stderr_painter().paint(Tone::Warn, &message));
        }
        Ok(())
    }

    /// Says on stderr which labs are left that runs had made for themselves, other than the one that is meant: nobody names
    /// them, and what they are made of runs on. What is on disk says it; no engine is asked.
    pub(super) fn mention_left(&self, meant: &Lab) -> anyhow::Result<()> {
        let mut left: Vec<String> = Vec::new();
        for lab in StateFolder::open()?.labs()? {
            // A log that cannot be read is no reason to say nothing; `lab recover` tells what is wrong with it.
            let owes = |lab: &Lab| undo::pending(lab).map_or(true, |pending| pending.is_some_and(|it| !it.kept));
            if lab.name() != meant.name() && lab.is_temporary() && owes(&lab) && lab.running().is_none() {
                left.push(lab.name().to_owned());
            }
        }
        let (labs, are, it) = match left.len() {
            0 => return Ok(()),
            1 => ("lab", "is left of a run that was cut off", "it"),
            _ => ("labs", "are left of runs that were cut off", "them"),
        };
        // With a name, also that of the environment, it would look at that lab alone.
        let all = if self.named().is_some() { " --all" } else { "" };
        let message = format!("{labs} {} {are}: lab recover{all} takes {it} away", left.join(", "));
        self.term.note(&self.term.stderr_painter().paint(Tone::Warn, &message));
        Ok(())
    }

    /// Writes data to stdout, byte for byte unless a terminal shows it; a reader that has gone is no error.
    pub(super) fn print(&self, data: &[u8]) -> anyhow::Result<Exit> {
        let mut out = self.term.data();
        out.write_all(data)?;
        out.flush()?;
        Ok(Exit::Passed)
    }

    /// Writes a line for people to stdout.
    pub(super) fn line(&self, text: &str) -> anyhow::Result<Exit> {
        let mut out = self.term.out();
        out.write_all(format!("{text}\n").as_bytes())?;
        out.flush()?;
        Ok(Exit::Passed)
    }

    /// Writes a line that somebody else wrote: a pipe gets it as it is, but for secrets, a terminal what it may show.
    pub(super) fn foreign_line(&self, text: &str) -> anyhow::Result<Exit> {
        if self.term.is_terminal() {
            return self.line(&clean_lines(text));
        }
        self.print(format!("{}\n", masked(text)).as_bytes())
    }

    /// Writes a value to stdout as a JSON document, its texts without secrets.
    pub(super) fn json(&self, value: &impl serde::Serialize) -> anyhow::Result<Exit> {
        self.document(&encode::document(value)?)
    }

    /// Writes a JSON document to stdout, its texts without secrets.
    pub(super) fn document(&self, json: &[u8]) -> anyhow::Result<Exit> {
        self.print(&encode::map_texts(json, |text| masked(text).into_owned()))
    }
}

impl Connected {
    /// The state of every service. That no stack runs is an error which says what to do.
    pub(super) async fn describe(&self) -> anyhow::Result<Description> {
        Ok(self.engine.describe().await.map_err(|error| self.not_described(error))?)
    }

    /// The key that the server expects, whether it is well or not; none where it has none. Of one that is not there: the key
    /// with which it comes back.
    pub(super) async fn server_key(&self) -> anyhow::Result<Option<String>> {
        let roles = self.engine.roles();
        let env = self.engine.env(&roles.app).await.map_err(|error| self.not_described(error))?;
        if env.is_empty() {
            return Ok(self.lab.existing()?.expected_server_key().map(str::to_owned));
        }
        Ok(env.get(&roles.key_variable).cloned())
    }

    /// Settles a change of the server's key that was interrupted, unless another command is changing the lab now.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        if self.record.next_server_key.is_some()
            && let Ok(_change) = self.lab.try_lock_change("a look at the lab")
        {
            self.lab.settle_server_key(self.engine.as_ref()).await?;
        }
        Ok(())
    }

    fn not_described(&self, error: EngineError) -> EngineError {
        if !matches!(error.kind, EngineErrorKind::NotUp | EngineErrorKind::Lost) {
            return error;
        }
        let name = name_option(&self.lab);
        error.hint(format!("lab up{name} brings it back with the same keys; lab down{name} forgets it"))
    }
}

/// An engine that cannot be talked to makes no lab, nor one where somebody else has a lab of that name: then none is on record
/// either, which nobody could take down.
pub(super) async fn reachable(engine: &dyn Engine) -> Result<(), EngineError> {
    use EngineErrorKind::{Denied, Foreign, Unreachable};
    match engine.describe().await {
        Err(error) if matches!(error.kind, Unreachable | Denied | Foreign) => Err(error),
        _ => Ok(()),
    }
}

/// ` --name NAME`, where it is not the default one: for commands that the user may copy.
pub(super) fn name_option(lab: &Lab) -> String {
    if lab.name() == DEFAULT_NAME { String::new() } else { format!(" --name {}", lab.name()) }
}

/// There is no lab of this name.
pub(super) fn missing(lab: &Lab) -> Failure {
    Failure::failed(format!("there is no lab {}", lab.name())).hint(format!("lab up{} brings it up", name_option(lab)))
}
