//! [`RoomConfig`]: what is decided when a room is opened, stored as `room.json`. It never changes afterwards.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use lab_system::files::{self, Folder};
use serde::{Deserialize, Serialize};

use crate::VERSION;
use crate::code::{Code, Token};

/// Name of the file.
const FILE: &str = "room.json";
/// Most seats of a room, reserve included.
pub const MAX_SEATS: u16 = 300;

/// Name of a room, unless another one is given.
pub const DEFAULT_NAME: &str = "room";

/// Longest name of a participant, in characters.
pub const LONGEST_NAME: usize = 60;

/// Number of a seat, from 1. Its lab is `ROOM-NUMBER`.
pub type SeatNumber = u16;

/// Why a room's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content is not that of a room.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// A newer version of lab wrote it.
    #[error("{} has version {version}, which this version of lab cannot read", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Version of the format.
        version: u32,
    },
}

/// Configuration of a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomConfig {
    /// Version of the format.
    pub version: u32,
    /// Name of the room.
    pub name: String,
    /// When it was opened.
    pub created: DateTime<Utc>,
    /// Engine of the seats' labs.
    pub engine: String,
    /// Address that the server listens on.
    pub address: SocketAddr,
    /// Token of the desk. The trainer's address contains it, so it is stored as it is, with mode 0600.
    pub desk: Token,
    /// The seats, by number. Those of the reserve come last.
    pub seats: Vec<SeatConfig>,
}

/// What every version has.
#[derive(Deserialize)]
struct Header {
    version: u32,
}

/// Configuration of a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatConfig {
    /// Its number.
    pub number: SeatNumber,
    /// Name of its lab.
    pub lab: String,
    /// Code by which a participant joins.
    pub code: Code,
    /// Name of the participant, from the roster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The seat is kept free for latecomers and for seats that fail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reserve: bool,
}

impl RoomConfig {
    /// Writes the configuration of a new room. Fails if the room exists.
    pub fn create(&self, folder: &Folder) -> Result<(), ConfigError> {
        let in_file = |path: &Path| {
            let path = path.to_owned();
            move |source| ConfigError::File { path, source }
        };
        files::make_folder(folder.root()).map_err(in_file(folder.root()))?;
        let path = folder.path(FILE);
        if path.exists() {
            return Err(in_file(&path)(io::ErrorKind::AlreadyExists.into()));
        }
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| in_file(&path)(error.into()))?;
        text.push(b'\n');
        files::write_new(&path, &text).map_err(in_file(&path))
    }

    /// Reads the configuration. `None` if there is no room in this folder.
    pub fn read(folder: &Folder) -> Result<Option<Self>, ConfigError> {
        let path = folder.path(FILE);
        let text = match files::read_state(&path, files::RECORD_LIMIT) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ConfigError::File { path, source }),
            Ok(text) => text,
        };
        let damaged =
            |path: PathBuf, error: &serde_json::Error| ConfigError::Damaged { path, detail: error.to_string() };
        let header: Header = serde_json::from_slice(&text).map_err(|error| damaged(path.clone(), &error))?;
        if header.version != VERSION {
            return Err(ConfigError::Version { path, version: header.version });
        }
        Ok(Some(serde_json::from_slice(&text).map_err(|error| damaged(path, &error))?))
    }

    /// The room in a title: `Room monday`, or only `Room` if it has the default name.
    pub fn title(&self) -> String {
        if self.name == DEFAULT_NAME { "Room".to_owned() } else { format!("Room {}", self.name) }
    }

    /// Configuration of a seat.
    pub fn seat(&self, number: SeatNumber) -> Option<&SeatConfig> {
        self.seats.iter().find(|seat| seat.number == number)
    }
}

/// A room in a sentence: `room monday`, or `the room` if it has the default name.
pub fn describe(name: &str) -> String {
    if name == DEFAULT_NAME { "the room".to_owned() } else { format!("room {name}") }
}

/// The folder with all rooms of a state folder.
#[derive(Clone, Debug)]
pub struct Rooms {
    root: PathBuf,
}

impl Rooms {
    /// Rooms in `state`, the state folder.
    pub fn new(state: &Path) -> Self {
        Self { root: state.join("rooms") }
    }

    /// Folder of one room.
    pub fn folder(&self, name: &str) -> Folder {
        Folder::new(self.root.join(name))
    }

    /// Names of all rooms, in alphabetical order.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let folders = entries.flatten().filter(|entry| entry.path().join(FILE).exists());
        let mut names: Vec<String> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }
}

/// Name of a seat's lab. Numbers of one room have the same number of digits, so that names sort like numbers.
pub fn lab_name(room: &str, number: SeatNumber, seats: u16) -> String {
    let digits = seats.to_string().len().max(2);
    format!("{room}-{number:0digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_read_as_it_was_written_and_created_once() {
        let root = tempfile::tempdir().unwrap();
        let rooms = Rooms::new(root.path());
        let folder = rooms.folder("monday");
        assert_eq!(RoomConfig::read(&folder).unwrap(), None);
        let config = crate::fold::tests::config(2, 1);
        config.create(&folder).unwrap();
        assert_eq!(RoomConfig::read(&folder).unwrap(), Some(config.clone()));
        assert!(matches!(config.create(&folder), Err(ConfigError::File { .. })));
        assert_eq!(rooms.names().unwrap(), ["monday"]);
        std::fs::write(folder.path(FILE), r#"{"version": 9}"#).unwrap();
        let error = RoomConfig::read(&folder).unwrap_err().to_string();
        assert!(error.contains("version 9"), "{error}");
    }

    #[test]
    fn names_of_labs_sort_like_numbers() {
        assert_eq!([lab_name("a", 7, 9), lab_name("a", 7, 30), lab_name("a", 7, 120)], ["a-07", "a-07", "a-007"]);
    }
}
