//! Folder with all labs and the run history, and the cleanup of removed labs.

use std::cmp::Ordering;
use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use super::{Lab, LabError, folder_error};
use lab_system::files::{self, Folder};

/// Name prefix of a lab folder that is being removed.
pub(super) const GONE: &str = ".gone-";

/// Folder with all labs and the run history.
#[derive(Clone, Debug)]
pub struct StateFolder {
    root: PathBuf,
}

impl StateFolder {
    /// Opens `LAB_STATE_DIR`, or the platform's state folder. Creates it with access for this user only. An existing
    /// folder must belong to this user and must not be writable by others.
    pub fn open() -> Result<Self, LabError> {
        if let Some(folder) = std::env::var_os("LAB_STATE_DIR").filter(|value| !value.is_empty()) {
            return Self::at(&std::path::absolute(folder).map_err(|source| folder_error(Path::new("."), source))?);
        }
        let base = etcetera::choose_base_strategy()
            .map_err(|error| folder_error(Path::new("~"), io::Error::other(error.to_string())))?;
        Self::at(&base.state_dir().unwrap_or_else(|| base.data_dir()).join("lab"))
    }

    /// Opens a specific folder.
    pub fn at(root: &Path) -> Result<Self, LabError> {
        // The folder itself may be reached through a symlink, as the user chooses; nothing inside may be one.
        if !root.exists() {
            files::make_folder(root).map_err(|source| folder_error(root, source))?;
        }
        let root = std::fs::canonicalize(root).map_err(|source| folder_error(root, source))?;
        for folder in [root.clone(), root.join("labs"), root.join("runs")] {
            files::make_folder(&folder).map_err(|source| folder_error(&folder, source))?;
        }
        Ok(Self { root })
    }

    /// Absolute path without symbolic links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns a lab, whether it exists or not.
    pub fn lab(&self, name: &str) -> Result<Lab, LabError> {
        Lab::new(name, &self.root.join("labs"))
    }

    /// All labs that exist or have leftovers, sorted by name in natural order.
    pub fn labs(&self) -> Result<Vec<Lab>, LabError> {
        let folder = self.root.join("labs");
        let entries = std::fs::read_dir(&folder).map_err(|source| folder_error(&folder, source))?;
        // Symlinks and other users' folders are included, so that using them reports what is wrong.
        let may_be_lab =
            |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink());
        let labs = entries.flatten().filter(may_be_lab);
        let mut names: Vec<String> = labs.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_by(|one, other| natural_order(one, other));
        Ok(names.iter().filter_map(|name| self.lab(name).ok()).collect())
    }

    /// Removes leftovers of killed commands: folders of removed labs, temporary files and temporary folders.
    pub fn sweep(&self) -> Result<(), LabError> {
        files::collect(&self.root);
        for folder in ["labs", "runs"].map(|name| self.root.join(name)) {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    files::collect(&entry.path());
                }
            }
        }
        sweep(&self.root.join("labs"))
    }

    /// Folder with the history of one run.
    pub fn run_folder(&self, id: &str) -> Folder {
        Folder::new(self.root.join("runs").join(id))
    }

    /// Ids of all runs in the run history, oldest first.
    pub fn runs(&self) -> Result<Vec<String>, LabError> {
        let folder = self.root.join("runs");
        let entries = std::fs::read_dir(&folder).map_err(|source| folder_error(&folder, source))?;
        let mut ids: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort();
        Ok(ids)
    }
}

/// Compares names so that numbers in them count by their value: `room-2` comes before `room-10`.
fn natural_order(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (chunks(one), chunks(other));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (left, right) => match left.cmp(&right) {
                Ordering::Equal => {}
                different => return different,
            },
        }
    }
}

/// Numbers and other characters of a name. Names have at most 40 characters, but a number may exceed 64 bits.
fn chunks(name: &str) -> impl Iterator<Item = (u128, &str)> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let is_same = |c: char| c.is_ascii_digit() == first.is_ascii_digit();
        let end = rest.find(|c| !is_same(c)).unwrap_or(rest.len());
        let (chunk, after) = rest.split_at(end);
        rest = after;
        Some((if first.is_ascii_digit() { chunk.parse().unwrap_or(u128::MAX) } else { 0 }, chunk))
    })
}

/// Removes folders of removed labs.
pub(super) fn sweep(labs: &Path) -> Result<(), LabError> {
    let entries = std::fs::read_dir(labs).map_err(|source| folder_error(labs, source))?;
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(GONE)) {
        match std::fs::remove_dir_all(entry.path()) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(folder_error(&entry.path(), source)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::natural_order;

    #[test]
    fn numbers_in_names_count_by_their_value() {
        let mut names = vec!["room-10", "room-2", "default", "room-1b", "room-1", "10", "9", "room", "room-02"];
        names.sort_by(|one, other| natural_order(one, other));
        assert_eq!(names, ["default", "room", "room-1", "room-1b", "room-02", "room-2", "room-10", "9", "10"]);
    }
}
