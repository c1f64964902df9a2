//! [`Feed`]: the open log of a seat's drill. Referee, console and pages write to it.

use lab_drill::event::{Entry, Event};
use lab_drill::fold::Drill;
use lab_drill::log::{Drills, Log, LogError};

/// The open log of the drill in progress of a seat.
pub(super) struct Feed {
    pub(super) id: String,
    log: Log,
}

/// Entries since the last look.
pub(super) enum News {
    Entries(Vec<Entry>),
    /// The log was published: it has to be folded again.
    Published(Box<Drill>),
}

impl Feed {
    /// Opens a log and folds it.
    pub(super) fn open(drills: &Drills, id: &str) -> Result<(Self, Drill), String> {
        let (log, drill) = read(drills, id)?;
        Ok((Self { id: id.to_owned(), log }, drill))
    }

    pub(super) fn news(&mut self, drills: &Drills) -> Result<News, String> {
        match self.log.read() {
            Ok(entries) => Ok(News::Entries(entries)),
            Err(LogError::Over) => {
                let (log, drill) = read(drills, &self.id)?;
                self.log = log;
                Ok(News::Published(Box::new(drill)))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Writes an entry. Returns the entries of others before it, and it.
    pub(super) fn append(&mut self, event: Event) -> Result<Vec<Entry>, LogError> {
        self.log.append(None, event)
    }

    /// Drill time now, in milliseconds.
    pub(super) fn now(&self) -> u64 {
        self.log.now()
    }
}

fn read(drills: &Drills, id: &str) -> Result<(Log, Drill), String> {
    let mut log = Log::open(&drills.folder(id)).map_err(|error| error.to_string())?;
    let entries = log.read().map_err(|error| error.to_string())?;
    let drill = Drill::from_entries(&entries).map_err(|error| error.to_string())?;
    Ok((log, drill))
}
