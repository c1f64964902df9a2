//! Address of the container daemon, as the environment names it.

/// Value of `DOCKER_HOST`, if it is set and not empty. A value that is not UTF-8 is converted lossily, so that it names
/// an unreachable daemon instead of the default one.
pub fn host_from_env() -> Option<String> {
    let host = std::env::var_os("DOCKER_HOST").filter(|host| !host.is_empty())?;
    Some(host.to_string_lossy().into_owned())
}
