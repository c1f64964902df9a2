//! Reads a mounted folder with its files, links and permissions. Paths outside the bounds are errors, and each error names its
//! path.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lab_system::files::{self, Unusable};

use super::folder::{FolderError, normalize};
use super::{Content, FolderEntry};

/// Limits of one folder, because it is kept in memory and uploaded.
pub(super) const MAX_ENTRIES: usize = 1000;
pub(super) const MAX_BYTES: u64 = 16 << 20;
pub(super) const MAX_DEPTH: usize = 16;

/// Only permissions are kept. Files become root's, so a setuid bit must not survive.
const FILE_MODE: u32 = 0o777;
const FOLDER_MODE: u32 = 0o1777;

/// Reads the folder `top`, sorted by path. Only paths in `bounds` may be read. `note` is called for the folder, and for each file
/// or folder outside of it that a link points to.
pub(super) fn walk(top: &Path, bounds: &[PathBuf], note: impl Fn(&Path)) -> Result<Vec<FolderEntry>, FolderError> {
    let real = match fs::canonicalize(top) {
        Ok(real) if real.is_file() => return Err(FolderError::File),
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound && top.symlink_metadata().is_err() => {
            return Err(FolderError::Missing);
        }
        Err(error) => return Err(link_error(top, Path::new("."), &error)),
    };
    let mut walk = Walk { bounds, top: real, note, entries: Vec::new(), bytes: 0 };
    walk.any(top, Path::new(""), 0)?;
    walk.entries.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(walk.entries)
}

struct Walk<'b, N> {
    bounds: &'b [PathBuf],
    /// The folder, resolved.
    top: PathBuf,
    note: N,
    entries: Vec<FolderEntry>,
    bytes: u64,
}

impl<N: Fn(&Path)> Walk<'_, N> {
    /// Reads a file or a folder, or the target of a link.
    fn any(&mut self, path: &Path, within: &Path, depth: usize) -> Result<(), FolderError> {
        let real = fs::canonicalize(path).map_err(|error| link_error(path, within, &error))?;
        if !self.bounds.iter().any(|bound| real.starts_with(bound)) {
            return Err(FolderError::Outside { path: named(within), target: real.display().to_string() });
        }
        if within.as_os_str().is_empty() || !real.starts_with(&self.top) {
            (self.note)(&real);
        }
        let metadata = fs::metadata(path).map_err(|error| io_error(within, &error))?;
        if metadata.is_dir() {
            self.folder(path, within, &metadata, depth)
        } else if metadata.is_file() {
            self.file(path, within, &metadata)
        } else {
            Err(FolderError::Special(named(within)))
        }
    }

    fn folder(&mut self, path: &Path, within: &Path, metadata: &Metadata, depth: usize) -> Result<(), FolderError> {
        // Also ends the recursion of a link to a parent folder.
        if depth > MAX_DEPTH {
            return Err(FolderError::TooDeep(named(within)));
        }
        self.push(within, metadata.permissions().mode() & FOLDER_MODE, Content::Folder)?;
        let failed = |error: io::Error| io_error(within, &error);
        for entry in fs::read_dir(path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let (path, within) = (path.join(&name), within.join(&name));
            if name.to_str().is_none() {
                return Err(FolderError::NotUtf8(named(&within)));
            }
            let kind = fs::symlink_metadata(&path).map_err(|error| io_error(&within, &error))?;
            match kind.is_symlink().then(|| self.link(&path, &within)).flatten() {
                Some(target) => self.push(&within, FILE_MODE, Content::Link(target))?,
                None => self.any(&path, &within, depth + 1)?,
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, within: &Path, metadata: &Metadata) -> Result<(), FolderError> {
        let bytes =
            files::read_input(path, MAX_BYTES - self.bytes).map_err(|error| match Unusable::in_error(&error) {
                Some(Unusable::Large { .. }) => FolderError::TooLarge,
                _ => io_error(within, &error),
            })?;
        self.bytes += bytes.len() as u64;
        self.push(within, metadata.permissions().mode() & FILE_MODE, Content::File(bytes))
    }

    /// Returns the target of a link that is valid in the copy as well. Other links are replaced by the contents of their target.
    fn link(&self, path: &Path, within: &Path) -> Option<PathBuf> {
        let target = fs::read_link(path).ok()?;
        let lexical = normalize(&within.parent()?.join(&target));
        if target.is_absolute() || lexical.starts_with("..") || target.to_str().is_none() {
            return None;
        }
        let leads_to = fs::canonicalize(path).ok()?;
        let in_the_copy = fs::canonicalize(self.top.join(lexical)).ok()?;
        (leads_to.starts_with(&self.top) && leads_to == in_the_copy).then_some(target)
    }

    fn push(&mut self, within: &Path, mode: u32, content: Content) -> Result<(), FolderError> {
        // The folder itself does not count.
        if self.entries.len() > MAX_ENTRIES {
            return Err(FolderError::TooMany);
        }
        self.entries.push(FolderEntry { path: within.to_owned(), mode, content });
        Ok(())
    }
}

fn named(within: &Path) -> String {
    if within.as_os_str().is_empty() { ".".to_owned() } else { within.display().to_string() }
}

fn io_error(within: &Path, error: &io::Error) -> FolderError {
    FolderError::Io { path: named(within), detail: error.to_string() }
}

/// Error for a path that cannot be resolved, with the target of a dangling link.
fn link_error(path: &Path, within: &Path, error: &io::Error) -> FolderError {
    match fs::read_link(path) {
        Ok(target) if error.kind() == io::ErrorKind::NotFound => {
            FolderError::Dangling { path: named(within), target: target.display().to_string() }
        }
        _ => io_error(within, error),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::{self, Permissions};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    use super::{FolderError, walk};
    use crate::{Content, FolderEntry};

    /// A folder `stack/conf`, and a file `beside/secret` next to the stack.
    struct TestFolder {
        _temporary: tempfile::TempDir,
        top: PathBuf,
        conf: PathBuf,
    }

    impl TestFolder {
        fn new() -> Self {
            let temporary = tempfile::tempdir().unwrap();
            let top = fs::canonicalize(temporary.path()).unwrap();
            let conf = top.join("stack/conf");
            fs::create_dir_all(&conf).unwrap();
            fs::create_dir_all(top.join("beside")).unwrap();
            fs::write(top.join("beside/secret"), "x").unwrap();
            Self { _temporary: temporary, top, conf }
        }

        fn walk(&self, bounds: &[&str]) -> Result<Vec<FolderEntry>, FolderError> {
            let bounds: Vec<PathBuf> = bounds.iter().map(|bound| self.top.join(bound)).collect();
            walk(&self.conf, &bounds, |_| {})
        }

        /// The error of reading the folder.
        fn error(&self) -> String {
            self.walk(&["stack"]).unwrap_err().to_string()
        }
    }

    fn file(text: &str) -> Content {
        Content::File(text.as_bytes().to_vec())
    }

    #[test]
    fn a_copy_keeps_contents_links_and_permissions() {
        let folder = TestFolder::new();
        let at = |name: &str| folder.conf.join(name);
        for (name, mode) in [("tool", 0o755), ("server.key", 0o600), ("suid", 0o4755)] {
            fs::write(at(name), name).unwrap();
            fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        }
        for (name, mode) in [("empty", 0o700), ("shared", 0o1777)] {
            fs::create_dir(at(name)).unwrap();
            fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        }
        symlink("../tool", at("empty/up")).unwrap();
        symlink("shared", at("here")).unwrap();
        symlink(".", at("round")).unwrap();
        fs::set_permissions(&folder.conf, Permissions::from_mode(0o750)).unwrap();
        let found = folder.walk(&["stack"]).unwrap();
        let found: Vec<_> = found.into_iter().map(|it| (it.path.display().to_string(), it.mode, it.content)).collect();
        let link = |target: &str| Content::Link(target.into());
        let expected = [
            ("", 0o750, Content::Folder),
            ("empty", 0o700, Content::Folder),
            ("empty/up", 0o777, link("../tool")),
            ("here", 0o777, link("shared")),
            ("round", 0o777, link(".")),
            ("server.key", 0o600, file("server.key")),
            ("shared", 0o1777, Content::Folder),
            // The copy belongs to root.
            ("suid", 0o755, file("suid")),
            ("tool", 0o755, file("tool")),
        ];
        assert_eq!(found, expected.map(|(path, mode, content)| (path.to_owned(), mode, content)));
    }

    #[test]
    fn links_outside_the_bounds_are_refused() {
        let folder = TestFolder::new();
        fs::write(folder.top.join("stack/real"), "y").unwrap();
        symlink("../real", folder.conf.join("inside")).unwrap();
        let found = folder.walk(&["stack"]).unwrap();
        // The target does not exist in the copy, so its contents are copied.
        assert_eq!((found[1].path.as_path(), &found[1].content), (Path::new("inside"), &file("y")));

        symlink("../../beside/secret", folder.conf.join("outside")).unwrap();
        let secret = folder.top.join("beside/secret").display().to_string();
        assert_eq!(folder.error(), format!("`outside` points to `{secret}`, which the stack may not read"));
        assert_eq!(folder.walk(&["stack", "beside"]).unwrap().len(), 3);
    }

    #[test]
    fn an_unreadable_path_is_named() {
        let folder = TestFolder::new();
        symlink("../gone", folder.conf.join("dangling")).unwrap();
        assert_eq!(folder.error(), "`dangling` is a link to `../gone`, which does not exist");
        fs::remove_file(folder.conf.join("dangling")).unwrap();

        symlink("loop", folder.conf.join("loop")).unwrap();
        assert!(folder.error().starts_with("`loop` cannot be read: "), "{}", folder.error());
        fs::remove_file(folder.conf.join("loop")).unwrap();

        fs::create_dir(folder.conf.join("sub")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.conf.join("sub/socket")).unwrap();
        assert_eq!(folder.error(), "`sub/socket` is neither a file nor a folder");
        fs::remove_dir_all(folder.conf.join("sub")).unwrap();

        fs::write(folder.conf.join(OsStr::from_bytes(b"a\xff")), "").unwrap();
        assert_eq!(folder.error(), "the name of `a\u{fffd}` is not UTF-8");

        fs::remove_dir_all(&folder.conf).unwrap();
        assert_eq!(folder.error(), "the folder does not exist");
        symlink("nowhere", &folder.conf).unwrap();
        assert_eq!(folder.error(), "`.` is a link to `nowhere`, which does not exist");
    }

    #[test]
    fn a_folder_has_limits() {
        let folder = TestFolder::new();
        symlink(folder.top.join("stack"), folder.conf.join("up")).unwrap();
        assert!(folder.error().ends_with("is more than 16 folders deep"), "{}", folder.error());
        fs::remove_file(folder.conf.join("up")).unwrap();
        for at in 0..=super::MAX_ENTRIES {
            fs::write(folder.conf.join(at.to_string()), "").unwrap();
        }
        assert_eq!(folder.error(), "it contains more than 1000 files and folders");
        fs::remove_file(folder.conf.join("0")).unwrap();
        assert_eq!(folder.walk(&["stack"]).unwrap().len(), super::MAX_ENTRIES + 1);
        let large = fs::File::create(folder.conf.join("1")).unwrap();
        large.set_len(super::MAX_BYTES + 1).unwrap();
        assert_eq!(folder.error(), "it contains more than 16 MiB");
    }
}
