//! [`Folder`] of a stack, on disk or embedded, with its compose file and the contents of mounted folders.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{Content, FolderEntry, assets, walk};
use lab_yaml::{Diagnostic, SourceFile, read};

/// File names in the order of precedence.
const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];
/// Files that Compose would merge into the compose file.
const OVERRIDES: [&str; 4] =
    ["compose.override.yaml", "compose.override.yml", "docker-compose.override.yaml", "docker-compose.override.yml"];
/// Variables of the stack, as in Compose.
pub(super) const ENV_FILE: &str = ".env";
/// Folder of the embedded stack.
const EMBEDDED: &str = "stack";

pub(super) enum Folder {
    /// On this machine.
    Disk(Disk),
    /// Embedded in this executable.
    Embedded,
}

/// A stack's folder on this machine, and the folders that it may read.
pub(super) struct Disk {
    root: PathBuf,
    /// Folders that the user allows, resolved.
    allowed: Vec<PathBuf>,
    /// Paths outside of it that were read, resolved.
    outside: RefCell<BTreeSet<PathBuf>>,
}

/// Reason why a folder cannot be mounted. Paths are relative to it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FolderError {
    #[error("the folder does not exist")]
    Missing,
    #[error("it is a file")]
    File,
    #[error("`{path}` points to `{target}`, which the stack may not read")]
    Outside { path: String, target: String },
    #[error("`{path}` is a link to `{target}`, which does not exist")]
    Dangling { path: String, target: String },
    #[error("`{0}` is neither a file nor a folder")]
    Special(String),
    #[error("the name of `{0}` is not UTF-8")]
    NotUtf8(String),
    #[error("it contains more than {max} files and folders", max = walk::MAX_ENTRIES)]
    TooMany,
    #[error("it contains more than {max} MiB", max = walk::MAX_BYTES >> 20)]
    TooLarge,
    #[error("`{0}` is more than {max} folders deep", max = walk::MAX_DEPTH)]
    TooDeep(String),
    #[error("`{path}` cannot be read: {detail}")]
    Io { path: String, detail: String },
}

impl Folder {
    /// Folder on this machine. The user allows it to read `allowed` in addition to its own files.
    pub(super) fn on_disk(root: &Path, allowed: &[PathBuf]) -> Self {
        let allowed = allowed.iter().map(|path| resolved(path)).collect();
        Self::Disk(Disk { root: root.to_owned(), allowed, outside: RefCell::default() })
    }

    /// Reads the compose file.
    pub(super) fn compose(&self) -> Result<Arc<SourceFile>, Diagnostic> {
        match self {
            Self::Disk(disk) => disk.compose(),
            Self::Embedded => {
                let text = assets::FILES.iter().find(|(path, _)| *path == "stack/compose.yaml");
                Ok(SourceFile::new("lab's own compose.yaml", text.map_or("", |(_, text)| *text)))
            }
        }
    }

    /// Reads the file with the stack's variables, if there is one.
    pub(super) fn env_file(&self) -> Result<Option<Arc<SourceFile>>, Diagnostic> {
        match self {
            // Includes dangling links, so that they are reported.
            Self::Disk(disk) if disk.root.join(ENV_FILE).symlink_metadata().is_ok() => disk.text(ENV_FILE).map(Some),
            Self::Disk(_) | Self::Embedded => Ok(None),
        }
    }

    /// Further compose files in the folder, which Compose ignores as well.
    pub(super) fn ignored_files(&self) -> Vec<&'static str> {
        match self {
            Self::Disk(disk) => NAMES.into_iter().filter(|name| disk.root.join(name).exists()).skip(1).collect(),
            Self::Embedded => Vec::new(),
        }
    }

    /// Returns true if the stack may read a folder that its file names in `x-lab.folders`.
    pub(super) fn may_read(&self, path: &Path) -> bool {
        match self {
            Self::Disk(disk) => disk.is_beside(path) || self.is_allowed(path),
            Self::Embedded => true,
        }
    }

    /// Returns true if the user allows the stack to read a path.
    pub(super) fn is_allowed(&self, path: &Path) -> bool {
        match self {
            Self::Disk(disk) => {
                let real = resolved(&disk.root.join(path));
                disk.allowed.iter().any(|allowed| real.starts_with(allowed))
            }
            Self::Embedded => false,
        }
    }

    /// Absolute path of a path in the stack file.
    pub(super) fn full(&self, path: &Path) -> PathBuf {
        match self {
            Self::Disk(disk) => resolved(&disk.root.join(path)),
            Self::Embedded => path.to_owned(),
        }
    }

    /// Contents of a folder, sorted by path. `source` is relative to the stack's folder. Links may only point into the stack's
    /// folder, the `others`, and the folders that the user allows.
    pub(super) fn entries(&self, source: &Path, others: &[PathBuf]) -> Result<Vec<FolderEntry>, FolderError> {
        match self {
            Self::Disk(disk) => {
                let others = others.iter().filter_map(|other| fs::canonicalize(disk.root.join(other)).ok());
                let bounds: Vec<PathBuf> =
                    std::iter::once(resolved(&disk.root)).chain(others).chain(disk.allowed.iter().cloned()).collect();
                walk::walk(&disk.root.join(source), &bounds, |real| disk.note(real))
            }
            Self::Embedded => embedded(source),
        }
    }

    /// Paths that were read outside the stack's folder, without paths below another one.
    pub(super) fn outside(&self) -> Vec<PathBuf> {
        match self {
            Self::Disk(disk) => {
                let all = disk.outside.borrow();
                let is_within_another = |path: &&PathBuf| all.iter().any(|it| it != *path && path.starts_with(it));
                all.iter().filter(|path| !is_within_another(path)).cloned().collect()
            }
            Self::Embedded => Vec::new(),
        }
    }
}

impl Disk {
    fn compose(&self) -> Result<Arc<SourceFile>, Diagnostic> {
        // Dangling links count, so that they are reported.
        let is_there = |name: &&&str| self.root.join(name).symlink_metadata().is_ok();
        let Some(name) = NAMES.iter().find(is_there) else {
            let root = self.root.display();
            let message = if self.root.is_dir() {
                format!("no compose file in {root}")
            } else {
                format!("the folder {root} does not exist")
            };
            return Err(Diagnostic::new(message).help("a stack is a folder with a `compose.yaml`"));
        };
        if let Some(other) = OVERRIDES.iter().find(is_there) {
            let message = format!("{} is not supported: a stack is one file", self.root.join(other).display());
            return Err(Diagnostic::new(message).help(format!(
                "Compose merges it into {name}; apply its changes there and remove it from the folder"
            )));
        }
        self.text(name)
    }

    /// Reads a file of the stack. It must not be a link to a path outside, unless the user allows it.
    fn text(&self, name: &str) -> Result<Arc<SourceFile>, Diagnostic> {
        let path = self.root.join(name);
        if let (Ok(root), Ok(real)) = (fs::canonicalize(&self.root), fs::canonicalize(&path))
            && !real.starts_with(&root)
        {
            if !self.allowed.iter().any(|allowed| real.starts_with(allowed)) {
                let message = format!("{} is a link to {}", path.display(), real.display());
                let help = format!(
                    "if you trust it, allow it with --allow-folder {}",
                    real.parent().unwrap_or(&real).display()
                );
                return Err(Diagnostic::new(message).label("the stack may not read that").help(help));
            }
            self.note(&real);
        }
        read::read(&path)
    }

    /// Returns true if a path is inside the parent of the stack's folder and not hidden. Does not apply if that parent is the root of
    /// the file system.
    fn is_beside(&self, path: &Path) -> bool {
        let root = resolved(&self.root);
        let real = resolved(&self.root.join(path));
        let Some(parent) = root.parent().filter(|parent| parent.parent().is_some()) else { return false };
        let is_hidden = |part: Component| part.as_os_str().as_encoded_bytes().starts_with(b".");
        real.strip_prefix(parent).is_ok_and(|rest| !rest.as_os_str().is_empty() && !rest.components().any(is_hidden))
    }

    /// Records a path outside the stack's folder.
    fn note(&self, real: &Path) {
        if !real.starts_with(resolved(&self.root)) {
            self.outside.borrow_mut().insert(real.to_owned());
        }
    }
}

fn embedded(source: &Path) -> Result<Vec<FolderEntry>, FolderError> {
    let top = normalize(&Path::new(EMBEDDED).join(source));
    let mut entries = Vec::new();
    let mut folders = BTreeSet::new();
    for (path, text) in assets::FILES {
        let Ok(rest) = Path::new(path).strip_prefix(&top) else { continue };
        if rest.as_os_str().is_empty() {
            return Err(FolderError::File);
        }
        folders.extend(rest.ancestors().skip(1).map(Path::to_owned));
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        entries.push(FolderEntry { path: rest.to_owned(), mode, content: Content::File(text.as_bytes().to_vec()) });
    }
    if entries.is_empty() {
        return Err(FolderError::Missing);
    }
    entries.extend(folders.into_iter().map(|path| FolderEntry { path, mode: 0o755, content: Content::Folder }));
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(entries)
}

/// Removes `.` from a path, and `..` after a name.
pub(super) fn normalize(path: &Path) -> PathBuf {
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

/// Resolves the links of a path, as far as it exists.
pub fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in absolute.ancestors() {
        if let Ok(real) = fs::canonicalize(there) {
            let rest = absolute.strip_prefix(there).unwrap_or(Path::new(""));
            return normalize(&real.join(rest));
        }
    }
    normalize(&absolute)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Folder, FolderError, normalize, resolved};

    #[test]
    fn paths_are_normalized() {
        for (path, plain) in
            [("./a/./b", "a/b"), ("a/../b", "b"), ("../a", "../a"), ("a/../../b", "../b"), ("stack/../g", "g")]
        {
            assert_eq!(normalize(Path::new(path)), Path::new(plain), "{path}");
        }
    }

    #[test]
    fn different_spellings_of_a_path_are_equal() {
        let temporary = tempfile::tempdir().unwrap();
        let real = std::fs::canonicalize(temporary.path()).unwrap();
        std::fs::create_dir(real.join("s1")).unwrap();
        std::os::unix::fs::symlink("s1", real.join("link")).unwrap();
        for same in ["s1", "s1/", "./s1", "s1/../s1", "link", "link/."] {
            assert_eq!(resolved(&real.join(same)), real.join("s1"), "{same}");
        }
        assert_eq!(resolved(&real.join("link/none/../x")), real.join("s1/x"));
    }

    #[test]
    fn the_embedded_folders_hold_folders_and_files() {
        let entries = |path: &str| Folder::Embedded.entries(Path::new(path), &[]);
        assert_eq!(entries("prometheus/prometheus.yml"), Err(FolderError::File));
        assert_eq!(entries("nothing"), Err(FolderError::Missing));
        let rules = entries("prometheus").unwrap();
        let rules: Vec<_> = rules.iter().map(|it| (it.path.to_str().unwrap(), it.mode)).collect();
        assert_eq!(
            rules,
            [
                ("", 0o755),
                ("prometheus.yml", 0o644),
                ("rules", 0o755),
                ("rules/alerts.yml", 0o644),
                ("rules/recording.yml", 0o644),
                ("tests", 0o755),
                ("tests/alerts.yml", 0o644),
            ]
        );
        assert_eq!(entries("nginx/bin").unwrap()[1].mode, 0o755, "a script is executable");
    }

    #[test]
    fn visible_folders_beside_the_stack_are_readable() {
        let temporary = tempfile::tempdir().unwrap();
        let top = temporary.path().join("work");
        for folder in ["stack", "beside/inner", ".ssh", "beside/.hidden"] {
            std::fs::create_dir_all(top.join(folder)).unwrap();
        }
        std::fs::create_dir(temporary.path().join("secret")).unwrap();
        std::os::unix::fs::symlink("../secret", top.join("link")).unwrap();
        let folder = Folder::on_disk(&top.join("stack"), &[]);
        for good in ["../beside", "../beside/inner", "../none"] {
            assert!(folder.may_read(Path::new(good)), "{good}");
        }
        for bad in ["../../secret", "../link", "../.ssh", "../beside/.hidden", "/etc", "..", "../.."] {
            assert!(!folder.may_read(Path::new(bad)), "{bad}");
        }
        let secret = temporary.path().join("secret");
        let folder = Folder::on_disk(&top.join("stack"), std::slice::from_ref(&secret));
        assert!(folder.may_read(Path::new("../../secret")) && folder.may_read(Path::new("../link")));
        assert!(folder.is_allowed(&secret) && !folder.is_allowed(Path::new("../beside")));
        // The parent would be the root of the file system.
        assert!(!Folder::on_disk(Path::new("/stack"), &[]).may_read(Path::new("../etc")));
    }
}
