//! Whose labs those of a state folder are: users who share a Docker daemon share the names of what is on it.

use std::io;
use std::path::Path;

use super::{Lab, LabError, folder_error};
use lab_core::engine::Owner;
use lab_system::files;

/// The file of the state folder that holds its id.
const FILE: &str = "keeper";

impl Lab {
    /// Who keeps the labs of its state folder. The folder's id, not its place: a laptop's name changes with its network.
    pub fn owner(&self) -> Result<Owner, LabError> {
        let labs = self.folder().root().parent().unwrap_or(Path::new("."));
        let state = labs.parent().unwrap_or(labs);
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Owner { id: id(state)?, location: format!("{host}:{}", state.display()) })
    }
}

/// The id of a state folder, made at the first call. Of two at once, one makes it.
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

/// What a file holds; none where there is none, or where it holds no id: then it is removed.
fn read(path: &Path) -> io::Result<Option<String>> {
    let id = match files::read_state(path, files::RECORD_LIMIT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => String::from_utf8_lossy(&text?).trim_end().to_owned(),
    };
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(Some(id));
    }
    // Nothing that lab wrote: an empty one would be anybody's.
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
