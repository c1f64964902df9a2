//! [`Contents`] of a daemon's image export, read from the tar archive itself. `docker load` accepts whatever tags the archive
//! names, so they are compared with the archive's manifest before the daemon gets any of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tar::{Archive, EntryType};

use super::client::familiar;

/// Index of an archive written by `docker save`.
const MANIFEST: &str = "manifest.json";
/// Index of an OCI image layout. Newer daemons write it in addition or instead.
const INDEX: &str = "index.json";
/// Tags in an archive of Docker before 1.10. A daemon may use them if there is no [`MANIFEST`].
const REPOSITORIES: &str = "repositories";
/// Annotation with the image's full name in an OCI image layout.
const NAME: &str = "io.containerd.image.name";
/// Upper limit for an index or an image configuration.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Reason why an export cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{name}: {error}")]
    Index { name: &'static str, error: serde_json::Error },
    #[error("it has no {MANIFEST}")]
    NoManifest,
    #[error("{MANIFEST} names {}", .0.display())]
    NoConfig(PathBuf),
    #[error("{} is not a regular file", .0.display())]
    NotRegular(PathBuf),
    #[error("{} is too large", .0.display())]
    TooLarge(PathBuf),
    #[error("{} is included twice", .0.display())]
    Duplicate(PathBuf),
    #[error("{} is not a path inside an archive", .0.display())]
    Outside(PathBuf),
}

/// Difference between the contents of an export and its list.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mismatch {
    #[error("it contains {0}, which its list does not name")]
    Unlisted(String),
    #[error("its list names {name} as {id}, but it contains {found}")]
    OtherImage { name: String, id: String, found: String },
    #[error("its list names {0}, which it does not contain")]
    NotIncluded(String),
}

/// Images of an export: name → ids that daemons may use for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) ids: BTreeMap<String, BTreeSet<String>>,
}

/// An image in [`MANIFEST`].
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestEntry {
    config: PathBuf,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
}

/// [`INDEX`].
#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Contents {
    /// Reads an export from the reader's current position. Only headers and indexes are read, layers are skipped.
    pub(super) fn read(mut export: impl Read + Seek) -> Result<Self, ExportError> {
        let mut indexes: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
        let mut digests: BTreeMap<PathBuf, String> = BTreeMap::new();
        let start = export.stream_position()?;
        let mut archive = Archive::new(Tail { file: export, start });
        for entry in archive.entries_with_seek()? {
            let mut entry = entry?;
            let path = normalized(&entry.path()?)?;
            let is_index = [MANIFEST, INDEX, REPOSITORIES].iter().any(|name| path == Path::new(name));
            let kind = entry.header().entry_type();
            if is_index && kind != EntryType::Regular {
                return Err(ExportError::NotRegular(path));
            }
            if kind != EntryType::Regular || entry.size() > MAX_FILE {
                if is_index {
                    return Err(ExportError::TooLarge(path));
                }
                // A layer, a link or a folder. It must not replace a file that was read before.
                if digests.remove(&path).is_some() {
                    return Err(ExportError::Duplicate(path));
                }
                continue;
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            if digests.insert(path.clone(), format!("sha256:{:x}", Sha256::digest(&bytes))).is_some() {
                return Err(ExportError::Duplicate(path));
            }
            if is_index {
                indexes.insert(path, bytes);
            }
        }
        Self::from_indexes(&indexes, &digests)
    }

    fn from_indexes(
        indexes: &BTreeMap<PathBuf, Vec<u8>>,
        digests: &BTreeMap<PathBuf, String>,
    ) -> Result<Self, ExportError> {
        let manifest = indexes.get(Path::new(MANIFEST)).ok_or(ExportError::NoManifest)?;
        let saved: Vec<ManifestEntry> =
            serde_json::from_slice(manifest).map_err(|error| ExportError::Index { name: MANIFEST, error })?;
        let mut contents = Self::default();
        for image in saved {
            let config = normalized(&image.config)?;
            let id = digests.get(&config).ok_or(ExportError::NoConfig(config))?;
            // Images without a name are ignored.
            for tag in image.repo_tags.into_iter().flatten() {
                contents.ids.entry(familiar(&tag).to_owned()).or_default().insert(id.clone());
            }
        }
        if let Some(index) = indexes.get(Path::new(INDEX)) {
            let index: Index =
                serde_json::from_slice(index).map_err(|error| ExportError::Index { name: INDEX, error })?;
            for Descriptor { digest, annotations } in index.manifests {
                if let Some(name) = annotations.get(NAME) {
                    contents.ids.entry(familiar(name).to_owned()).or_default().insert(digest);
                }
            }
        }
        Ok(contents)
    }

    /// Compares the contents with the claimed names and ids.
    pub(super) fn compare_with<'a>(
        &self,
        claimed: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Mismatch> {
        let claimed: BTreeMap<&str, &str> = claimed.into_iter().map(|(name, id)| (familiar(name), id)).collect();
        for (name, ids) in &self.ids {
            match claimed.get(name.as_str()) {
                None => return Err(Mismatch::Unlisted(name.clone())),
                Some(id) if !ids.contains(*id) => {
                    let found = ids.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                    return Err(Mismatch::OtherImage { name: name.clone(), id: (*id).to_owned(), found });
                }
                Some(_) => {}
            }
        }
        match claimed.keys().find(|name| !self.ids.contains_key(**name)) {
            Some(name) => Err(Mismatch::NotIncluded((*name).to_owned())),
            None => Ok(()),
        }
    }
}

/// The rest of a file, with positions relative to its start, because `tar` compares them with its own count.
struct Tail<F> {
    file: F,
    start: u64,
}

impl<F: Read> Read for Tail<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl<F: Seek> Seek for Tail<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(position) => SeekFrom::Start(self.start.saturating_add(position)),
            relative => relative,
        };
        let position = self.file.seek(to)?;
        position.checked_sub(self.start).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

/// Path of a member as a daemon unpacks it.
fn normalized(path: &Path) -> Result<PathBuf, ExportError> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            _ => return Err(ExportError::Outside(path.to_owned())),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::docker::tar::Tar;

    const CONFIG: &str = r#"{"os":"linux"}"#;

    fn digest(text: &str) -> String {
        format!("sha256:{:x}", Sha256::digest(text))
    }

    fn manifest(tags: &str) -> String {
        format!(r#"[{{"Config":"c.json","RepoTags":{tags},"Layers":["l/layer.tar"]}}]"#)
    }

    fn read(files: &[(&str, &str)]) -> Result<Contents, ExportError> {
        let mut tar = Tar::default();
        for (path, text) in files {
            tar.file(Path::new(path), 0o644, text.as_bytes()).unwrap();
        }
        // As in lab's archives, the export starts in the middle of a file.
        let before = [7; 1536];
        let mut file = Cursor::new([&before[..], &tar.finish()].concat());
        file.set_position(before.len() as u64);
        Contents::read(file)
    }

    fn verdict(files: &[(&str, &str)]) -> String {
        let id = digest(CONFIG);
        match read(files).map(|contents| contents.compare_with([("nginx:1.30", id.as_str())])) {
            Ok(Ok(())) => String::new(),
            Ok(Err(mismatch)) => mismatch.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_archive_that_matches_its_list_is_accepted() {
        for tag in ["nginx:1.30", "docker.io/library/nginx:1.30"] {
            let tags = manifest(&format!(r#"["{tag}"]"#));
            assert_eq!(verdict(&[("c.json", CONFIG), ("manifest.json", &tags)]), "");
            // Members may be in any order and start with a dot.
            assert_eq!(verdict(&[("./manifest.json", &tags), ("l/layer.tar", "x"), ("./c.json", CONFIG)]), "");
        }
        let index = format!(
            r#"{{"manifests":[{{"digest":"{}","annotations":{{"{NAME}":"docker.io/library/nginx:1.30"}}}}]}}"#,
            digest("the manifest")
        );
        let tags = manifest(r#"["nginx:1.30"]"#);
        let files = [("c.json", CONFIG), ("manifest.json", tags.as_str()), ("index.json", index.as_str())];
        assert_eq!(verdict(&files), "");
        let by_manifest = read(&files).unwrap();
        assert_eq!(by_manifest.compare_with([("nginx:1.30", digest("the manifest").as_str())]), Ok(()));
    }

    #[test]
    fn an_archive_that_differs_from_its_list_is_refused() {
        let good = manifest(r#"["nginx:1.30"]"#);
        let more = manifest(r#"["nginx:1.30","postgres:17"]"#);
        let other = manifest(r#"["nginx:1.31"]"#);
        let none = manifest("null");
        let index = format!(r#"{{"manifests":[{{"digest":"sha256:1","annotations":{{"{NAME}":"postgres:17"}}}}]}}"#);
        for (files, expected) in [
            (vec![("c.json", CONFIG), ("manifest.json", more.as_str())], "contains postgres:17"),
            (vec![("c.json", CONFIG), ("manifest.json", other.as_str())], "contains nginx:1.31"),
            (vec![("c.json", CONFIG), ("manifest.json", none.as_str())], "names nginx:1.30, which it does not contain"),
            (vec![("c.json", CONFIG), ("manifest.json", good.as_str()), ("index.json", index.as_str())], "postgres:17"),
            (vec![("c.json", r#"{"os":"other"}"#), ("manifest.json", good.as_str())], "but it contains sha256:"),
            (vec![("c.json", CONFIG), ("manifest.json", good.as_str()), ("manifest.json", more.as_str())], "twice"),
            (vec![("c.json", CONFIG), ("manifest.json", good.as_str()), ("c.json", "{}")], "twice"),
            (vec![("manifest.json", good.as_str())], "names c.json"),
            (vec![("c.json", CONFIG), ("repositories", "{}")], "no manifest.json"),
            (vec![("c.json", CONFIG), ("../manifest.json", good.as_str())], "not a path inside"),
            (vec![("c.json", CONFIG), ("manifest.json", "{")], "manifest.json:"),
        ] {
            let verdict = verdict(&files);
            assert!(verdict.contains(expected), "{expected}: {verdict}");
        }
    }

    #[test]
    fn an_index_that_is_a_link_is_refused() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_link(&mut header, "manifest.json", "other.json").unwrap();
        let error = Contents::read(Cursor::new(builder.into_inner().unwrap())).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}
