//! Writer of tar archives for the daemon, in the ustar format of POSIX.1-2001 with names of up to 255 bytes.

use std::path::{Path, PathBuf};

/// Header field size for the target of a link.
const LINK_NAME: usize = 100;

/// Reason why a file cannot be a member of an archive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TarError {
    #[error("{}: the name is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    #[error("{0}: the name is too long")]
    TooLong(String),
}

/// An archive that members are appended to.
#[derive(Debug, Default)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    /// Appends a file owned by root. `mode` as in chmod(1).
    pub(crate) fn file(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<(), TarError> {
        self.header(path, b'0', mode, content.len(), "")?;
        self.content(content);
        Ok(())
    }

    /// Appends a folder owned by root.
    pub(crate) fn folder(&mut self, path: &Path, mode: u32) -> Result<(), TarError> {
        self.header(path, b'5', mode, 0, "")
    }

    /// Appends a symbolic link.
    pub(crate) fn link(&mut self, path: &Path, target: &Path) -> Result<(), TarError> {
        let target = text(target)?;
        if target.len() <= LINK_NAME {
            return self.header(path, b'2', 0o777, 0, target);
        }
        // The GNU extension for long targets: a separate member contains the target.
        self.header(Path::new("././@LongLink"), b'K', 0, target.len() + 1, "")?;
        self.content(&[target.as_bytes(), b"\0"].concat());
        self.header(path, b'2', 0o777, 0, &target[..target.floor_char_boundary(LINK_NAME)])
    }

    /// The bytes so far, without an end mark, so that more members can follow.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The complete archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }

    /// Appends the content of the preceding header's member.
    fn content(&mut self, content: &[u8]) {
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    fn header(&mut self, path: &Path, kind: u8, mode: u32, size: usize, target: &str) -> Result<(), TarError> {
        let path = text(path)?;
        let (prefix, name) = split(path).ok_or_else(|| TarError::TooLong(path.to_owned()))?;
        let mut block = [0_u8; 512];
        write_at(&mut block, 0, name.as_bytes());
        write_at(&mut block, 100, format!("{mode:07o}").as_bytes());
        write_at(&mut block, 108, b"0000000");
        write_at(&mut block, 116, b"0000000");
        write_at(&mut block, 124, format!("{size:011o}").as_bytes());
        write_at(&mut block, 136, b"00000000000");
        write_at(&mut block, 148, b"        ");
        block[156] = kind;
        write_at(&mut block, 157, target.as_bytes());
        write_at(&mut block, 257, b"ustar\x0000");
        write_at(&mut block, 345, prefix.as_bytes());
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        write_at(&mut block, 148, format!("{sum:06o}\0").as_bytes());
        self.bytes.extend_from_slice(&block);
        Ok(())
    }
}

fn text(path: &Path) -> Result<&str, TarError> {
    path.to_str().ok_or_else(|| TarError::NotUtf8(path.to_owned()))
}

fn write_at(block: &mut [u8; 512], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Splits a long path into a folder of up to 155 bytes and a name of up to 100.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= 100 {
        return Some(("", path));
    }
    path.match_indices('/')
        .map(|(at, _)| (&path[..at], &path[at + 1..]))
        .find(|(prefix, name)| prefix.len() <= 155 && name.len() <= 100 && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_split_at_a_folder() {
        let long = format!("{}/{}", "a".repeat(90), "b".repeat(90));
        assert_eq!(split(&long), Some(("a".repeat(90).as_str(), "b".repeat(90).as_str())));
        assert_eq!(split(&"a".repeat(101)), None);
        assert!(Tar::default().file(Path::new(&"a".repeat(101)), 0o644, b"").is_err());
    }

    #[test]
    fn tar_unpacks_the_archive() {
        let mut tar = Tar::default();
        tar.folder(Path::new("conf.d"), 0o755).unwrap();
        tar.file(Path::new("conf.d/a.conf"), 0o644, b"hello").unwrap();
        tar.file(Path::new("run.sh"), 0o755, &[b'x'; 512]).unwrap();
        tar.link(Path::new("conf.d/up"), Path::new("../run.sh")).unwrap();
        let long = format!("{}{}", "./".repeat(80), "é".repeat(30));
        tar.link(Path::new("long"), Path::new(&long)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.tar");
        std::fs::write(&archive, tar.finish()).unwrap();
        let status = std::process::Command::new("tar").arg("xf").arg(&archive).arg("-C").arg(folder.path()).status();
        assert!(status.unwrap().success());
        assert_eq!(std::fs::read(folder.path().join("conf.d/a.conf")).unwrap(), b"hello");
        assert_eq!(std::fs::read(folder.path().join("run.sh")).unwrap(), [b'x'; 512]);
        assert_eq!(std::fs::read_link(folder.path().join("conf.d/up")).unwrap(), Path::new("../run.sh"));
        assert_eq!(std::fs::read_link(folder.path().join("long")).unwrap(), Path::new(&long));
    }
}
