//! [`Reach`]: on which address of the daemon's machine a lab's ports are published, and under which they are reached from here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::connect::unreachable;
use lab_core::engine::EngineError;

/// Where ports are published, and reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::docker) struct Reach {
    /// As `DOCKER_HOST` has it.
    daemon: String,
    /// What was asked for.
    bind: Option<IpAddr>,
}

impl Reach {
    /// Of the daemon at `daemon`. `bind` is an address of its machine; none: the loopback.
    pub(super) fn new(daemon: &str, bind: Option<IpAddr>) -> Self {
        Self { daemon: daemon.to_owned(), bind }
    }

    /// The daemon is on this machine, so that its loopback is the one here.
    pub(in crate::docker) fn is_local(&self) -> bool {
        let (scheme, rest) = self.split();
        let name = name(rest);
        match scheme {
            "unix" => true,
            "tcp" | "http" => name == "localhost" || name == "[::1]" || name.starts_with("127."),
            _ => false,
        }
    }

    /// On which address of the daemon's machine ports are published.
    pub(in crate::docker) fn bind(&self) -> IpAddr {
        self.bind.unwrap_or(Ipv4Addr::LOCALHOST.into())
    }

    /// Whoever reaches the daemon's machine may reach its ports.
    pub(in crate::docker) fn is_open(&self) -> bool {
        !self.bind().is_loopback()
    }

    /// `HOST:PORT`, under which a published port is reached from here.
    pub(in crate::docker) fn address(&self, port: u16) -> String {
        match self.bind() {
            bind if !bind.is_unspecified() => SocketAddr::new(bind, port).to_string(),
            _ if self.is_local() => SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string(),
            // On all of its addresses: then on the one under which the daemon answers.
            _ => format!("{}:{port}", name(self.split().1)),
        }
    }

    /// Refuses a daemon on another machine where ports are published on its loopback: its containers could be made, and
    /// not be reached. To open them to everybody is for the user to say, since they are made to be broken.
    pub(in crate::docker) fn must_be_possible(&self) -> Result<(), EngineError> {
        if self.is_local() || self.is_open() {
            return Ok(());
        }
        let daemon = &self.daemon;
        let detail = format!(
            "the Docker daemon at {daemon} is on another machine, and a lab's ports are on that one's loopback"
        );
        Err(unreachable(detail).hint(
            "open them to all who reach that machine: lab up --bind 0.0.0.0, or one of its addresses; or run lab there (it is \
             one file); or without Docker: lab up --engine embedded",
        ))
    }

    fn split(&self) -> (&str, &str) {
        let (scheme, rest) = self.daemon.split_once("://").unwrap_or(("", &self.daemon));
        (scheme, rest.trim_end_matches('/'))
    }
}

/// `HOST` of `[USER@]HOST[:PORT][/SOCKET]`.
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
    fn a_daemon_is_here_where_its_ports_are() {
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
    fn ports_are_reached_where_they_are_published() {
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
            assert!(reach.must_be_possible().is_ok(), "{daemon} {bind:?}");
        }
    }

    #[test]
    fn the_loopback_of_another_machine_is_refused() {
        for bind in [None, Some("127.0.0.1"), Some("::1")] {
            let error = reach("tcp://10.0.0.5:2375", bind).must_be_possible().unwrap_err();
            assert!(error.detail.contains("on another machine"), "{error}");
            assert!(error.hint.unwrap().contains("--bind"));
        }
    }
}
