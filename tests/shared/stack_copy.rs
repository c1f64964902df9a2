//! Copies of the built-in stack, used as a user's own stack.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies the built-in stack and its mounted files into a folder. Returns the folder of the stack.
pub(crate) fn copy_stack(into: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copied =
        Command::new("cp").arg("-r").args(["stack", "grafana"].map(|part| source.join(part))).arg(into).status();
    assert!(copied.is_ok_and(|status| status.success()));
    into.join("stack")
}
