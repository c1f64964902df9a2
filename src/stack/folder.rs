//! [`Folder`]: where a stack's files are, on disk or embedded: its compose file, and the files of a folder that it mounts.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::files;
use crate::yaml::{Diagnostic, SourceFile, read};

use super::assets;

/// Names of the compose file, the first that is there counts.
const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];
/// The folder of the embedded stack.
const EMBEDDED: &str = "stack";
/// What one mounted folder may hold: it is kept in memory and uploaded.
const MOST_FILES: usize = 1000;
const MOST_BYTES: u64 = 16 << 20;

/// A stack's folder.
pub(super) enum Folder {
    /// On this machine.
    Disk(PathBuf),
    /// In this executable.
    Embedded,
}

/// Why a folder cannot be mounted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FolderError {
    #[error("there is no such folder")]
    Missing,
    #[error("it is a file")]
    File,
    #[error("{0} leads out of the folders that the stack may mount")]
    Outside(String),
    #[error("{0} is neither a file nor a folder")]
    Special(String),
    #[error("it holds more than {MOST_FILES} files")]
    TooMany,
    #[error("it holds more than {} MiB", MOST_BYTES >> 20)]
    TooLarge,
    #[error("{0}")]
    Io(String),
}

type Files = Vec<(PathBuf, Vec<u8>)>;

impl Folder {
    /// The compose file.
    pub(super) fn compose(&self) -> Result<Arc<SourceFile>, Diagnostic> {
        match self {
            Self::Disk(root) => {
                let found = NAMES.iter().map(|name| root.join(name)).find(|path| path.exists());
                let Some(path) = found else {
                    let message = format!("there is no compose file in {}", root.display());
                    let message =
                        if root.is_dir() { message } else { format!("there is no folder {}", root.display()) };
                    return Err(Diagnostic::new(message).help("a stack is a folder with a `compose.yaml` in it"));
                };
                read::read(&path)
            }
            Self::Embedded => {
                let text = assets::FILES.iter().find(|(path, _)| *path == "stack/compose.yaml");
                Ok(SourceFile::new("lab's own compose.yaml", text.map_or("", |(_, text)| *text)))
            }
        }
    }

    /// The files of a folder, sorted by their paths. `source` is relative to the stack's folder; links may lead to what is
    /// within the stack's folder and the `others`, nowhere else.
    pub(super) fn files(&self, source: &Path, others: &[PathBuf]) -> Result<Files, FolderError> {
        match self {
            Self::Disk(root) => {
                let canonical = |path: &Path| fs::canonicalize(path).map_err(|error| io_error(&error));
                let mut allowed = vec![canonical(root)?];
                allowed.extend(others.iter().filter_map(|other| canonical(&root.join(other)).ok()));
                let mut walk = Walk { allowed, files: Vec::new(), bytes: 0 };
                let top = root.join(source);
                if canonical(&top)?.is_file() {
                    return Err(FolderError::File);
                }
                walk.folder(&top, Path::new(""), 0)?;
                walk.files.sort();
                Ok(walk.files)
            }
            Self::Embedded => embedded(source),
        }
    }
}

fn embedded(source: &Path) -> Result<Files, FolderError> {
    let top = normal(&Path::new(EMBEDDED).join(source));
    let mut files: Files = Vec::new();
    for (path, text) in assets::FILES {
        if let Ok(rest) = Path::new(path).strip_prefix(&top) {
            if rest.as_os_str().is_empty() {
                return Err(FolderError::File);
            }
            files.push((rest.to_owned(), text.as_bytes().to_vec()));
        }
    }
    files.sort();
    if files.is_empty() { Err(FolderError::Missing) } else { Ok(files) }
}

/// A path without `.` and, where they lead back to a name before them, without `..`.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

struct Walk {
    allowed: Vec<PathBuf>,
    files: Files,
    bytes: u64,
}

impl Walk {
    fn folder(&mut self, path: &Path, within: &Path, depth: usize) -> Result<(), FolderError> {
        // A link to a folder above it would lead round for ever.
        if depth > 16 {
            return Err(FolderError::TooMany);
        }
        self.check(path, within)?;
        for entry in fs::read_dir(path).map_err(|error| io_error(&error))? {
            let name = entry.map_err(|error| io_error(&error))?.file_name();
            let (path, within) = (path.join(&name), within.join(&name));
            let metadata = fs::metadata(&path).map_err(|error| io_error(&error))?;
            if metadata.is_dir() {
                self.folder(&path, &within, depth + 1)?;
            } else if metadata.is_file() {
                self.check(&path, &within)?;
                self.bytes += metadata.len();
                if self.bytes > MOST_BYTES {
                    return Err(FolderError::TooLarge);
                }
                if self.files.len() == MOST_FILES {
                    return Err(FolderError::TooMany);
                }
                let bytes = files::read_input(&path, MOST_BYTES).map_err(|error| io_error(&error))?;
                self.files.push((within, bytes));
            } else {
                return Err(FolderError::Special(within.display().to_string()));
            }
        }
        Ok(())
    }

    fn check(&self, path: &Path, within: &Path) -> Result<(), FolderError> {
        let real = fs::canonicalize(path).map_err(|error| io_error(&error))?;
        let inside = self.allowed.iter().any(|allowed| real.starts_with(allowed));
        if inside { Ok(()) } else { Err(FolderError::Outside(format!("`{}`", within.display()))) }
    }
}

fn io_error(error: &io::Error) -> FolderError {
    match error.kind() {
        io::ErrorKind::NotFound => FolderError::Missing,
        _ => FolderError::Io(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Folder, FolderError, normal};

    #[test]
    fn paths_are_made_plain() {
        for (path, plain) in
            [("./a/./b", "a/b"), ("a/../b", "b"), ("../a", "../a"), ("a/../../b", "../b"), ("stack/../g", "g")]
        {
            assert_eq!(normal(Path::new(path)), Path::new(plain), "{path}");
        }
    }

    #[test]
    fn a_file_is_told_from_a_folder() {
        let files = |path: &str| Folder::Embedded.files(Path::new(path), &[]);
        assert_eq!(files("prometheus/prometheus.yml"), Err(FolderError::File));
        assert_eq!(files("nothing"), Err(FolderError::Missing));
        assert_eq!(files("prometheus/rules").unwrap()[0].0, Path::new("alerts.yml"));
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_nowhere_else() {
        use std::os::unix::fs::symlink;

        let temporary = tempfile::tempdir().unwrap();
        let stack = temporary.path().join("stack");
        std::fs::create_dir_all(stack.join("conf")).unwrap();
        std::fs::create_dir_all(temporary.path().join("beside")).unwrap();
        std::fs::write(temporary.path().join("beside/secret"), "x").unwrap();
        std::fs::write(stack.join("real"), "y").unwrap();
        symlink("../real", stack.join("conf/inside")).unwrap();
        let folder = Folder::Disk(stack.clone());
        assert_eq!(folder.files(Path::new("conf"), &[]).unwrap(), [("inside".into(), b"y".to_vec())]);

        symlink("../../beside/secret", stack.join("conf/outside")).unwrap();
        assert_eq!(folder.files(Path::new("conf"), &[]), Err(FolderError::Outside("`outside`".into())));
        assert_eq!(folder.files(Path::new("conf"), &["../beside".into()]).unwrap().len(), 2);

        std::fs::remove_file(stack.join("conf/outside")).unwrap();
        symlink(".", stack.join("conf/round")).unwrap();
        assert_eq!(folder.files(Path::new("conf"), &[]), Err(FolderError::TooMany));
    }
}
