//! Privileges of a service: at most those that the daemon gives every container. Values that would grant more are refused. Keys
//! that only grant privileges are in [`super::refused`].

use super::value_error::ValueError;
use super::values;

/// Docker's default capabilities, which `cap_add` may restore after `cap_drop`.
pub(super) const CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Other drivers send logs elsewhere with the daemon's privileges, for example to sockets of the host.
const LOG_DRIVERS: [&str; 3] = ["json-file", "local", "none"];
const LOG_OPTIONS: [&str; 9] =
    ["compress", "env", "env-regex", "labels", "labels-regex", "max-buffer-size", "max-file", "max-size", "mode"];
const TMPFS_OPTIONS: [&str; 12] =
    ["exec", "gid", "mode", "nodev", "noexec", "nosuid", "nr_blocks", "nr_inodes", "ro", "rw", "size", "uid"];

/// Name of a capability in the daemon's spelling.
fn plain(text: &str) -> String {
    let upper = text.trim().to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

/// Parses a capability to drop.
pub(super) fn known_capability(text: &str) -> Result<String, ValueError> {
    let name = plain(text);
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    if is_name { Ok(name) } else { Err(ValueError::Capability) }
}

/// Parses a capability to restore.
pub(super) fn capability(text: &str) -> Result<String, ValueError> {
    let name = plain(text);
    if CAPABILITIES.contains(&name.as_str()) { Ok(name) } else { Err(ValueError::Privilege) }
}

/// Parses a security option. Only options that remove privileges are accepted.
pub(super) fn security_option(text: &str) -> Result<String, ValueError> {
    match text.split_once([':', '=']).unwrap_or((text, "true")) {
        ("no-new-privileges", "true") => Ok("no-new-privileges:true".to_owned()),
        _ => Err(ValueError::SecurityOption),
    }
}

/// Parses a log driver that stores logs locally.
pub(super) fn log_driver(text: &str) -> Result<String, ValueError> {
    one_of(text, &LOG_DRIVERS, |known| ValueError::LogDriver { known })
}

/// Parses an option of such a driver.
pub(super) fn log_option(text: &str) -> Result<String, ValueError> {
    one_of(text, &LOG_OPTIONS, |known| ValueError::LogOption { known })
}

/// Parses a path in memory with options: `/tmp`, `/run:mode=1777,size=16m`.
pub(super) fn tmpfs(text: &str) -> Result<String, ValueError> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    values::target(path)?;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let name = option.split_once('=').map_or(option, |(name, _)| name);
        one_of(name, &TMPFS_OPTIONS, |known| ValueError::TmpfsOption { option: name.to_owned(), known })?;
    }
    Ok(text.to_owned())
}

/// Accepts the known words. `refuse` gets them for its error.
fn one_of(
    text: &str,
    known: &'static [&'static str],
    refuse: impl FnOnce(&'static [&'static str]) -> ValueError,
) -> Result<String, ValueError> {
    if known.contains(&text) { Ok(text.to_owned()) } else { Err(refuse(known)) }
}

#[cfg(test)]
mod tests {
    use super::{capability, known_capability, log_driver, security_option, tmpfs};

    #[test]
    fn only_default_capabilities_can_be_restored() {
        for good in ["NET_BIND_SERVICE", "net_bind_service", "CAP_NET_BIND_SERVICE"] {
            assert_eq!(capability(good).as_deref(), Ok("NET_BIND_SERVICE"), "{good}");
        }
        for bad in ["SYS_ADMIN", "cap_sys_admin", "ALL", "all", "SYS_PTRACE", "NET_ADMIN", "BPF", "", "chown,all"] {
            assert!(capability(bad).is_err(), "{bad}");
        }
        assert_eq!(known_capability("all").as_deref(), Ok("ALL"));
        assert!(known_capability("").is_err() && known_capability("a b").is_err());
    }

    #[test]
    fn security_options_only_remove_privileges() {
        for good in ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"] {
            assert_eq!(security_option(good).as_deref(), Ok("no-new-privileges:true"), "{good}");
        }
        for bad in [
            "no-new-privileges:false",
            "seccomp:unconfined",
            "seccomp=unconfined",
            "apparmor:unconfined",
            "label:disable",
            "systempaths=unconfined",
            "unmask=ALL",
            "",
        ] {
            assert!(security_option(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn logs_and_memory_stay_in_the_lab() {
        assert!(log_driver("json-file").is_ok() && log_driver("none").is_ok());
        for bad in ["syslog", "fluentd", "gelf", "awslogs", "journald", "plugin:latest"] {
            assert!(log_driver(bad).is_err(), "{bad}");
        }
        assert!(tmpfs("/tmp:mode=1777,size=16m,exec").is_ok() && tmpfs("/tmp").is_ok());
        for bad in ["/tmp:dev", "/tmp:suid", "/tmp:rshared", "tmp", "/tmp:size=1m,bind"] {
            assert!(tmpfs(bad).is_err(), "{bad}");
        }
    }
}
