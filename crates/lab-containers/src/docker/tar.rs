//! A writer of tar archives, as the daemon takes files: ustar, as POSIX.1-2001 has it, with names of up to 255 bytes.

use std::path::Path;

/// The room for the target of a link.
const LINK_NAME: usize = 100;

/// An archive that grows.
#[derive(Debug, Default)]
pub(super) struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    /// A file that root owns and all may read. `mode` as chmod(1) has it.
    pub(super) fn file(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<(), String> {
        self.header(path, b'0', mode, content.len(), "")?;
        self.content(content);
        Ok(())
    }

    /// A folder that root owns.
    pub(super) fn folder(&mut self, path: &Path, mode: u32) -> Result<(), String> {
        self.header(path, b'5', mode, 0, "")
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &Path, target: &Path) -> Result<(), String> {
        let target = text(target)?;
        if target.len() <= LINK_NAME {
            return self.header(path, b'2', 0o777, 0, target);
        }
        // As GNU has it: the target is the content of a member of its own.
        self.header(Path::new("././@LongLink"), b'K', 0, target.len() + 1, "")?;
        self.content(&[target.as_bytes(), b"\0"].concat());
        self.header(path, b'2', 0o777, 0, &target[..target.floor_char_boundary(LINK_NAME)])
    }

    /// What there is of it so far: more members may follow.
    pub(super) fn open(self) -> Vec<u8> {
        self.bytes
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }

    /// What belongs to the header before it.
    fn content(&mut self, content: &[u8]) {
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    fn header(&mut self, path: &Path, kind: u8, mode: u32, size: usize, target: &str) -> Result<(), String> {
        let path = text(path)?;
        let (prefix, name) = split(path).ok_or_else(|| format!("{path}: its name is too long"))?;
        let mut block = [0_u8; 512];
        put(&mut block, 0, name.as_bytes());
        put(&mut block, 100, format!("{mode:07o}").as_bytes());
        put(&mut block, 108, b"0000000");
        put(&mut block, 116, b"0000000");
        put(&mut block, 124, format!("{size:011o}").as_bytes());
        put(&mut block, 136, b"00000000000");
        put(&mut block, 148, b"        ");
        block[156] = kind;
        put(&mut block, 157, target.as_bytes());
        put(&mut block, 257, b"ustar\x0000");
        put(&mut block, 345, prefix.as_bytes());
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        put(&mut block, 148, format!("{sum:06o}\0").as_bytes());
        self.bytes.extend_from_slice(&block);
        Ok(())
    }
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{}: its name is not UTF-8", path.display()))
}

fn put(block: &mut [u8; 512], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A name of up to 100 bytes, and before it a folder of up to 155.
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
    fn tar_reads_what_is_written() {
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
