//! Files: the only place that opens them. [`open`] decides what may lie at a path: a file of the state is a regular file of this
//! user, of a bounded size, and no symbolic link; an input is a regular file of a bounded size. No open waits for another
//! process. [`draft`] writes files atomically, and collects what killed processes leave of that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

mod draft;
mod open;

pub use draft::{Output, Staged, collect, draft_folder, write_atomic, write_new, write_output};
pub use open::{
    Unusable, append, check_folder, check_state, create_stream, open_input, open_lock, open_state, read_input,
    read_state, read_within,
};

/// The largest record of a lab, its host or its dashboard, in bytes. They have a few kilobytes.
pub const RECORD_LIMIT: u64 = 1 << 20;
/// The largest undo log, in bytes: some hundred thousand changes.
pub const UNDO_LIMIT: u64 = 64 << 20;
/// The largest log of a service, in bytes. It is rotated at 16 MiB.
pub const LOG_LIMIT: u64 = 64 << 20;
/// The largest journal of a run, in bytes. Ten hours of samples are a tenth of it.
pub const JOURNAL_LIMIT: u64 = 256 << 20;

/// A folder of the state.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// A folder that may not exist yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file of the folder as JSON, atomically and durably.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        write_atomic(&self.path(name), &text)
    }

    /// Writes what a file of the folder is to be as JSON, beside it and durably: [`Staged::commit`] needs no space any more.
    pub fn stage_json(&self, name: &str, value: &impl Serialize) -> io::Result<Staged> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        Staged::write(&self.path(name), &text)
    }
}

/// Makes a folder of the state and those above it, durably, with mode 0700. One that exists is checked: see [`check_folder`].
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
    // What is in it would be lost with its own name.
    new.iter().filter_map(|folder| folder.parent()).try_for_each(sync_folder)
}

/// Makes a new, renamed or removed name in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Whether this open file is the one of that name; not if it was removed, or if another one has its name.
pub fn is_named(file: &fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
