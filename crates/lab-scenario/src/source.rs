//! [`Source`]: the origin of a scenario (library, file or text), and reading it within limits.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::library;
use lab_yaml::{Diagnostic, nearest, quote, quote_list, read};
use lab_yaml::{Place, SourceFile};

/// Origin of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Name of a built-in scenario.
    Library(String),
    /// Path of a file, as typed.
    Path(PathBuf),
    /// A text with the name used in messages.
    Text {
        /// Such as `example.yaml`.
        name: String,
        /// The YAML document.
        text: String,
    },
}

impl Source {
    /// Parses a command-line argument: a path if it contains `/` or ends in `.yaml` or `.yml`, else a library name.
    pub fn parse(typed: &str) -> Self {
        let extension = Path::new(typed).extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if extension || typed.contains(['/', std::path::MAIN_SEPARATOR]) {
            Self::Path(PathBuf::from(typed))
        } else {
            Self::Library(typed.to_owned())
        }
    }

    /// Name of the scenario: the file stem.
    pub fn name(&self) -> String {
        match self {
            Self::Library(name) => name.clone(),
            Self::Path(path) => stem(path),
            Self::Text { name, .. } => stem(Path::new(name)),
        }
    }

    /// The scenario as typed: library name or path.
    pub fn typed(&self) -> String {
        match self {
            Self::Library(name) | Self::Text { name, .. } => name.clone(),
            Self::Path(path) => path.display().to_string(),
        }
    }

    /// Folder in which includes are looked up.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => path.parent(),
            Self::Library(_) | Self::Text { .. } => None,
        }
    }

    /// Returns true if both refer to the same file.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(one), Self::Path(two)) => {
                one == two || fs::canonicalize(one).is_ok_and(|one| fs::canonicalize(two).is_ok_and(|two| one == two))
            }
            _ => self == other,
        }
    }

    /// Resolves an include: a file in the same folder, else a library scenario.
    pub(crate) fn included(&self, name: &str) -> Self {
        let beside = self.folder().map(|folder| folder.join(format!("{name}.yaml")));
        match beside.filter(|path| path.exists()) {
            Some(path) => Self::Path(path),
            None => Self::Library(name.to_owned()),
        }
    }

    /// Reads the text. Errors are placed at `at`, the place of the include, if any.
    pub(crate) fn read(&self, at: Option<&Place>) -> Result<Arc<SourceFile>, Diagnostic> {
        let diagnostic = |message: String| Diagnostic { place: at.cloned(), ..Diagnostic::new(message) };
        match self {
            Self::Text { name, text } => Ok(SourceFile::new(name.as_str(), read::strip_bom(text))),
            Self::Library(name) => match library::get(name) {
                Some(text) => Ok(SourceFile::new(format!("library:{name}.yaml"), text)),
                None => Err(missing(name, diagnostic(format!("there is no scenario {}", quote(name))))),
            },
            Self::Path(path) => read::read(path)
                .map_err(|error| Diagnostic { place: error.place.clone().or_else(|| at.cloned()), ..error }),
        }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "scenario".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn missing(name: &str, diagnostic: Diagnostic) -> Diagnostic {
    let file = format!("{name}.yaml");
    let mut diagnostic = match nearest(name, library::names()) {
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic.label(format!("the built-in scenarios: {}", quote_list(library::names()))),
    };
    if diagnostic.place.is_none() && Path::new(&file).is_file() {
        diagnostic = diagnostic.help(format!("to use the file of that name in this folder, write `./{file}`"));
    }
    diagnostic.help("`lab scenario list` shows all scenarios; to use a file, give its path, such as `./mine.yaml`")
}
