//! `lab scenario schema`: every key of scenario files, as JSON Schema or as a page.

use crate::cli::SchemaFormat;
use crate::commands::session::Session;
use lab_core::error::Exit;
use lab_scenario::{reference, schema};

pub(super) fn run(session: &Session, format: SchemaFormat) -> anyhow::Result<Exit> {
    match format {
        SchemaFormat::Json => session.json(&schema::schema()),
        SchemaFormat::Markdown => session.print(reference::reference().as_bytes()),
    }
}
