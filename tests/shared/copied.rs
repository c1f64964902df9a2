//! A user's own stack, copied from the built-in one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies the stack that comes with lab, and what it mounts, into a folder; the stack's own folder in there.
pub(crate) fn copy_of_the_stack(into: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copied =
        Command::new("cp").arg("-r").args(["stack", "grafana"].map(|part| source.join(part))).arg(into).status();
    assert!(copied.is_ok_and(|status| status.success()));
    into.join("stack")
}
