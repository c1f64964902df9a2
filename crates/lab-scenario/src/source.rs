//! Where a scenario comes from: the library, a file, or a text at hand; and reading it, within limits.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::library;
use lab_yaml::{Diagnostic, list, near, read, shown};
use lab_yaml::{Place, SourceFile};

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
        let extension = Path::new(typed).extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if extension || typed.contains(['/', std::path::MAIN_SEPARATOR]) {
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

    /// As it is typed: the library's name, or the path.
    pub fn typed(&self) -> String {
        match self {
            Self::Library(name) | Self::Text { name, .. } => name.clone(),
            Self::Path(path) => path.display().to_string(),
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
            Self::Text { name, text } => Ok(SourceFile::new(name.as_str(), read::without_mark(text))),
            Self::Library(name) => match library::get(name) {
                Some(text) => Ok(SourceFile::new(format!("library:{name}.yaml"), text)),
                None => Err(missing(name, diagnostic(format!("there is no scenario {}", shown(name))))),
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
    let mut diagnostic = match near(name, library::names()) {
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic.label(format!("the library has {}", list(library::names()))),
    };
    if diagnostic.place.is_none() && Path::new(&file).is_file() {
        diagnostic = diagnostic.help(format!("there is a file of that name here: write `./{file}`"));
    }
    diagnostic.help("`lab scenario list` shows all; a file is given by its path, such as `./mine.yaml`")
}
