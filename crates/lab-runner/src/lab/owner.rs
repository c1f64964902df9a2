//! Ownership of labs. Users who share a Docker daemon share its resource names, so each state folder has an id.

use std::io;
use std::path::Path;

use super::{Lab, LabError, folder_error};
use lab_core::engine::Owner;
use lab_system::files;

/// File in the state folder that holds its id.
const FILE: &str = "keeper";

impl Lab {
    /// Owner of the labs in this state folder. Identified by an id rather than a path, because a laptop's host name
    /// changes with its network.
    pub fn owner(&self) -> Result<Owner, LabError> {
        let labs = self.folder().root().parent().unwrap_or(Path::new("."));
        let state = labs.parent().unwrap_or(labs);
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Owner { id: id(state)?, location: format!("{host}:{}", state.display()) })
    }
}

/// Id of a state folder, created on first use. Safe for concurrent use.
fn id(state: &Path) -> Result<String, LabError> {
    let path = state.join(FILE);
    let failed = |source| folder_error(&path, source);
    if let Some(id) = read(&path).map_err(failed)? {
        return Ok(id);
    }
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| failed(io::Error::other(error.to_string())))?;
    let new = format!("{:016x}\n", u64::from_le_bytes(bytes));
    files::write_new(&path, new.as_bytes()).map_err(failed)?;
    read(&path).map_err(failed)?.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))
}

/// Reads an id. Returns `None` if the file does not exist; removes it if it contains no valid id.
fn read(path: &Path) -> io::Result<Option<String>> {
    let id = match files::read_state(path, files::RECORD_LIMIT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => String::from_utf8_lossy(&text?).trim_end().to_owned(),
    };
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(Some(id));
    }
    // Not written by lab; an empty id would match any owner.
    std::fs::remove_file(path)?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_keeps_its_id_and_another_has_another() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = id(one.path()).unwrap();
        assert_eq!(id(one.path()).unwrap(), first);
        assert_ne!(id(other.path()).unwrap(), first);
        for damaged in ["", "two words", "\n"] {
            std::fs::write(one.path().join(FILE), damaged).unwrap();
            let id = id(one.path()).unwrap();
            assert!(id.len() == 16 && id != first, "{id}");
        }
    }
}
