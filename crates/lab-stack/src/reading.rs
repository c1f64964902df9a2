//! [`Source`] of a user's own stack, and its [`Reading`], which includes what was read outside the stack's files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::folder::{ENV_FILE, Folder};
use super::variables::Variables;
use super::{Stack, StackErrors, compose};

/// Location and inputs of a user's own stack.
#[derive(Debug)]
pub struct Source<'a> {
    /// Folder with the compose file.
    pub folder: &'a Path,
    /// Generated passwords, which override all other variables.
    pub own: &'a BTreeMap<String, String>,
    /// Environment of the host. The stack gets the variables that its file names.
    pub host: Vec<(OsString, OsString)>,
    /// Folders that the user allows it to read in addition to its own files.
    pub allowed: &'a [PathBuf],
}

/// A user's own stack after reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The stack, checked and complete.
    pub stack: Stack,
    /// Files and folders outside its own folder that were read.
    pub outside: Vec<PathBuf>,
    /// Variables that were taken from the host's environment.
    pub from_host: Vec<String>,
    /// Notes about behaviour that the user may not expect.
    pub remarks: Vec<String>,
}

impl Source<'_> {
    /// Reads the stack.
    pub fn read(&self) -> Result<Reading, StackErrors> {
        let folder = Folder::on_disk(self.folder, self.allowed);
        let mut variables = Variables::new(self.own, self.host.iter().cloned());
        let stack = compose::load(&folder, &mut variables)?;
        let mut remarks: Vec<String> = Vec::new();
        for name in folder.ignored_files() {
            remarks.push(format!("{name} is ignored: the folder has another compose file"));
        }
        for name in variables.file.keys().filter(|name| name.starts_with("COMPOSE_")) {
            remarks.push(format!("{name} in {ENV_FILE} is a Compose setting and has no effect in lab"));
        }
        if variables.is_on_host("COMPOSE_FILE") {
            remarks.push("COMPOSE_FILE is a Compose setting and has no effect in lab".to_owned());
        }
        for name in variables.overridden() {
            remarks.push(format!("{name} is set, but lab generates its own value for each lab"));
        }
        Ok(Reading { stack, outside: folder.outside(), from_host: variables.used_from_host(), remarks })
    }
}

impl From<Stack> for Reading {
    /// Wraps a stack that only read its own files.
    fn from(stack: Stack) -> Self {
        Self { stack, outside: Vec::new(), from_host: Vec::new(), remarks: Vec::new() }
    }
}

impl Reading {
    /// Notices to print before anything starts.
    pub fn announcements(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.from_host.is_empty() {
            lines.push(format!("the stack uses variables from your environment: {}", self.from_host.join(", ")));
        }
        lines.extend(self.outside.iter().map(|path| format!("the stack reads outside its folder: {}", path.display())));
        lines.extend(self.remarks.iter().cloned());
        lines
    }
}
