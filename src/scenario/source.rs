//! Where a scenario comes from: the library, a file, or a text at hand; and reading it, within limits.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostics::{Diagnostic, near, shown};
use super::keys::list;
use super::library;
use super::place::{Place, SourceFile};

/// The largest file, in bytes.
const LARGEST: u64 = 1 << 20;

/// Which scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// One of the library, by its name.
    Library(String),
    /// A file.
    Path(PathBuf),
    /// A text, under the name that messages use.
    Text {
        /// `example.yaml`.
        name: String,
        /// YAML.
        text: String,
    },
}

impl Source {
    /// What was typed: a path where it holds a `/` or ends in `.yaml` or `.yml`, else a name of the library.
    pub fn parse(typed: &str) -> Self {
        let path = typed.contains(['/', std::path::MAIN_SEPARATOR]);
        if path || typed.ends_with(".yaml") || typed.ends_with(".yml") {
            Self::Path(PathBuf::from(typed))
        } else {
            Self::Library(typed.to_owned())
        }
    }

    /// The scenario's name: the file's stem.
    pub fn name(&self) -> String {
        match self {
            Self::Library(name) => name.clone(),
            Self::Path(path) => stem(path),
            Self::Text { name, .. } => stem(Path::new(name)),
        }
    }

    /// Where files are that it includes.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => path.parent(),
            Self::Library(_) | Self::Text { .. } => None,
        }
    }

    /// Whether both are the same file.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(one), Self::Path(two)) => {
                one == two || fs::canonicalize(one).is_ok_and(|one| fs::canonicalize(two).is_ok_and(|two| one == two))
            }
            _ => self == other,
        }
    }

    /// The scenario that `name` stands for in a file that includes it: beside that file, else in the library.
    pub(crate) fn included(&self, name: &str) -> Self {
        let beside = self.folder().map(|folder| folder.join(format!("{name}.yaml")));
        match beside.filter(|path| path.exists()) {
            Some(path) => Self::Path(path),
            None => Self::Library(name.to_owned()),
        }
    }

    /// Its text. The error is placed at `at`, the place of the include, where there is one.
    pub(crate) fn read(&self, at: Option<&Place>) -> Result<Arc<SourceFile>, Diagnostic> {
        let diagnostic = |message: String| Diagnostic { place: at.cloned(), ..Diagnostic::new(message) };
        match self {
            Self::Text { name, text } => Ok(SourceFile::new(name.as_str(), without_mark(text))),
            Self::Library(name) => match library::get(name) {
                Some(text) => Ok(SourceFile::new(format!("library:{name}.yaml"), text)),
                None => Err(missing(name, diagnostic(format!("there is no scenario {}", shown(name))))),
            },
            Self::Path(path) => {
                let bytes =
                    bytes(path).map_err(|detail| diagnostic(format!("cannot read {}: {detail}", path.display())))?;
                utf8(path, bytes)
            }
        }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "scenario".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn missing(name: &str, diagnostic: Diagnostic) -> Diagnostic {
    let file = format!("{name}.yaml");
    let mut diagnostic = match near(name, library::names()) {
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic.label(format!("the library has {}", list(library::names()))),
    };
    if diagnostic.place.is_none() && Path::new(&file).is_file() {
        diagnostic = diagnostic.help(format!("there is a file of that name here: write `./{file}`"));
    }
    diagnostic.help("`lab scenario list` shows all; a file is given by its path, such as `./mine.yaml`")
}

/// The bytes of a file that is not too large. Its size is looked at first, so that no large file is read.
fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    };
    let metadata = fs::metadata(path).map_err(told)?;
    if metadata.is_dir() {
        return Err("it is a folder; expected a scenario file".to_owned());
    }
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let too_large = |size: u64| format!("it has {size} bytes; a scenario file has at most {LARGEST}");
    if metadata.len() > LARGEST {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    File::open(path).map_err(told)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(told)?;
    let size = bytes.len() as u64;
    if size > LARGEST { Err(too_large(size)) } else { Ok(bytes) }
}

fn utf8(path: &Path, bytes: Vec<u8>) -> Result<Arc<SourceFile>, Diagnostic> {
    let name = path.display().to_string();
    let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceFile::new(name, without_mark(&text))),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
            // What is readable before the mistake stands for the file.
            let file = SourceFile::new(name, String::from_utf8_lossy(&error.as_bytes()[..valid]));
            let diagnostic = Diagnostic::at("the file is not UTF-8", &Place::new(&file, valid..valid));
            let diagnostic = diagnostic.label(format!("the byte 0x{byte:02X} comes next"));
            Err(if wide { diagnostic.help("it looks like UTF-16: save it as UTF-8") } else { diagnostic })
        }
    }
}

/// Editors on Windows put a byte order mark first.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}
