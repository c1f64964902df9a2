//! [`Reach`]: the addresses on which a lab's ports are published, and under which they are reachable from here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::connect::unreachable;
use lab_core::engine::EngineError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::docker) struct Reach {
    /// Address in the form of `DOCKER_HOST`.
    daemon: String,
    /// Requested address.
    bind: Option<IpAddr>,
}

impl Reach {
    /// For the daemon at `daemon`. `bind` is an address of its machine, by default its loopback address.
    pub(super) fn new(daemon: &str, bind: Option<IpAddr>) -> Self {
        Self { daemon: daemon.to_owned(), bind }
    }

    /// Returns true if the daemon is on this machine, so that its loopback address is reachable.
    pub(in crate::docker) fn is_local(&self) -> bool {
        let (scheme, rest) = self.split();
        let name = name(rest);
        match scheme {
            "unix" => true,
            "tcp" | "http" => name == "localhost" || name == "[::1]" || name.starts_with("127."),
            _ => false,
        }
    }

    /// Address of the daemon's machine on which ports are published.
    pub(in crate::docker) fn bind(&self) -> IpAddr {
        self.bind.unwrap_or(Ipv4Addr::LOCALHOST.into())
    }

    /// Returns true if other machines can reach the ports.
    pub(in crate::docker) fn is_open(&self) -> bool {
        !self.bind().is_loopback()
    }

    /// `HOST:PORT` of a published port as seen from here.
    pub(in crate::docker) fn address(&self, port: u16) -> String {
        match self.bind() {
            bind if !bind.is_unspecified() => SocketAddr::new(bind, port).to_string(),
            _ if self.is_local() => SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string(),
            // Published on all addresses, so use the one of the daemon.
            _ => format!("{}:{port}", name(self.split().1)),
        }
    }

    /// Refuses a daemon on another machine with ports on its loopback address: containers could be created but not reached.
    /// Opening the ports to the network is the user's decision, because a lab is insecure by design.
    pub(in crate::docker) fn check_reachable(&self) -> Result<(), EngineError> {
        if self.is_local() || self.is_open() {
            return Ok(());
        }
        let daemon = &self.daemon;
        let detail = format!(
            "the Docker daemon at {daemon} is on another machine, and the lab's ports would only be published on its loopback address"
        );
        Err(unreachable(detail).hint(
            "publish them on the network with lab up --bind 0.0.0.0 (or one address of that machine), run lab on that machine, or \
             use lab up --engine embedded without Docker",
        ))
    }

    fn split(&self) -> (&str, &str) {
        let (scheme, rest) = self.daemon.split_once("://").unwrap_or(("", &self.daemon));
        (scheme, rest.trim_end_matches('/'))
    }
}

/// `HOST` in `[USER@]HOST[:PORT][/SOCKET]`.
fn name(address: &str) -> &str {
    let authority = address.split('/').next().unwrap_or(address);
    let address = authority.rsplit('@').next().unwrap_or(authority);
    match address.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::Reach;

    fn reach(daemon: &str, bind: Option<&str>) -> Reach {
        Reach::new(daemon, bind.map(|bind| bind.parse().unwrap()))
    }

    #[test]
    fn a_daemon_is_local_if_its_ports_are() {
        for host in
            ["unix:///run/x.sock", "tcp://127.0.0.1:2375", "tcp://localhost:2375/", "http://[::1]:1", "tcp://127.1.2.3"]
        {
            assert!(reach(host, None).is_local(), "{host}");
        }
        for host in ["tcp://10.0.0.5:2375", "tcp://docker:2375", "ssh://localhost", "tcp://localhost.example:1", "x"] {
            assert!(!reach(host, None).is_local(), "{host}");
        }
    }

    #[test]
    fn ports_are_reachable_at_their_published_address() {
        let (here, there) = ("unix:///run/x.sock", "tcp://docker.example:2375");
        for (daemon, bind, address, is_open) in [
            (here, None, "127.0.0.1:80", false),
            (here, Some("0.0.0.0"), "127.0.0.1:80", true),
            (here, Some("10.0.0.5"), "10.0.0.5:80", true),
            (there, Some("0.0.0.0"), "docker.example:80", true),
            (there, Some("10.0.0.5"), "10.0.0.5:80", true),
            (there, Some("fd00::5"), "[fd00::5]:80", true),
            ("tcp://[fd00::5]:2375", Some("::"), "[fd00::5]:80", true),
            ("ssh://ann@docker.example:2222/run/x.sock", Some("0.0.0.0"), "docker.example:80", true),
        ] {
            let reach = reach(daemon, bind);
            assert_eq!((reach.address(80).as_str(), reach.is_open()), (address, is_open), "{daemon} {bind:?}");
            assert!(reach.check_reachable().is_ok(), "{daemon} {bind:?}");
        }
    }

    #[test]
    fn the_loopback_of_another_machine_is_refused() {
        for bind in [None, Some("127.0.0.1"), Some("::1")] {
            let error = reach("tcp://10.0.0.5:2375", bind).check_reachable().unwrap_err();
            assert!(error.detail.contains("on another machine"), "{error}");
            assert!(error.hint.unwrap().contains("--bind"));
        }
    }
}
