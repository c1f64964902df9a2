//! Checks whether local ports are free and finds the process that uses one.

use std::net::{Ipv4Addr, TcpListener};

use super::{EngineError, EngineErrorKind};

/// Returns an error if a port of 127.0.0.1 is in use, naming the process if possible. 0 always passes.
pub fn require_free(port: u16) -> Result<(), EngineError> {
    let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) else { return Ok(()) };
    let (kind, detail) = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let holder = holder(port).map(|holder| format!(" by {holder}")).unwrap_or_default();
            (EngineErrorKind::PortTaken, format!("127.0.0.1:{port} is in use{holder}"))
        }
        std::io::ErrorKind::PermissionDenied => {
            (EngineErrorKind::PortTaken, format!("port {port} is for privileged users (below 1024)"))
        }
        _ => (EngineErrorKind::System, format!("127.0.0.1:{port}: {error}")),
    };
    Err(EngineError::new(kind, detail).hint("give the lab another port: --port 8081, or --port 0 for a free one"))
}

/// Process that listens on a port, as `nginx (pid 812)`. Needs `/proc`, and only finds processes that the user may
/// inspect.
fn holder(port: u16) -> Option<String> {
    let inode = listening_inode(port)?;
    let socket = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?;
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let is_socket =
            |file: std::fs::DirEntry| std::fs::read_link(file.path()).is_ok_and(|link| link.to_str() == Some(&socket));
        if files.flatten().any(is_socket) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

/// Inode of the socket that listens on a port, from `/proc/net/tcp`. Per proc(5), the second column is the hexadecimal
/// address and port, the fourth the state (`0A` is LISTEN) and the tenth the inode.
fn listening_inode(port: u16) -> Option<u64> {
    let suffix = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        text.lines().skip(1).find_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let listens = columns.get(1)?.ends_with(&suffix) && *columns.get(3)? == "0A";
            if listens { columns.get(9)?.parse().ok() } else { None }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_for_a_port_in_use_names_the_process() {
        assert!(require_free(0).is_ok());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = require_free(port).unwrap_err();
        assert_eq!(error.kind, EngineErrorKind::PortTaken);
        if cfg!(target_os = "linux") {
            assert!(error.detail.contains(&format!("(pid {})", std::process::id())), "{error}");
        }
        drop(listener);
        assert!(require_free(port).is_ok());
    }
}
