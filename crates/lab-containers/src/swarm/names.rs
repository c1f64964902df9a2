//! Names and labels of a lab's service and secret.

use std::collections::BTreeMap;

use crate::docker::names::{NAME_LABEL, OWNER_LABEL};
use lab_core::engine::Owner;

/// Characters of the owner's id in a name. Services of a Swarm share one name space, and users may have labs of the same name.
const OWNER_DIGITS: usize = 8;

/// Names of one lab.
#[derive(Clone, Debug)]
pub(super) struct Names {
    lab: String,
    owner: Owner,
}

impl Names {
    pub(super) fn new(lab: &str, owner: &Owner) -> Self {
        Self { lab: lab.to_owned(), owner: owner.clone() }
    }

    /// Name of the service and of its secret, of at most 63 characters.
    pub(super) fn service(&self) -> String {
        let owner: String = self.owner.id.chars().take(OWNER_DIGITS).collect();
        format!("lab-{}-{owner}", self.lab)
    }

    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(NAME_LABEL.to_owned(), self.lab.clone()), (OWNER_LABEL.to_owned(), self.owner())])
    }

    /// Label filter (`label=value`) that selects the secrets of the lab. Secrets have it besides the labels of the service.
    pub(super) fn filter(&self) -> String {
        format!("{SERVICE_NAME_LABEL}={}", self.service())
    }

    /// Labels of the secret.
    pub(super) fn secret_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        labels.insert(SERVICE_NAME_LABEL.to_owned(), self.service());
        labels
    }

    fn owner(&self) -> String {
        format!("{} {}", self.owner.id, self.owner.location)
    }
}

/// Service that uses a secret.
const SERVICE_NAME_LABEL: &str = "lab.swarm-service";
