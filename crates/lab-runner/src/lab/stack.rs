//! Stack of a container lab as last read by `lab up`: `stack.json` in the lab's folder. Other commands use this copy,
//! regardless of later changes to the stack's files or to environment variables.

use std::io;

use serde::{Deserialize, Serialize};

use super::{Lab, LabError, folder_error};
use lab_stack::Stack;
use lab_system::files;

const FILE: &str = "stack.json";
const VERSION: u32 = 1;
/// Maximum size in bytes. Embedded folders hold up to 64 MiB, and quotes and backslashes take two bytes each.
const LIMIT: u64 = 192 << 20;

#[derive(Serialize, Deserialize)]
struct Remembered<S> {
    version: u32,
    stack: S,
}

impl Lab {
    /// Stack with which the lab was brought up. `None` if there is none, or if an older version of lab brought it up.
    pub fn stack(&self) -> Result<Option<Stack>, LabError> {
        let path = self.folder.path(FILE);
        let text = match files::read_state(&path, LIMIT) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(folder_error(&path, source)),
        };
        let damaged = |error: serde_json::Error| LabError::Damaged { path: path.clone(), detail: error.to_string() };
        let remembered: Remembered<serde_json::Value> = serde_json::from_slice(&text).map_err(damaged)?;
        if remembered.version > VERSION {
            return Err(LabError::Newer { name: self.name.clone(), found: remembered.version });
        }
        serde_json::from_value(remembered.stack).map(Some).map_err(damaged)
    }

    /// Stores the stack.
    pub fn save_stack(&self, stack: &Stack) -> Result<(), LabError> {
        self.make_folder()?;
        let remembered = Remembered { version: VERSION, stack };
        self.folder.write_json(FILE, &remembered).map_err(|source| folder_error(&self.folder.path(FILE), source))
    }

    /// Removes the stored stack.
    pub fn forget_stack(&self) -> Result<(), LabError> {
        let path = self.folder.path(FILE);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(folder_error(&path, source)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::lab::{LabError, StateFolder};
    use lab_stack::Stack;

    #[test]
    fn a_stack_is_remembered_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let lab = StateFolder::at(&folder.path().join("state")).unwrap().lab("default").unwrap();
        assert_eq!(lab.stack().unwrap(), None);
        let stack = Stack::embedded(&BTreeMap::new()).unwrap();
        lab.save_stack(&stack).unwrap();
        assert_eq!(lab.stack().unwrap(), Some(stack));
        for (text, is_newer) in [("{", false), (r#"{"version":1}"#, false), (r#"{"version":2,"stack":{}}"#, true)] {
            std::fs::write(lab.folder().path(super::FILE), text).unwrap();
            let error = lab.stack().unwrap_err();
            assert_eq!(matches!(error, LabError::Newer { .. }), is_newer, "{error}");
        }
        lab.forget_stack().unwrap();
        lab.forget_stack().unwrap();
        assert_eq!(lab.stack().unwrap(), None);
    }
}
