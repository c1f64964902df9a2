//! `lab scenario schema`: every key of scenario files, as JSON Schema or as a page.

use crate::cli::SchemaFormat;
use crate::commands::session::Session;
use lab_core::error::Exit;
use lab_scenario::{json_schema, reference};

pub(super) fn run(session: &Session, format: SchemaFormat) -> anyhow::Result<Exit> {
    match format {
        SchemaFormat::Json => session.json(&json_schema::json_schema()),
        SchemaFormat::Markdown => session.print(reference::reference().as_bytes()),
    }
}
