//! `lab scenario new`: writes a scenario to begin from, and the schema for the editor beside it. Overwrites nothing.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use crate::cli::NewArgs;
use crate::commands::session::Session;
use lab_core::error::{Exit, Failure};
use lab_report::report::encode;
use lab_report::term::Tone;
use lab_scenario::schema;
use lab_scenario::skeleton::{PART, SCHEMA_FILE, skeleton};

pub(super) fn run(session: &Session, args: &NewArgs) -> anyhow::Result<Exit> {
    let path = path(args);
    let typed = typed(&path);
    let text = skeleton(&args.scenario, &typed).map_err(|expected| {
        let message = format!("{:?} is no name for a scenario: {expected}", args.scenario);
        Failure::usage(message).hint("lab scenario new slow-login --out FOLDER says where")
    })?;
    if path.file_stem().is_some_and(|stem| stem == PART) {
        let message =
            format!("a new scenario cannot be named {PART}: it includes lab's own {PART}, and would include itself");
        return Err(Failure::usage(message).hint(format!("another name: lab scenario new my-{PART}")).into());
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    if !folder.as_os_str().is_empty() {
        std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
    }
    write(&path, text.as_bytes())?;
    session.line(&format!("wrote {typed}"))?;
    let schema_path = folder.join(SCHEMA_FILE);
    match write(&schema_path, &encode::document(&schema::schema())?) {
        Ok(()) => session.line(&format!("wrote {}, for editors", typed_of(&schema_path)))?,
        // It is there already: of an earlier `new`, most likely.
        Err(_) if schema_path.is_file() => Exit::Passed,
        Err(failure) => return Err(failure.into()),
    };
    let next = format!("next: lab scenario run {typed} · lab scenario prove {typed}");
    session.line(&session.term.painter().paint(Tone::Dim, &next))
}

/// A new file, never one that is there.
fn write(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let file = File::create_new(path).and_then(|mut file| file.write_all(text));
    file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!("{} is there already", path.display()))
            .hint("choose another name, or another place: --out FOLDER"),
        _ => cannot_write(path, &error),
    })
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{} cannot be written: {error}", path.display()))
}

/// Where the file goes: `--out` is a folder where there is one, or where it ends like one.
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

/// As it is typed to other verbs: a name without a folder would be one of the library.
fn typed(path: &Path) -> String {
    let text = typed_of(path);
    let bare = path.extension().is_none_or(|extension| extension != "yaml" && extension != "yml");
    if bare && !text.contains(['/', MAIN_SEPARATOR]) { format!("./{text}") } else { text }
}

fn typed_of(path: &Path) -> String {
    path.display().to_string()
}
