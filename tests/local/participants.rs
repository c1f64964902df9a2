//! An open [`Room`] and the [`Device`]s of its participants: scripts that send the forms of the pages.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::desk::{CommandOutput, Desk, kill};
use crate::support::{Client, Response, TIMEOUT, exchange, until};

/// An open room.
pub(crate) struct Room {
    pub(crate) desk: Desk,
    pub(crate) address: SocketAddr,
    /// Address of the trainer's page, with its token.
    pub(crate) trainer: String,
    pub(crate) codes: Vec<String>,
    name: String,
}

impl Room {
    /// Opens a room with the default name, unless it is among the further arguments.
    pub(crate) fn open(seats: &str, more: &[&str]) -> Self {
        let desk = Desk::new();
        Self::open_at(desk, seats, more)
    }

    /// Opens a room in an existing state folder.
    pub(crate) fn open_at(desk: Desk, seats: &str, more: &[&str]) -> Self {
        let up =
            desk.lab(&[&["room", "up", "--seats", seats, "--port", "0", "--json"], more].concat()).status(0).json();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let address = text(&up["address"]).trim_start_matches("http://").parse().expect("an address");
        let status = desk.lab(&["room", "status", "--codes", "--json"]).status(0).json();
        let codes = status["seats"].as_array().expect("a list").iter().map(|seat| text(&seat["code"])).collect();
        Self { address, trainer: text(&up["desk"]), codes, name: text(&up["room"]), desk }
    }

    pub(crate) fn status(&self) -> Value {
        self.desk.lab(&["room", "status", "--json"]).status(0).json()
    }

    pub(crate) fn seat(&self, seat: usize) -> Value {
        self.status()["seats"][seat - 1].take()
    }

    pub(crate) fn until_phase(&self, seat: usize, phase: &str) {
        until(|| self.seat(seat)["phase"] == phase);
    }

    pub(crate) fn join(&self, seat: usize) -> Device {
        let answer = post(self.address, "/join", "", &format!("code={}", self.codes[seat - 1]));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let cookie = answer.header("set-cookie").expect("a cookie").split(';').next().expect("a value").to_owned();
        Device { address: self.address, cookie }
    }

    /// The trainer's device: opens the address of the desk and keeps its cookie.
    pub(crate) fn open_desk(&self) -> Device {
        let nobody = Device { address: self.address, cookie: String::new() };
        let path = self.trainer.split_once(&self.address.to_string()).expect("an address of the room").1;
        let cookie = nobody.page(path).header("set-cookie").expect("a cookie").split(';').next().map(str::to_owned);
        Device { cookie: cookie.expect("a value"), ..nobody }
    }

    /// Process id of the server.
    pub(crate) fn server(&self) -> u32 {
        let lock = std::fs::read_to_string(self.folder().join("room.lock")).expect("a lock");
        lock.lines().next().and_then(|pid| pid.parse().ok()).expect("a process id")
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.desk.state().join("rooms").join(&self.name)
    }

    pub(crate) fn all_are(&self, phase: &str) -> bool {
        self.status()["seats"].as_array().expect("a list").iter().all(|seat| seat["phase"] == phase)
    }

    pub(crate) fn board(&self) -> String {
        let address = self.address;
        let head = format!("GET /board HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        exchange(address, head).expect("a response").text()
    }

    /// Columns of the export, a row per seat and drill.
    pub(crate) fn export<const N: usize>(&self, columns: [&str; N]) -> Vec<[String; N]> {
        let csv = self.desk.lab(&["room", "export"]).status(0).stdout;
        let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let heads = lines.next().expect("heads");
        let at = columns.map(|name| heads.iter().position(|head| *head == name).expect(name));
        lines.map(|row| at.map(|index| row[index].to_owned())).collect()
    }

    pub(crate) fn kill_server(&self) {
        let server = self.server();
        kill(server, Signal::KILL);
        until(|| self.status()["serving"] == false);
    }

    pub(crate) fn lab(&self, seat: usize, args: &[&str]) -> CommandOutput {
        self.desk.lab(&[args, &["--name", &format!("{}-{seat:02}", self.name)]].concat())
    }
}

/// A participant's device.
pub(crate) struct Device {
    address: SocketAddr,
    cookie: String,
}

impl Device {
    pub(crate) fn page(&self, path: &str) -> Response {
        let (address, cookie) = (self.address, &self.cookie);
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
        exchange(address, head).expect("a response")
    }

    pub(crate) fn events(&self) -> Events {
        Events::open(self.address, "/seat/events", &self.cookie)
    }

    pub(crate) fn act(&self, action: &str, fields: &str) -> Response {
        post(self.address, &format!("/seat/{action}"), &self.cookie, fields)
    }

    /// Runs a line of the console and waits until its output is on the page.
    pub(crate) fn console(&self, line: &str, output: &str) {
        let answer = self.act("console", &format!("line={}", line.replace(' ', "+")));
        assert_eq!(answer.status, 200, "{line}: {}", answer.text());
        until(|| {
            let page = self.page("/seat").text();
            page.contains(output) && !page.contains("class=\"busy\"")
        });
    }
}

/// Server-sent events of a page.
pub(crate) struct Events {
    client: Client,
    text: String,
}

impl Events {
    /// Opens the events of a page, as a browser does. Without a cookie, only those of the board are allowed.
    pub(crate) fn open(address: SocketAddr, path: &str, cookie: &str) -> Self {
        let mut client = Client::connect(address);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\n\r\n"));
        let head = client.head().expect("a response");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        Self { client, text: String::new() }
    }

    /// Reads until an event contains a text. Returns what came before it since the last call.
    pub(crate) fn until(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < TIMEOUT, "no event with {text:?}: {}", self.text);
            if let Some(at) = self.text.find(text) {
                let rest = self.text.split_off(at + text.len());
                return std::mem::replace(&mut self.text, rest);
            }
            let chunk = self.client.chunk().unwrap_or_else(|| panic!("no event with {text:?}: {}", self.text));
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

/// Sends a form as the script of a page does.
fn post(address: SocketAddr, path: &str, cookie: &str, fields: &str) -> Response {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nCookie: {cookie}\r\nAccept: application/json\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{fields}",
        fields.len()
    );
    exchange(address, head).expect("a response")
}
