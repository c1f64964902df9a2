//! File access. Nothing else opens files. [`open`] checks each path first: a state file is a regular file of this user, not
//! a symbolic link, and bounded in size; an input is a regular file, bounded in size. No open blocks on another process.
//! [`draft`] writes files atomically and removes the drafts of killed processes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

mod draft;
mod open;

pub use draft::{Output, Staged, collect, draft_folder, write_atomic, write_new, write_output, write_volatile};
pub use open::{
    Unusable, append, check_folder, check_state, create_stream, open_input, open_lock, open_state, read_input,
    read_state, read_within,
};

/// Maximum size of the record of a lab, its host or its dashboard, in bytes. Typical records have a few kilobytes.
pub const RECORD_LIMIT: u64 = 1 << 20;
/// Maximum size of an undo log, in bytes: several hundred thousand changes.
pub const UNDO_LIMIT: u64 = 64 << 20;
/// Maximum size of a service log, in bytes. Logs are rotated at 16 MiB.
pub const LOG_LIMIT: u64 = 64 << 20;
/// Maximum size of the journal of a run, in bytes. Ten hours of samples take a tenth of it.
pub const JOURNAL_LIMIT: u64 = 256 << 20;

/// A folder that holds state files.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Does not create the folder.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Path of the folder. It may not exist.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a value to a file in the folder as JSON, atomically and durably.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        write_atomic(&self.path(name), &text)
    }

    /// Writes the next content of a file as JSON to a draft beside it, durably. [`Staged::commit`] then needs no disk space.
    pub fn stage_json(&self, name: &str, value: &impl Serialize) -> io::Result<Staged> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        Staged::write(&self.path(name), &text)
    }
}

/// Creates a state folder and its parents, durably, with mode 0700. An existing folder is checked with [`check_folder`].
pub fn make_folder(path: &Path) -> io::Result<()> {
    let new: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    if fs::symlink_metadata(path).is_err() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)?;
    }
    check_folder(path)?;
    // Without the parents' entries on disk, a power cut would lose the folder and its content.
    new.iter().filter_map(|folder| folder.parent()).try_for_each(sync_folder)
}

/// Makes the creation, renaming or removal of an entry in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Returns true if the path still refers to this open file, that is, if it was neither removed nor replaced.
pub fn is_named(file: &fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
