//! [`Source`]: a stack of the user's own, and how it is read; [`Reading`]: the stack, and what was read for it beside its
//! own files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::folder::{ENV_FILE, Folder};
use super::variables::Variables;
use super::{Stack, StackErrors, compose};

/// A stack of the user's own.
#[derive(Debug)]
pub struct Source<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// Variables that come before all others: passwords that lab makes.
    pub own: &'a BTreeMap<String, String>,
    /// The host's environment. The stack gets those variables that its file names.
    pub host: Vec<(OsString, OsString)>,
    /// Folders that the user allows it to read, beside its own files.
    pub allowed: &'a [PathBuf],
}

/// A stack of the user's own, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The stack.
    pub stack: Stack,
    /// Files and folders outside its own folder that were read.
    pub outside: Vec<PathBuf>,
    /// Variables of the host's environment that it got.
    pub from_host: Vec<String>,
    /// What the user may not expect.
    pub remarks: Vec<String>,
}

impl Source<'_> {
    /// Reads it.
    pub fn read(&self) -> Result<Reading, StackErrors> {
        let folder = Folder::on_disk(self.folder, self.allowed);
        let mut variables = Variables::new(self.own, self.host.iter().cloned());
        let stack = compose::load(&folder, &mut variables)?;
        let mut remarks: Vec<String> = Vec::new();
        for name in folder.unread() {
            remarks.push(format!("{name} is not read: another compose file is beside it"));
        }
        for name in variables.file.keys().filter(|name| name.starts_with("COMPOSE_")) {
            remarks.push(format!("{name} in {ENV_FILE} is for Compose, and means nothing to lab"));
        }
        if variables.is_on_host("COMPOSE_FILE") {
            remarks.push("COMPOSE_FILE is for Compose, and means nothing to lab".to_owned());
        }
        for name in variables.overruled() {
            remarks.push(format!("{name} is set, but lab makes one for each lab"));
        }
        Ok(Reading { stack, outside: folder.outside(), from_host: variables.taken_from_host(), remarks })
    }
}

impl From<Stack> for Reading {
    /// A stack for which nothing else was read.
    fn from(stack: Stack) -> Self {
        Self { stack, outside: Vec::new(), from_host: Vec::new(), remarks: Vec::new() }
    }
}

impl Reading {
    /// What the user is to know before anything starts, a line each.
    pub fn announcements(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.from_host.is_empty() {
            lines.push(format!("the stack gets from your environment: {}", self.from_host.join(", ")));
        }
        lines.extend(self.outside.iter().map(|path| format!("the stack reads outside its folder: {}", path.display())));
        lines.extend(self.remarks.iter().cloned());
        lines
    }
}
