//! What a lab on containers consists of: `stack/compose.yaml`, read into a [`Stack`], and the files that it mounts. The
//! file is a documented subset of the Compose Specification; what only lab knows stands under `x-lab`.

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

/// The image that lab builds from its own executable: a service that names it is lab's own app.
pub const APP_IMAGE: &str = "lab-app:local";

/// Every mistake in a stack's files, each with its place.
pub type StackErrors = lab_yaml::Diagnostics;

impl Stack {
    /// Reads the compose file in `dir`, and the files of the folders that it mounts. `env` is what `${NAME}` stands for, and
    /// nothing of the host's.
    pub fn read(dir: &Path, env: &BTreeMap<String, String>) -> Result<Self, StackErrors> {
        Ok(Source { folder: dir, own: env, host: Vec::new(), allowed: &[] }.read()?.stack)
    }

    /// The stack that comes with lab.
    pub fn embedded(env: &BTreeMap<String, String>) -> Result<Self, StackErrors> {
        compose::load(&Folder::Embedded, &mut Variables::new(env, []))
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}

#[cfg(test)]
mod tests;
