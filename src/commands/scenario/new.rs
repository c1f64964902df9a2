//! `lab scenario new`: creates a scenario file and the schema for editors next to it. Overwrites nothing.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use crate::cli::NewArgs;
use crate::commands::session::Session;
use lab_core::error::{Exit, Failure};
use lab_report::report::encode;
use lab_report::term::Tone;
use lab_scenario::json_schema;
use lab_scenario::skeleton::{PART, SCHEMA_FILE, skeleton};

pub(super) fn run(session: &Session, args: &NewArgs) -> anyhow::Result<Exit> {
    let path = path(args);
    let typed = typed(&path);
    let text = skeleton(&args.scenario, &typed).map_err(|expected| {
        let message = format!("invalid scenario name {:?}: {expected}", args.scenario);
        Failure::usage(message).hint("use --out FOLDER to choose the folder")
    })?;
    if path.file_stem().is_some_and(|stem| stem == PART) {
        let message =
            format!("a new scenario cannot be named {PART}: it includes the built-in {PART} and would include itself");
        return Err(Failure::usage(message).hint(format!("choose another name: lab scenario new my-{PART}")).into());
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    if !folder.as_os_str().is_empty() {
        std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
    }
    write(&path, text.as_bytes())?;
    session.line(&format!("wrote {typed}"))?;
    let schema_path = folder.join(SCHEMA_FILE);
    match write(&schema_path, &encode::document(&json_schema::json_schema())?) {
        Ok(()) => session.line(&format!("wrote {}, for editors", display(&schema_path)))?,
        // It already exists, most likely from an earlier `new`.
        Err(_) if schema_path.is_file() => Exit::Passed,
        Err(failure) => return Err(failure.into()),
    };
    let next = format!("next: lab scenario run {typed} · lab scenario prove {typed}");
    session.line(&session.term.painter().paint(Tone::Dim, &next))
}

/// Writes a new file; fails if it exists.
fn write(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let file = File::create_new(path).and_then(|mut file| file.write_all(text));
    file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!("{} exists already", path.display()))
            .hint("choose another name, or another folder with --out FOLDER"),
        _ => cannot_write(path, &error),
    })
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", path.display()))
}

/// Path of the new file. `--out` is a folder if it exists as one or ends with a slash.
fn path(args: &NewArgs) -> PathBuf {
    let file = format!("{}.yaml", args.scenario);
    match &args.out {
        None => PathBuf::from(file),
        Some(out) if out.is_dir() || out.as_os_str().to_string_lossy().ends_with(['/', MAIN_SEPARATOR]) => {
            out.join(file)
        }
        Some(out) => out.clone(),
    }
}

/// The path as an argument of other commands: a name without folder or extension would select a built-in scenario.
fn typed(path: &Path) -> String {
    let text = display(path);
    let bare = path.extension().is_none_or(|extension| extension != "yaml" && extension != "yml");
    if bare && !text.contains(['/', MAIN_SEPARATOR]) { format!("./{text}") } else { text }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
