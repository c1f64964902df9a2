//! A lab for tests.

use super::{Lab, Record, StateFolder};
use lab_core::engine::Engine;
use lab_testkit::engine::MockEngine;

/// A lab on the mock engine that is up, with `key` on its server, and the folder that contains its state.
pub(crate) async fn mock_lab(key: &str) -> (tempfile::TempDir, Lab, MockEngine) {
    let folder = tempfile::tempdir().unwrap();
    let lab = StateFolder::at(folder.path()).unwrap().lab("default").unwrap();
    lab.save(&Record { server_key: Some(key.to_owned()), ..Record::new("mock", 0) }).unwrap();
    let engine = MockEngine::running(key);
    lab.record_up(&engine.describe().await.unwrap()).unwrap();
    (folder, lab, engine)
}
