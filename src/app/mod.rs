//! The service under test, as `lab app` runs it: users behind an API key.

use crate::error::Exit;

/// Serves until SIGTERM, or until standard input ends where `tied`.
pub fn run(tied: bool) -> Exit {
    let _ = tied;
    Exit::Held
}
