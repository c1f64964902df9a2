//! Stack of a lab on containers: `stack/compose.yaml` or the user's own, read into a [`Stack`], with the files that it mounts.
//! The file is a documented subset of the Compose Specification, with lab's own settings in `x-lab`.

#![warn(missing_docs)]

pub mod assets;
mod bytes;
mod compose;
mod difference;
mod folder;
mod model;
mod reading;
mod variables;
mod walk;

use std::collections::BTreeMap;
use std::path::Path;

pub use folder::resolved;
pub use model::{
    Bind, Build, Condition, Content, FolderEntry, HealthCheck, HealthSetting, Limits, Mount, Optional, Port, Service,
    Stack, VolumeMount, XLab, XLabApp, XLabGateway,
};
pub use reading::{Reading, Source};

use folder::Folder;
use variables::Variables;

/// Image that lab builds from its own executable. A service with this image is lab's own app.
pub const APP_IMAGE: &str = "lab-app:local";

/// Mistakes in a stack's files, with their places.
pub type StackErrors = lab_yaml::Diagnostics;

impl Stack {
    /// Reads the compose file in `dir` and the folders that it mounts. `${NAME}` is only taken from `env`, not from the host's
    /// environment.
    pub fn read(dir: &Path, env: &BTreeMap<String, String>) -> Result<Self, StackErrors> {
        Ok(Source { folder: dir, own: env, host: Vec::new(), allowed: &[] }.read()?.stack)
    }

    /// Reads the embedded default stack.
    pub fn embedded(env: &BTreeMap<String, String>) -> Result<Self, StackErrors> {
        compose::load(&Folder::Embedded, &mut Variables::new(env, []))
    }

    /// Finds a service by its name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}

#[cfg(test)]
mod tests;
