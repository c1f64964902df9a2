//! The reverse proxy in front of the app, as `lab gateway` runs it.

use crate::error::Exit;

/// Serves until SIGTERM, or until standard input ends where `tied`.
pub fn run(tied: bool) -> Exit {
    let _ = tied;
    Exit::Held
}
