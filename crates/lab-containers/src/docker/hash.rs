//! Hashes in labels, volume names and image tags. They outlive this process and this version of lab, so they only depend on the
//! hashed content: SHA-256 of bytes or of canonical JSON, never on Rust's `Hash` or `Debug`.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use lab_stack::{Content, FolderEntry, Mount, Service};

/// Digits of a hash that are kept. Hashes tell versions of one lab's objects apart, for which 64 bits are plenty.
const DIGITS: usize = 16;

/// Input of a container's definition.
#[derive(Serialize)]
struct Definition<'a> {
    image: &'a str,
    /// Without the contents of its folders.
    service: Service,
    /// Hashes of its folders, in the order of the mounts.
    folders: Vec<String>,
}

/// Hash of a container's definition and image.
pub(super) fn definition(service: &Service, image: &str) -> String {
    hash(canonical_definition(service, image).to_string().as_bytes())
}

/// The definition as JSON with sorted keys.
fn canonical_definition(service: &Service, image: &str) -> Value {
    let mut service = service.clone();
    let mut folders = Vec::new();
    for mount in &mut service.mounts {
        match mount {
            Mount::Bind(bind) => {
                folders.push(content_hash(&bind.entries));
                bind.entries.clear();
            }
            Mount::Volume(_) => {}
        }
    }
    let mut json = serde_json::to_value(Definition { image, service, folders })
        .unwrap_or_else(|error| unreachable!("a stack is read from YAML, so it has a form in JSON: {error}"));
    json.sort_all_objects();
    json
}

/// Hash of a folder: paths, permissions and contents.
pub(super) fn content_hash(entries: &[FolderEntry]) -> String {
    let mut hasher = Sha256::new();
    // Each part is preceded by its length, so that one cannot be mistaken for another.
    let mut part = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    for entry in entries {
        let (kind, bytes) = match &entry.content {
            Content::Folder => ("folder", &[][..]),
            Content::File(bytes) => ("file", bytes.as_slice()),
            Content::Link(target) => ("link", target.as_os_str().as_encoded_bytes()),
        };
        part(entry.path.as_os_str().as_encoded_bytes());
        part(&entry.mode.to_be_bytes());
        part(kind.as_bytes());
        part(bytes);
    }
    text(hasher)
}

/// Hash of some bytes.
pub(super) fn hash(bytes: &[u8]) -> String {
    text(Sha256::new_with_prefix(bytes))
}

fn text(hasher: Sha256) -> String {
    let mut text = format!("{:x}", hasher.finalize());
    text.truncate(DIGITS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_stack::{Bind, Limits};

    fn file(path: &str, text: &str) -> FolderEntry {
        FolderEntry { path: path.into(), mode: 0o644, content: Content::File(text.as_bytes().to_vec()) }
    }

    fn gateway(text: &str) -> Service {
        let entries = vec![file("nginx.conf", text)];
        let bind = Bind { source: "nginx".into(), target: "/etc/nginx".to_owned(), entries };
        Service {
            name: "gateway".to_owned(),
            environment: [("B".to_owned(), "2".to_owned()), ("A".to_owned(), "1".to_owned())].into(),
            mounts: vec![Mount::Bind(bind)],
            limits: Limits { cpus: Some(0.5), ..Limits::default() },
            ..Service::default()
        }
    }

    /// Existing labs have these hashes. If they change, the next `lab up` recreates every container of every lab.
    #[test]
    fn hashes_stay_the_same_in_every_version() {
        assert_eq!(hash(b""), "e3b0c44298fc1c14");
        assert_eq!(hash(b"abc"), "ba7816bf8f01cfea");
        let entries = [
            FolderEntry { path: "".into(), mode: 0o755, content: Content::Folder },
            file("nginx.conf", "events {}"),
            FolderEntry { path: "current".into(), mode: 0o777, content: Content::Link("nginx.conf".into()) },
        ];
        assert_eq!(content_hash(&entries), "52437a16e02fa449");
        let expected = r#"{"folders":["9f2d2d4e314e8857"],"image":"sha256:1","service":{"build":null,"cap_add":[],"cap_drop":[],"command":null,"depends_on":{},"entrypoint":null,"environment":{"A":"1","B":"2"},"healthcheck":"inherited","image":"","init":false,"labels":{},"limits":{"cpus":0.5,"memory":null,"pids":null},"logging":null,"name":"gateway","ports":[],"read_only":false,"security_opt":[],"shm_size":null,"stop_grace_period":null,"stop_signal":null,"tmpfs":[],"user":null,"volumes":[{"Bind":{"entries":[],"source":"nginx","target":"/etc/nginx"}}]}}"#;
        assert_eq!(canonical_definition(&gateway("events {}"), "sha256:1").to_string(), expected);
        assert_eq!(definition(&gateway("events {}"), "sha256:1"), "6f25b910c81cc632");
    }

    #[test]
    fn a_changed_file_is_another_definition_and_another_volume() {
        assert_eq!(definition(&gateway("a"), "sha256:1"), definition(&gateway("a"), "sha256:1"));
        assert_ne!(definition(&gateway("a"), "sha256:1"), definition(&gateway("b"), "sha256:1"));
        assert_ne!(definition(&gateway("a"), "sha256:1"), definition(&gateway("a"), "sha256:2"));
    }

    #[test]
    fn the_hash_separates_paths_from_contents() {
        let one = file("a", "bc");
        assert_ne!(content_hash(std::slice::from_ref(&one)), content_hash(&[file("ab", "c")]));
        let others = [
            FolderEntry { mode: 0o755, ..one.clone() },
            FolderEntry { content: Content::Link("bc".into()), ..one.clone() },
            FolderEntry { content: Content::Folder, ..file("a", "") },
        ];
        for other in others {
            assert_ne!(
                content_hash(std::slice::from_ref(&one)),
                content_hash(std::slice::from_ref(&other)),
                "{other:?}"
            );
        }
        assert_ne!(content_hash(&[]), content_hash(&[FolderEntry { content: Content::Folder, ..file("a", "") }]));
    }
}
