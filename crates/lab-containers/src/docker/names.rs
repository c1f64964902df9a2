//! [`Names`] of a lab's containers, networks and volumes, and the labels that identify them.
//! Compose's own labels are included, so that `docker compose ls` and Docker Desktop show a lab as a project.

use std::collections::BTreeMap;

use lab_core::engine::Owner;

/// Name of the lab.
pub(crate) const NAME_LABEL: &str = "lab.name";
/// Version of lab that created the object.
pub(super) const VERSION_LABEL: &str = "lab.version";
/// Id and place of the [`Owner`], separated by a space. The label has the owner's former name, so that existing labs are found.
pub(crate) const OWNER_LABEL: &str = "lab.keeper";
/// Service of a container.
pub(super) const SERVICE_LABEL: &str = "lab.service";
/// The engine's id of a container.
pub(super) const INSTANCE_LABEL: &str = "lab.instance";
/// Network of a container: its id, or with Podman its name, which is unique there.
pub(super) const NETWORK_LABEL: &str = "lab.network";
/// Hash of a container's definition.
pub(super) const DEFINITION_LABEL: &str = "lab.definition";
/// Environment changes on top of the stack's, as JSON: name → value, or null for a variable that is removed.
pub(super) const OVERRIDES_LABEL: &str = "lab.overrides";
/// Hash of the executable in an image of the app.
pub(crate) const EXECUTABLE_LABEL: &str = "lab.executable";
/// Marks an image that was built from packages as a stand-in for an official one. Its containers inherit the label.
pub(super) const STAND_IN_LABEL: &str = "lab.stand-in";
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Names used by one lab.
#[derive(Clone, Debug)]
pub(super) struct Names {
    lab: String,
    owner: Option<Owner>,
}

impl Names {
    /// Without an owner, everything with the lab's name belongs to the lab.
    pub(super) fn new(lab: &str, owner: Option<Owner>) -> Self {
        Self { lab: lab.to_owned(), owner }
    }

    /// Returns true if no other state folder owns the object with these labels.
    pub(super) fn is_ours(&self, labels: &BTreeMap<String, String>) -> bool {
        self.foreign_owner(labels).is_none()
    }

    /// Place of the owner in these labels, if it is not ours. Objects without the label were created by an older version and
    /// count as ours.
    pub(super) fn foreign_owner(&self, labels: &BTreeMap<String, String>) -> Option<String> {
        let (id, place) = labels.get(OWNER_LABEL)?.split_once(' ')?;
        let is_other = self.owner.as_ref().is_some_and(|owner| owner.id != id);
        is_other.then(|| place.to_owned())
    }

    /// Returns true if the object with these labels belongs to this lab. Its name is no proof, because names are not unique.
    pub(super) fn owns(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(NAME_LABEL) == Some(&self.lab) && self.is_ours(labels)
    }

    pub(super) fn lab(&self) -> &str {
        &self.lab
    }

    /// Project name for Compose.
    pub(super) fn project(&self) -> String {
        format!("lab-{}", self.lab)
    }

    /// Label filter (`label=value`) that selects every object of the lab.
    pub(super) fn filter(&self) -> String {
        format!("{NAME_LABEL}={}", self.lab)
    }

    pub(super) fn network(&self) -> String {
        format!("{}_default", self.project())
    }

    /// Alternative name for the network, if the name is used by a network that is not ours.
    pub(super) fn alternative_network(&self) -> String {
        new_instance(&self.network())
    }

    /// Returns true if this network of the lab is the one for its containers.
    pub(super) fn is_network(&self, name: &str) -> bool {
        name.strip_prefix(&self.network()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// Name of the volume with which a state folder claims the lab. If two create it at once, only one succeeds.
    pub(super) fn claim(&self) -> String {
        format!("{}_lab-owner", self.project())
    }

    pub(super) fn volume(&self, name: &str) -> String {
        format!("{}_{name}", self.project())
    }

    /// Volume for the `index`th folder that is mounted into a service. The name contains the content's hash: changed content is
    /// a new volume, and a running container keeps its own.
    pub(super) fn files(&self, service: &str, index: usize, content: &str) -> String {
        format!("{}_{service}-files-{index}-{content}", self.project())
    }

    /// Name of the active container of a service.
    pub(super) fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.project())
    }

    /// Temporary name of a container that is about to be added or removed.
    pub(super) fn temporary_container(&self, service: &str, stage: &str, instance: &str) -> String {
        let tag = instance.rsplit('-').next().unwrap_or(instance);
        format!("{}-{service}-{stage}-{tag}", self.project())
    }

    /// Returns true if a change renamed this container. It stays the active one until another container has the service's name.
    pub(super) fn is_renamed(&self, service: &str, container: &str) -> bool {
        ["old", "stopping"].iter().any(|stage| container.starts_with(&self.temporary_container(service, stage, "")))
    }

    /// Labels of every object of the lab.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.own_labels();
        labels.insert("com.docker.compose.project".to_owned(), self.project());
        labels.insert("com.docker.compose.version".to_owned(), format!("lab {VERSION}"));
        labels
    }

    /// The labels that are not Compose's.
    pub(super) fn own_labels(&self) -> BTreeMap<String, String> {
        let name = (NAME_LABEL.to_owned(), self.lab.clone());
        let version = (VERSION_LABEL.to_owned(), VERSION.to_owned());
        let owner = self.owner.as_ref();
        let owner = owner.map(|owner| (OWNER_LABEL.to_owned(), format!("{} {}", owner.id, owner.location)));
        [name, version].into_iter().chain(owner).collect()
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

/// New instance id, such as `app-3f9a01bc`.
pub(super) fn new_instance(service: &str) -> String {
    let mut bytes = [0; 4];
    // Without random bytes the time is enough: an id has to be new, not secret.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = chrono::Utc::now().timestamp_subsec_nanos().to_le_bytes();
    }
    format!("{service}-{:08x}", u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_of_another_state_folder_has_a_foreign_owner() {
        let owner = |id: &str| Some(Owner { id: id.to_owned(), location: format!("laptop:/home/the {id}") });
        let (one, other, anyone) = (Names::new("a", owner("1")), Names::new("a", owner("2")), Names::new("a", None));
        assert_eq!(one.foreign_owner(&one.labels()), None);
        assert_eq!(one.foreign_owner(&other.own_labels()).as_deref(), Some("laptop:/home/the 2"));
        assert_eq!(one.foreign_owner(&anyone.labels()), None, "an older version created it");
        assert_eq!(anyone.foreign_owner(&other.labels()), None, "without an owner, all labs are selected");
    }
}
