//! How many connections this process may have: each takes a file descriptor, and the limit that a shell gives is often low.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for anything else: the terminal, the runtimes, files.
const OTHERS: u64 = 64;

/// Raises the limit of open files as far as so many connections need, where the system lets it; the error is how many
/// connections there can be.
pub fn make_room(connections: u32) -> Result<(), u64> {
    let needed = u64::from(connections) + OTHERS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let wanted = maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
    let available = if raised { wanted } else { current.unwrap_or(needed) };
    if available >= needed { Ok(()) } else { Err(available.saturating_sub(OTHERS)) }
}
