//! What images that contain only lab's own executable have in common.

use std::path::{Path, PathBuf};

use crate::docker::client::Platform;

/// Unprivileged user and group of lab in a container.
pub(crate) const USER: &str = "65532:65532";

/// The chosen executable, or else the running one. `None` if that one needs more than an empty image has.
pub(crate) fn executable(chosen: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = chosen {
        return Some(path.to_owned());
    }
    if !cfg!(all(target_os = "linux", target_feature = "crt-static")) {
        return None;
    }
    // Valid even if the file was replaced since this process started.
    Some(PathBuf::from("/proc/self/exe"))
}

/// Platform of the running executable, in the words of Docker.
pub(crate) fn platform() -> Platform {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Platform { os: std::env::consts::OS.to_owned(), arch: arch.to_owned() }
}
