//! The drill in progress in a lab: `drill.json` in the lab's folder. The file has the drill's id and gives nothing else away.

use std::io;

use lab_system::files;
use serde::{Deserialize, Serialize};

use super::{Lab, LabError, folder_error};

const FILE: &str = "drill.json";

#[derive(Serialize, Deserialize)]
struct Document {
    drill: String,
}

impl Lab {
    /// Id of the drill in progress. `None` if there is none.
    pub fn drill(&self) -> Result<Option<String>, LabError> {
        let path = self.folder.path(FILE);
        let text = match files::read_state(&path, files::RECORD_LIMIT) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(folder_error(&path, source)),
        };
        let damaged = |error: serde_json::Error| LabError::Damaged { path, detail: error.to_string() };
        serde_json::from_slice(&text).map(|Document { drill }| Some(drill)).map_err(damaged)
    }

    /// Records the drill in progress, durably. Call it before the drill changes anything.
    pub fn begin_drill(&self, id: &str) -> Result<(), LabError> {
        let document = Document { drill: id.to_owned() };
        self.folder.write_json(FILE, &document).map_err(|source| folder_error(&self.folder.path(FILE), source))
    }

    /// Removes the record of the drill, durably. Call it after the lab was restored.
    pub fn end_drill(&self) -> Result<(), LabError> {
        let path = self.folder.path(FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| files::sync_folder(self.folder.root())),
        }
        .map_err(|source| folder_error(&path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Record, StateFolder};
    use super::*;

    #[test]
    fn a_drill_is_recorded_from_its_start_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let lab = StateFolder::at(folder.path()).unwrap().lab("default").unwrap();
        assert_eq!(lab.drill().unwrap(), None);
        lab.save(&Record::new("mock", 0)).unwrap();
        lab.begin_drill("20261130T101500.000Z-7f3a").unwrap();
        assert_eq!(lab.drill().unwrap().as_deref(), Some("20261130T101500.000Z-7f3a"));
        lab.end_drill().unwrap();
        lab.end_drill().unwrap();
        assert_eq!(lab.drill().unwrap(), None);
        std::fs::write(lab.folder().path(FILE), "{").unwrap();
        assert!(matches!(lab.drill(), Err(LabError::Damaged { .. })));
    }
}
