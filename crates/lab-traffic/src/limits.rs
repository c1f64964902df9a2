//! Limit of open files. Every connection takes a file descriptor, and the default limit of a shell is often low.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors reserved for the terminal, the runtimes and files.
const RESERVED: u64 = 64;

/// Raises the limit of open files to fit this many connections, if the system allows it. The error is the number of
/// connections that are possible.
pub fn raise_file_limit(connections: u32) -> Result<(), u64> {
    let needed = u64::from(connections) + RESERVED;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let wanted = maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
    let available = if raised { wanted } else { current.unwrap_or(needed) };
    if available >= needed { Ok(()) } else { Err(available.saturating_sub(RESERVED)) }
}
