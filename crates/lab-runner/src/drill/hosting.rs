//! [`Hosting`]: a referee in this process, which holds the locks of the lab while it watches.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::watch::{Pause, Watch};
use super::{DrillError, LOCK_FILE, Referee, ending, folder};
use crate::callers;
use crate::lab::Lab;
use lab_core::engine::Engine;
use lab_core::event::MASK;
use lab_drill::event::{Ending, Entry, Event};
use lab_drill::log::Log;
use lab_scenario::{LoadOptions, Plan, Source, load};
use lab_system::background;
use lab_system::files;
use lab_telemetry::wire::Wire;

/// The process that a referee runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// It has nothing else to do, so it may be ended to end the drill.
    Own,
    /// It does other work too, and is never ended for a drill.
    Shared,
}

/// A referee that is ready to watch.
pub struct Hosting {
    lab: Lab,
    drill: String,
    referee: Referee,
    /// `drill.lock`, and `callers.lock`, because this process also sends the callers' requests.
    locks: [File; 2],
    path: PathBuf,
}

impl Hosting {
    /// Locks the lab and begins to watch its drill, or continues.
    ///
    /// # Errors
    /// If another referee watches, if the log or the scenario cannot be read, or the lab cannot be observed or changed.
    pub async fn begin(
        (lab, engine, wire): (Lab, Arc<dyn Engine>, Arc<dyn Wire>),
        drill: &str,
        process: Process,
    ) -> Result<Self, DrillError> {
        let paths = [LOCK_FILE, callers::LOCK_FILE].map(|name| lab.folder().path(name));
        let locks = [background::acquire_lock(&paths[0]).await?, background::acquire_lock(&paths[1]).await?];
        if process == Process::Shared {
            locks.iter().try_for_each(background::mark_shared)?;
        }
        let mut log = Log::open(&folder(&lab, drill))?;
        let plan = Arc::new(plan(&log.read()?)?);
        let watch = Watch { lab: lab.clone(), engine, wire, plan };
        let referee = Referee::begin(watch, Log::open(&folder(&lab, drill))?).await?;
        let [path, _] = paths;
        Ok(Self { lab, drill: drill.to_owned(), referee, locks, path })
    }

    /// Watches until the drill is over, the lab is gone, or `end` is cancelled, and releases the locks. Returns how the drill
    /// ended, and `None` if it can be continued.
    ///
    /// # Errors
    /// If the log cannot be used.
    pub async fn run(self, end: CancellationToken, pause: Pause) -> Result<Option<Ending>, DrillError> {
        let Self { lab, drill, referee, locks, path } = self;
        let is_gone = || !files::is_named(&locks[0], &path);
        let ended = referee.run(end, pause, is_gone).await?;
        drop(locks);
        match ended {
            Some(by) => Ok(Some(by)),
            // Another process may have ended and published it meanwhile.
            None => ending(&lab, &drill),
        }
    }
}

/// Scenario of a drill, with its values.
fn plan(entries: &[Entry]) -> Result<Plan, DrillError> {
    let started = entries.iter().find_map(|entry| match &entry.event {
        Event::Started(started) => Some(started),
        _ => None,
    });
    let brief = &started.ok_or(DrillError::NotStarted)?.brief;
    // Of secrets, the log has no values: their defaults are used.
    let set = brief.parameters.iter().filter(|(_, value)| !value.contains(MASK));
    let set = set.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(load(&Source::parse(&brief.scenario), &LoadOptions { set, ..LoadOptions::default() })?)
}
