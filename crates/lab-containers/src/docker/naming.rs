//! [`Names`]: what the containers, networks and volumes of a lab are called, and the labels by which they are found again.
//! Compose's own labels are among them, so that `docker compose ls` and Docker Desktop show a lab as a project.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use lab_stack::{Content, FolderEntry, Mount, Service};

use lab_core::engine::Owner;

/// The lab that a thing belongs to.
pub(super) const NAME_LABEL: &str = "lab.name";
/// The version of lab that made it.
pub(super) const VERSION_LABEL: &str = "lab.version";
/// Who keeps it: a [`Owner`].
const KEEPER_LABEL: &str = "lab.keeper";
/// The service that a container is.
pub(super) const SERVICE_LABEL: &str = "lab.service";
/// The engine's id of a container.
pub(super) const INSTANCE_LABEL: &str = "lab.instance";
/// The network that a container is on: its id, with Podman its name, which is unique there.
pub(super) const NETWORK_LABEL: &str = "lab.network";
/// What a container was made from, in short.
pub(super) const DEFINITION_LABEL: &str = "lab.definition";
/// Its environment beyond the stack's, as JSON: name → value, or null where the stack's is taken away.
pub(super) const OVERRIDES_LABEL: &str = "lab.overrides";
/// The executable in an image of the app, in short.
pub(super) const EXECUTABLE_LABEL: &str = "lab.executable";
/// An image that was built from packages in the place of an official one. Its containers inherit the label.
pub(super) const STAND_IN_LABEL: &str = "lab.stand-in";
/// This version of lab.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The names of one lab.
#[derive(Clone, Debug)]
pub(super) struct Names {
    lab: String,
    keeper: Option<Owner>,
}

impl Names {
    /// Without a keeper, all that has the lab's name is the lab's.
    pub(super) fn new(lab: &str, keeper: Option<Owner>) -> Self {
        Self { lab: lab.to_owned(), keeper }
    }

    /// Whether nobody else keeps what has these labels.
    pub(super) fn is_ours(&self, labels: &BTreeMap<String, String>) -> bool {
        self.stranger(labels).is_none()
    }

    /// Where the one is found who keeps what has these labels, if that is somebody else. What has no such label is ours: an older
    /// lab made it.
    pub(super) fn stranger(&self, labels: &BTreeMap<String, String>) -> Option<String> {
        let (id, place) = labels.get(KEEPER_LABEL)?.split_once(' ')?;
        let is_other = self.keeper.as_ref().is_some_and(|keeper| keeper.id != id);
        is_other.then(|| place.to_owned())
    }

    /// Whether what has these labels belongs to this lab. What only has its name need not: names are not unique.
    pub(super) fn owns(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(NAME_LABEL) == Some(&self.lab) && self.is_ours(labels)
    }

    pub(super) fn lab(&self) -> &str {
        &self.lab
    }

    /// Compose's project.
    pub(super) fn project(&self) -> String {
        format!("lab-{}", self.lab)
    }

    /// `label=value`, which everything of the lab has.
    pub(super) fn filter(&self) -> String {
        format!("{NAME_LABEL}={}", self.lab)
    }

    pub(super) fn network(&self) -> String {
        format!("{}_default", self.project())
    }

    /// Another name for the network, if one of that name exists already and belongs to others.
    pub(super) fn another_network(&self) -> String {
        new_instance(&self.network())
    }

    /// Whether a network that the lab owns is the one that its containers are on.
    pub(super) fn is_network(&self, name: &str) -> bool {
        name.strip_prefix(&self.network()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// The volume by which a state folder claims the lab's name on the daemon: of two that make it at once, one does.
    pub(super) fn claim(&self) -> String {
        format!("{}_lab-owner", self.project())
    }

    /// A named volume of the stack.
    pub(super) fn volume(&self, name: &str) -> String {
        format!("{}_{name}", self.project())
    }

    /// The volume for the `index`th folder that is mounted into a service. Its content is part of its name: another content
    /// is another volume, and a container that runs keeps its own.
    pub(super) fn files(&self, service: &str, index: usize, content: &str) -> String {
        format!("{}_{service}-files-{index}-{content}", self.project())
    }

    /// The container that serves.
    pub(super) fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.project())
    }

    /// A container that is on its way in or out.
    pub(super) fn passing(&self, service: &str, stage: &str, instance: &str) -> String {
        let tag = instance.rsplit('-').next().unwrap_or(instance);
        format!("{}-{service}-{stage}-{tag}", self.project())
    }

    /// Whether a container was put aside by a change, and is the service's as long as no other has its name.
    pub(super) fn is_aside(&self, service: &str, container: &str) -> bool {
        ["old", "stopping"].iter().any(|stage| container.starts_with(&self.passing(service, stage, "")))
    }

    /// What everything of the lab is labelled with.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.own_labels();
        labels.insert("com.docker.compose.project".to_owned(), self.project());
        labels.insert("com.docker.compose.version".to_owned(), format!("lab {VERSION}"));
        labels
    }

    /// Those of them that are not Compose's.
    pub(super) fn own_labels(&self) -> BTreeMap<String, String> {
        let name = (NAME_LABEL.to_owned(), self.lab.clone());
        let version = (VERSION_LABEL.to_owned(), VERSION.to_owned());
        let keeper = self.keeper.as_ref();
        let keeper = keeper.map(|keeper| (KEEPER_LABEL.to_owned(), format!("{} {}", keeper.id, keeper.location)));
        [name, version].into_iter().chain(keeper).collect()
    }

    pub(super) fn network_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        labels.insert("com.docker.compose.network".to_owned(), "default".to_owned());
        labels
    }

    pub(super) fn volume_labels(&self, name: &str) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        labels.insert("com.docker.compose.volume".to_owned(), name.to_owned());
        labels
    }

    pub(super) fn container_labels(&self, service: &str, definition: &str) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        let folder = std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default();
        labels.extend(
            [
                (SERVICE_LABEL, service),
                (DEFINITION_LABEL, definition),
                ("com.docker.compose.service", service),
                ("com.docker.compose.container-number", "1"),
                ("com.docker.compose.oneoff", "False"),
                ("com.docker.compose.config-hash", definition),
                ("com.docker.compose.project.working_dir", &folder),
                ("com.docker.compose.project.config_files", "compose.yaml"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        labels
    }
}

/// What a container is made from, in short: another definition or another image is another value.
pub(super) fn definition(service: &Service, image: &str) -> String {
    let mut hasher = DefaultHasher::new();
    let mut bare = service.clone();
    for mount in &mut bare.mounts {
        if let Mount::Bind(bind) = mount {
            hasher.write(content(&bind.entries).as_bytes());
            bind.entries.clear();
        }
    }
    hasher.write(format!("{bare:?}").as_bytes());
    hasher.write(image.as_bytes());
    format!("{:016x}", hasher.finish())
}

/// A folder in short: all that is in it, with its permissions.
pub(super) fn content(entries: &[FolderEntry]) -> String {
    let mut hasher = DefaultHasher::new();
    for entry in entries {
        let (kind, bytes) = match &entry.content {
            Content::Folder => (0, &[][..]),
            Content::File(bytes) => (1, bytes.as_slice()),
            Content::Link(target) => (2, target.as_os_str().as_encoded_bytes()),
        };
        let path = entry.path.as_os_str().as_encoded_bytes();
        hasher.write_usize(path.len());
        hasher.write(path);
        hasher.write_u32(entry.mode);
        hasher.write_u8(kind);
        hasher.write_usize(bytes.len());
        hasher.write(bytes);
    }
    format!("{:016x}", hasher.finish())
}

/// Bytes in short.
pub(super) fn short(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("{:016x}", hasher.finish())
}

/// An id for a new instance: `app-3f9a01bc`.
pub(super) fn new_instance(service: &str) -> String {
    let mut bytes = [0; 4];
    // Without random bytes the time has to do: an id needs to be new, not secret.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = chrono::Utc::now().timestamp_subsec_nanos().to_le_bytes();
    }
    format!("{service}-{:08x}", u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_stack::Bind;

    fn file(path: &str, text: &str) -> FolderEntry {
        FolderEntry { path: path.into(), mode: 0o644, content: Content::File(text.as_bytes().to_vec()) }
    }

    #[test]
    fn a_changed_file_is_another_definition_and_another_volume() {
        let with = |text: &str| {
            let entries = vec![file("nginx.conf", text)];
            let bind = Bind { source: "nginx".into(), target: "/etc/nginx".to_owned(), entries };
            Service { name: "gateway".to_owned(), mounts: vec![Mount::Bind(bind)], ..Service::default() }
        };
        assert_eq!(definition(&with("a"), "sha256:1"), definition(&with("a"), "sha256:1"));
        assert_ne!(definition(&with("a"), "sha256:1"), definition(&with("b"), "sha256:1"));
        assert_ne!(definition(&with("a"), "sha256:1"), definition(&with("a"), "sha256:2"));
    }

    #[test]
    fn what_another_state_folder_keeps_is_a_strangers() {
        let keeper = |id: &str| Some(Owner { id: id.to_owned(), location: format!("laptop:/home/the {id}") });
        let (one, other, nobody) = (Names::new("a", keeper("1")), Names::new("a", keeper("2")), Names::new("a", None));
        assert_eq!(one.stranger(&one.labels()), None);
        assert_eq!(one.stranger(&other.own_labels()).as_deref(), Some("laptop:/home/the 2"));
        assert_eq!(one.stranger(&nobody.labels()), None, "an older lab made it");
        assert_eq!(nobody.stranger(&other.labels()), None, "whoever asks for all of it gets all");
    }

    #[test]
    fn files_are_not_mistaken_for_others_that_read_the_same_one_after_another() {
        let one = file("a", "bc");
        assert_ne!(content(std::slice::from_ref(&one)), content(&[file("ab", "c")]));
        let others = [
            FolderEntry { mode: 0o755, ..one.clone() },
            FolderEntry { content: Content::Link("bc".into()), ..one.clone() },
            FolderEntry { content: Content::Folder, ..file("a", "") },
        ];
        for other in others {
            assert_ne!(content(std::slice::from_ref(&one)), content(std::slice::from_ref(&other)), "{other:?}");
        }
        assert_ne!(content(&[]), content(&[FolderEntry { content: Content::Folder, ..file("a", "") }]));
    }
}
