//! Address of the container daemon, as the environment names it.

/// What `DOCKER_HOST` says, if it says anything. One that is not UTF-8 names a daemon that is not there, and not another one.
pub fn host_from_env() -> Option<String> {
    let host = std::env::var_os("DOCKER_HOST").filter(|host| !host.is_empty())?;
    Some(host.to_string_lossy().into_owned())
}
