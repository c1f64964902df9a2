//! The executable under test without symbols.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The executable under test without symbols, which has a tenth of the size.
pub(crate) fn executable() -> PathBuf {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    let strip = || {
        let original = PathBuf::from(env!("CARGO_BIN_EXE_lab"));
        let stripped = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lab-stripped");
        // Under a temporary name first, because tests may run on Docker and Podman at the same time.
        let fresh = stripped.with_extension(std::process::id().to_string());
        let status = Command::new("strip").arg("-o").arg(&fresh).arg(&original).status();
        let done = status.is_ok_and(|status| status.success()) && std::fs::rename(&fresh, &stripped).is_ok();
        if done { stripped } else { original }
    };
    STRIPPED.get_or_init(strip).clone()
}
