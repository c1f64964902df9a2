//! Ctrl-C at each stage of starting a lab leaves nothing.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::cli::Cli;
use crate::support::{TIMEOUT, architecture, docker, leftovers, other_architecture, write_small_stack};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        ctrl_c_during_a_start_leaves_nothing,
        ctrl_c_while_a_run_starts_its_lab_leaves_nothing,
        ctrl_c_during_a_build_leaves_nothing,
        ctrl_c_during_a_key_rotation_completes_it,
    ]
}

/// The app cannot reach its database, so that the lab is never up before the signal.
async fn ctrl_c_during_a_start_leaves_nothing() {
    let user = Cli::new("start");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    let file = folder.join("compose.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let lost = text.replace("@db:5432", "@nobody:5432");
    assert_ne!(lost, text);
    std::fs::write(&file, lost).unwrap();
    for (service, running) in [("app", false), ("db", true), ("gateway", true), ("app", true)] {
        let mut up = user.start(&["up", "--stack", &folder.display().to_string()]);
        up.until_container(&user, service, running);
        up.signal(Signal::INT);
        up.wait().status(130);
        user.assert_clean();
    }
}

async fn ctrl_c_while_a_run_starts_its_lab_leaves_nothing() {
    for (service, running) in [("db", false), ("app", true)] {
        let user = Cli::new("run").nameless();
        let run = user.start(&["scenario", "run", "rotate-key", "--engine", "docker"]);
        let begun = Instant::now();
        while user.labs().is_empty() {
            assert!(begun.elapsed() < TIMEOUT, "the run starts no lab");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let lab = user.labs().remove(0);
        user.until_container(&lab, service, running);
        run.signal(Signal::INT);
        run.wait().status(130);
        user.assert_clean();
        assert_eq!(leftovers(None, &lab), "", "the daemon has objects of {lab}");
    }
}

/// The daemon continues a build only as long as the client is connected.
async fn ctrl_c_during_a_build_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon_of_another_architecture(folder.path());
    let user = Cli::at("build", &daemon);
    let nap = format!("sleep 300.{}", std::process::id());
    std::fs::write(user.path().join("Cargo.toml"), "name = \"lab\"\n").unwrap();
    std::fs::write(user.path().join("Dockerfile"), format!("FROM nginx:1.30\nRUN {nap}\n")).unwrap();
    let is_building = || docker(&["ps", "--all", "--no-trunc", "--format", "{{.Command}}"]).contains(&nap);
    let mut up = user.start(&["up"]);
    up.until("app: building its image");
    let until = |expected: bool| {
        let begun = Instant::now();
        while is_building() != expected {
            assert!(begun.elapsed() < TIMEOUT, "the container of the build exists: {}", !expected);
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until(true);
    up.signal(Signal::INT);
    up.wait().status(130);
    until(false);
    user.assert_clean();
}

/// Starts a proxy to the daemon with a socket in `folder`, and returns its address. Through it, the daemon has another architecture
/// than this machine, so that no executable of this machine can become the app's image.
fn daemon_of_another_architecture(folder: &Path) -> String {
    let socket = folder.join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let own = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let own = own.strip_prefix("unix://").expect("a local daemon").to_owned();
    let [own_arch, other_arch] =
        [architecture(), other_architecture()].map(|word| format!("\"Arch\":\"{word}\"").into_bytes());
    assert_eq!(own_arch.len(), other_arch.len(), "a replacement must not change the length of a response");
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(daemon) = UnixStream::connect(&own) else { return };
            let (from, to) = (client.try_clone().unwrap(), daemon.try_clone().unwrap());
            std::thread::spawn(move || copy(from, to, |_| {}));
            let (own_arch, other_arch) = (own_arch.clone(), other_arch.clone());
            std::thread::spawn(move || copy(daemon, client, |bytes| replace(bytes, &own_arch, &other_arch)));
        }
    });
    format!("unix://{}", socket.display())
}

fn replace(bytes: &mut [u8], word: &[u8], other: &[u8]) {
    for start in 0..bytes.len().saturating_sub(word.len() - 1) {
        let window = &mut bytes[start..start + word.len()];
        if window == word {
            window.copy_from_slice(other);
        }
    }
}

/// Copies bytes until one end is closed, then closes the other end.
fn copy(mut from: UnixStream, mut to: UnixStream, change: impl Fn(&mut [u8])) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        change(&mut bytes[..read]);
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _closed = (to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read));
}

/// The signal arrives while the new instance starts next to the old one.
async fn ctrl_c_during_a_key_rotation_completes_it() {
    let user = Cli::new("rotation");
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    user.lab(&["up", "--stack", &folder.display().to_string()]).status(0);
    let apps = || docker(&["ps", "-a", "--filter", &format!("name=^lab-{}-app-", user.name), "--format", "{{.Names}}"]);
    let rotate = user.start(&["key", "rotate", "apikey-v2"]);
    let begun = Instant::now();
    while !apps().contains("-app-next-") {
        assert!(begun.elapsed() < TIMEOUT, "no second instance");
    }
    rotate.signal(Signal::INT);
    rotate.wait().status(130).says("completing the change first").says("server apikey-v1 > apikey-v2");
    let begun = Instant::now();
    while apps().trim() != format!("lab-{}-app-1", user.name) {
        assert!(begun.elapsed() < TIMEOUT, "{}", apps());
    }
    user.lab(&["key", "show"]).status(0).says("server  apikey-v2");
    user.finish();
}
