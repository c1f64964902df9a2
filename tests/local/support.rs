//! Shared code of the tests: services as real processes ([`Service`]), a client that sends exactly the given bytes ([`Client`]),
//! and scripted upstreams ([`upstream`]).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::command::{Bounded, default_signals};

/// Time limit of a wait. Much longer than any successful wait.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Command for the executable under test, with an empty environment.
pub(crate) fn lab() -> Command {
    default_signals();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.env_clear();
    command
}

/// A running service. Killed when dropped.
pub(crate) struct Service {
    child: Child,
    stdin: Option<ChildStdin>,
    log: Arc<Lines>,
    /// Address it listens on.
    pub(crate) address: SocketAddr,
    /// Address of its metrics page, if it names one.
    pub(crate) metrics: Option<SocketAddr>,
}

#[derive(Default)]
struct Lines {
    text: Mutex<(String, bool)>,
    more: Condvar,
}

impl Service {
    /// Starts `lab VERB --tied` and waits until it is ready.
    pub(crate) fn start(verb: &str, env: &[(&str, &str)]) -> Self {
        Self::spawn(lab().args([verb, "--tied"]).envs(env.iter().copied()))
    }

    /// Starts `command` and waits until it is ready.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("lab starts");
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(Bounded::new(child.stdout.take().expect("stdout is piped")));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("a line is read");
        let mut addresses = ready.strip_prefix("ready ").unwrap_or_default().trim_end().split(" metrics ");
        let address = addresses.next().and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("the first line is {ready:?}"));
        let metrics = addresses.next().map(|address| address.parse().expect("an address"));
        let log = Arc::new(Lines::default());
        let lines = Arc::clone(&log);
        // A service may be silent for as long as it likes.
        stdout.get_mut().limit = None;
        std::thread::spawn(move || {
            let mut line = String::new();
            while stdout.read_line(&mut line).is_ok_and(|read| read > 0) {
                lines.text.lock().expect("not poisoned").0.push_str(&std::mem::take(&mut line));
                lines.more.notify_all();
            }
            lines.text.lock().expect("not poisoned").1 = true;
            lines.more.notify_all();
        });
        Self { child, stdin, log, address, metrics }
    }

    /// The app with a database in `folder`. Waits until it is healthy.
    pub(crate) fn app(folder: &std::path::Path, instance: &str) -> Self {
        Self::app_with(folder, instance, &[])
    }

    /// The app with additional variables. Waits until it is healthy.
    pub(crate) fn app_with(folder: &std::path::Path, instance: &str, more: &[(&str, &str)]) -> Self {
        let database = format!("sqlite:{}", folder.join("users.db").display());
        let mut env = vec![
            ("APP_LISTEN", "127.0.0.1:0"),
            ("APP_API_KEY", "apikey-v1"),
            ("DATABASE_URL", &database),
            ("APP_INSTANCE", instance),
        ];
        env.extend(more);
        let app = Self::start("app", &env);
        until(|| get(app.address, "/health", &[]).status == 200);
        app
    }

    /// A gateway for `upstream`, with additional variables.
    pub(crate) fn gateway(upstream: SocketAddr, env: &[(&str, &str)]) -> Self {
        let mut all = vec![("GATEWAY_LISTEN", "127.0.0.1:0")];
        all.extend(env);
        let mut gateway = Self::start("gateway", &all);
        gateway.route(upstream);
        gateway
    }

    /// Routes `app:8000` to `upstream` and waits until the route is in effect.
    pub(crate) fn route(&mut self, upstream: SocketAddr) {
        self.send(&format!("route app:8000 {upstream}"));
        self.log_until(|log| log.contains(&format!("route app:8000 {upstream}")));
    }

    /// Sends a line to its standard input.
    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().expect("not closed"), "{line}").expect("the peer reads");
    }

    /// Ends its standard input.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it is running");
    }

    /// Waits until the process ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        end_of(&mut self.child)
    }

    /// Waits until the log is as expected, and returns it.
    pub(crate) fn log_until(&self, is_expected: impl Fn(&str) -> bool) -> String {
        let text = self.log.text.lock().expect("not poisoned");
        let result = self.log.more.wait_timeout_while(text, TIMEOUT, |(text, _)| !is_expected(text));
        let (text, timeout) = result.expect("not poisoned");
        assert!(!timeout.timed_out(), "not logged in time: {}", text.0);
        text.0.clone()
    }

    /// Waits until the process has closed its output, and returns the whole log.
    pub(crate) fn whole_log(&self) -> String {
        let text = self.log.text.lock().expect("not poisoned");
        let waited = self.log.more.wait_timeout_while(text, TIMEOUT, |(_, ended)| !*ended);
        waited.expect("not poisoned").0.0.clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a process ends.
pub(crate) fn end_of(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until(|| {
        status = child.try_wait().expect("it is a child process");
        status.is_some()
    });
    status.expect("just seen")
}

/// Polls until a condition is met.
#[track_caller]
pub(crate) fn until(mut is_met: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_met() {
        assert!(begun.elapsed() < TIMEOUT, "the condition was not met in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An HTTP response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
    /// The body is incomplete.
    pub(crate) broken: bool,
}

impl Response {
    /// Value of a header, if it is present.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An HTTP connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a listener");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("an option can be set");
        Self { stream: BufReader::new(stream) }
    }

    /// Sends bytes unchanged.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("the peer reads");
    }

    /// Sends a GET request.
    pub(crate) fn get(&mut self, path: &str, headers: &[(&str, &str)]) {
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: test\r\n");
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        self.send(head + "\r\n");
    }

    /// Reads a response. `None` if the connection was closed before it.
    pub(crate) fn response(&mut self) -> Option<Response> {
        let mut response = Response { head: self.head()?, ..Response::default() };
        response.status = response.head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        let length = response.header("content-length").map(|length| length.parse().expect("a length"));
        if response.header("transfer-encoding") == Some("chunked") {
            loop {
                match self.chunk() {
                    Some(chunk) if chunk.is_empty() => break,
                    Some(chunk) => response.body.extend(chunk),
                    None => {
                        response.broken = true;
                        break;
                    }
                }
            }
        } else if let Some(length) = length {
            response.body = vec![0; length];
            response.broken = self.stream.read_exact(&mut response.body).is_err();
        } else {
            response.broken = self.stream.read_to_end(&mut response.body).is_err();
        }
        Some(response)
    }

    /// Reads the head of a message. `None` if the connection was closed before it.
    pub(crate) fn head(&mut self) -> Option<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        Some(head)
    }

    /// Reads a number of bytes.
    pub(crate) fn bytes(&mut self, count: usize) {
        self.stream.read_exact(&mut vec![0; count]).expect("enough bytes arrive");
    }

    /// Reads a chunk of a body. `None` if it is incomplete.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        Some(chunk)
    }

    /// Returns true if the peer closed the connection and nothing is left to read.
    pub(crate) fn ended(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// Sends a GET request on a new connection.
pub(crate) fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut client = Client::connect(address);
    client.get(path, &[headers, &[("Connection", "close")]].concat());
    client.response().expect("a response")
}

/// Sends a request unchanged on a new connection.
pub(crate) fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Option<Response> {
    let mut client = Client::connect(address);
    client.send(request);
    client.response()
}

/// Starts a server that handles each connection with the given function, and returns its address. It ends with the test.
pub(crate) fn upstream(serve: impl Fn(Client) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            let _ = stream.set_read_timeout(Some(TIMEOUT));
            std::thread::spawn(move || serve(Client { stream: BufReader::new(stream) }));
        }
    });
    address
}

/// A complete 200 response.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An upstream whose responses contain the head of the request as their body.
pub(crate) fn mirror() -> SocketAddr {
    upstream(|mut client| {
        while let Some(head) = client.head() {
            client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len()));
        }
    })
}
