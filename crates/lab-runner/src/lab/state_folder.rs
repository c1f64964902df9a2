//! [`StateFolder`]: the folder that holds every lab and the journal of every run, and the sweeping up of labs that are gone.

use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use super::{Lab, LabError, folder_error};
use lab_system::files::{self, Folder};

/// How the folder of a lab that is being removed begins.
pub(super) const GONE: &str = ".gone-";

/// The folder that holds every lab and the journal of every run.
#[derive(Clone, Debug)]
pub struct StateFolder {
    root: PathBuf,
}

impl StateFolder {
    /// `LAB_STATE_DIR`, else the platform's place for state. If it is missing, it is made readable for this user only; else it must
    /// be a folder of this user that nobody else can write to.
    pub fn open() -> Result<Self, LabError> {
        if let Some(folder) = std::env::var_os("LAB_STATE_DIR").filter(|value| !value.is_empty()) {
            return Self::at(std::path::absolute(folder).map_err(|source| folder_error(Path::new("."), source))?);
        }
        let base = etcetera::choose_base_strategy()
            .map_err(|error| folder_error(Path::new("~"), io::Error::other(error.to_string())))?;
        Self::at(base.state_dir().unwrap_or_else(|| base.data_dir()).join("lab"))
    }

    /// A given folder.
    pub fn at(root: PathBuf) -> Result<Self, LabError> {
        // The folder itself may be reached through a link, which is the user's own choice; nothing in it may be one.
        if !root.exists() {
            files::make_folder(&root).map_err(|source| folder_error(&root, source))?;
        }
        let root = std::fs::canonicalize(&root).map_err(|source| folder_error(&root, source))?;
        for folder in [root.clone(), root.join("labs"), root.join("runs")] {
            files::make_folder(&folder).map_err(|source| folder_error(&folder, source))?;
        }
        Ok(Self { root })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A lab by its name, whether it exists or not.
    pub fn lab(&self, name: &str) -> Result<Lab, LabError> {
        Lab::new(name, &self.root.join("labs"))
    }

    /// Every lab that exists, or of which something is left, by name.
    pub fn labs(&self) -> Result<Vec<Lab>, LabError> {
        let folder = self.root.join("labs");
        let entries = std::fs::read_dir(&folder).map_err(|source| folder_error(&folder, source))?;
        // A link, or a folder of another user, is listed, so that its use says what is wrong with it.
        let may_be_lab =
            |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink());
        let labs = entries.flatten().filter(may_be_lab);
        let mut names: Vec<String> = labs.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names.iter().filter_map(|name| self.lab(name).ok()).collect())
    }

    /// Removes everything that killed commands have left: folders of removed labs, and temporary files and folders.
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

    /// The folder of a run's journal.
    pub fn run_folder(&self, id: &str) -> Folder {
        Folder::new(self.root.join("runs").join(id))
    }

    /// The ids of every run that left a journal, oldest first.
    pub fn runs(&self) -> Result<Vec<String>, LabError> {
        let folder = self.root.join("runs");
        let entries = std::fs::read_dir(&folder).map_err(|source| folder_error(&folder, source))?;
        let mut ids: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort();
        Ok(ids)
    }
}

/// Removes the folders of labs that are gone already.
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
