//! Corrupted state folders: no command panics, hangs, or touches files outside the folder. A short form of `bench/corrupt.sh`.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::command::output;
use crate::desk::{CommandOutput, Desk, host, kill};
use crate::support::until;

/// Time limit of a command on a corrupted state. Generous, because the machine may be loaded.
const LIMIT: Duration = Duration::from_mins(1);

/// A way to corrupt the file at `path`. `outside` is a folder that contains a file `target`.
type Corruption = (&'static str, fn(path: &Path, outside: &Path));

const CORRUPTIONS: [Corruption; 12] = [
    ("half", |path, _| {
        let text = std::fs::read(path).unwrap_or_default();
        put(path, &text[..text.len() / 2]);
    }),
    ("empty", |path, _| put(path, b"")),
    ("garbage", |path, _| put(path, b"\xff\x00garbage\n{\n")),
    ("wrong types", |path, _| put(path, b"{\"version\":\"one\",\"pid\":-1,\"port\":[],\"event\":7}\n")),
    ("huge", |path, _| {
        remove(path);
        std::fs::File::create(path).and_then(|file| file.set_len(8 << 30)).expect("a sparse file");
    }),
    ("pipe", |path, _| {
        remove(path);
        assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo is installed").success());
    }),
    ("folder", |path, _| {
        remove(path);
        std::fs::create_dir_all(path.join("inner")).expect("a writable path");
    }),
    ("link", |path, outside| {
        remove(path);
        symlink(outside.join("target"), path).expect("a writable path");
    }),
    ("dangling link", |path, outside| {
        remove(path);
        symlink(outside.join("new"), path).expect("a writable path");
    }),
    ("hard link", |path, outside| {
        remove(path);
        std::fs::hard_link(outside.join("target"), path).expect("a writable path");
    }),
    ("writable by all", |path, _| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).expect("a writable path");
    }),
    ("of another user", |path, _| {
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(path, Some(65534), None).expect("root can change owners");
        }
    }),
];

/// Commands that read or write the state in different ways.
const VERBS: [&[&str]; 10] = [
    &["status"],
    &["status", "--all"],
    &["key", "align"],
    &["logs"],
    &["runs", "list"],
    &["scenario", "run", "baseline", "--set", "requests=1"],
    &["recover"],
    &["traffic", "--requests", "1"],
    &["up", "--port", "0"],
    &["doctor"],
];

fn put(path: &Path, bytes: &[u8]) {
    remove(path);
    std::fs::write(path, bytes).expect("a writable path");
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.expect("it exists");
}

/// State folder with all kinds of files: a lab with a kept fault whose host was killed, and a recorded run.
fn template() -> (Desk, Vec<PathBuf>) {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&["scenario", "run", "rotate-key", "--set", "requests=2", "--set", "rate=200", "--keep"]);
    kill(host(&desk.status()), Signal::KILL);
    until(|| desk.processes().is_empty());
    let mut files = Vec::new();
    let mut folders = vec![desk.state()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a writable path").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(desk.state()).expect("inside").to_owned());
            }
        }
    }
    files.sort();
    (desk, files)
}

/// Contents and permissions of the files in a folder.
fn files_in(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let entries = std::fs::read_dir(folder).expect("a writable path").flatten().map(|entry| entry.path());
    let facts = |path: &PathBuf| {
        let mode = std::fs::metadata(path).map(|found| found.permissions().mode()).unwrap_or_default();
        (std::fs::read(path).unwrap_or_default(), mode)
    };
    entries.map(|path| (path.clone(), facts(&path))).collect()
}

fn run_within_limit(desk: &Desk, args: &[&str]) -> CommandOutput {
    let begun = Instant::now();
    let mut command = desk.command(args);
    let result = CommandOutput::new(args.join(" "), &output(command.stdin(Stdio::null())));
    assert!(begun.elapsed() < LIMIT, "the command took {:?}: {result:?}", begun.elapsed());
    assert!(matches!(result.code(), Some(0..=4)), "{result:?}");
    assert!(!result.stderr.contains("panicked"), "{result:?}");
    result
}

#[test]
fn a_corrupted_state_file_causes_no_panic_no_hang_and_no_change_outside() {
    let (whole, files) = template();
    let named = |name: &str| files.iter().any(|file| file.ends_with(name));
    for name in
        ["lab.json", "host.json", "host.lock", "run.lock", "services.json", "undo.ndjson", "events.ndjson", "users.db"]
    {
        assert!(named(name), "{name} is not in {files:?}");
    }
    let mut turn = 0;
    for file in &files {
        for (kind, corrupt) in CORRUPTIONS {
            let desk = Desk::new();
            let beside = desk.path().join("outside");
            std::fs::create_dir(&beside).expect("a writable path");
            std::fs::write(beside.join("target"), "not lab's").expect("a writable path");
            std::fs::set_permissions(beside.join("target"), std::fs::Permissions::from_mode(0o644))
                .expect("a writable path");
            let copied = Command::new("cp").arg("-a").arg(whole.state()).arg(desk.state()).status();
            assert!(copied.expect("cp is installed").success());
            corrupt(&desk.state().join(file), &beside);
            let before = files_in(&beside);
            // The commands take turns over files and corruptions.
            let verb = VERBS[turn % VERBS.len()];
            turn += 1;
            println!("{} {kind}: {}", file.display(), verb.join(" "));
            run_within_limit(&desk, verb);
            run_within_limit(&desk, &["down"]);
            assert_eq!(files_in(&beside), before, "{} {kind}: {verb:?}", file.display());
        }
    }
    assert!(turn >= 100, "{turn} corruptions only: {files:?}");
}

#[test]
fn a_state_folder_that_others_can_change_is_refused() {
    let desk = Desk::new();
    desk.lab(&["status", "--all"]).status(0);
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a writable path");
    };
    for folder in [desk.state(), desk.state().join("labs"), desk.state().join("runs")] {
        mode(&folder, 0o777);
        desk.lab(&["up", "--port", "0"]).status(3).complains("other users can write to it").complains("chmod go-w");
        mode(&folder, 0o700);
    }
    // A symbolic link to the state folder is the user's choice; a link inside it is refused.
    symlink(desk.state(), desk.path().join("link")).expect("a writable path");
    let mut through = desk.command(&["status", "--all"]);
    Desk::run(&["status"], {
        through.env("LAB_STATE_DIR", desk.path().join("link"));
        through
    })
    .status(0);
    let elsewhere = desk.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a writable path");
    symlink(&elsewhere, desk.state().join("labs/room-1")).expect("a writable path");
    for args in [&["up", "--name", "room-1"][..], &["down", "--name", "room-1"], &["status", "--all"]] {
        desk.lab(args).status(3).complains("symbolic link");
    }
    assert_eq!(std::fs::read_dir(&elsewhere).expect("a writable path").count(), 0);
    std::fs::remove_file(desk.state().join("labs/room-1")).expect("a writable path");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(desk.state(), Some(65534), None).expect("root can change owners");
        desk.lab(&["status"]).status(3).complains("it belongs to user 65534").complains("LAB_STATE_DIR");
        std::os::unix::fs::chown(desk.state(), Some(0), None).expect("root can change owners");
    }
}

/// Temporary files can contain keys. The next command that changes the lab removes those of killed commands.
#[test]
fn temporary_files_of_killed_commands_are_removed() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let labs = desk.state().join("labs");
    let create = || {
        std::fs::write(labs.join("default/.lab-draft-x"), "{\"caller_key\":\"secret\"}").expect("a writable path");
        std::fs::create_dir_all(labs.join(".gone-room-1-77/logs")).expect("a writable path");
        std::fs::create_dir_all(desk.state().join(".lab-draft-run")).expect("a writable path");
    };
    let left = || {
        let names = ["labs/default/.lab-draft-x", "labs/.gone-room-1-77", ".lab-draft-run"];
        names.into_iter().filter(|name| desk.state().join(name).exists()).collect::<Vec<_>>()
    };
    create();
    desk.lab(&["key", "rotate", "apikey-v2"]).status(0);
    assert_eq!(left(), [".lab-draft-run"]);
    desk.lab(&["recover"]).status(0);
    assert_eq!(left(), [] as [&str; 0]);
    create();
    desk.lab(&["down"]).status(0);
    assert_eq!(left(), [] as [&str; 0]);
    desk.assert_clean();
}

#[test]
fn a_low_limit_of_open_files_is_an_error_with_a_hint() {
    let desk = Desk::new();
    let verbs: [&[&str]; 8] = [
        &["status"],
        &["up", "--port", "0"],
        &["down"],
        &["runs", "list"],
        &["scenario", "list"],
        &["scenario", "run", "baseline", "--set", "requests=1"],
        &["traffic", "--url", "http://127.0.0.1:1/", "--requests", "1"],
        &["doctor"],
    ];
    for limit in [4, 6, 8, 12, 16, 20, 24, 28, 32, 40] {
        for args in verbs {
            let mut command = Command::new("sh");
            let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
            let inner = desk.command(args);
            command.arg("-c").arg(script).arg(inner.get_program()).args(inner.get_args());
            command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let result =
                CommandOutput::new(format!("{limit}: {}", args.join(" ")), &output(command.stdin(Stdio::null())));
            assert!(!result.stderr.contains("panicked"), "{result:?}");
            assert!(matches!(result.code(), Some(0..=4)), "{result:?}");
            if limit < 20 {
                result.status(3).complains("ulimit -n");
            }
        }
    }
}

/// A file over the size limit is an error of the command. By default, the kernel kills the process with SIGXFSZ.
#[test]
fn a_low_limit_of_file_sizes_is_an_error_of_the_command() {
    let desk = Desk::new();
    for args in [&["up", "--port", "0"][..], &["scenario", "run", "baseline", "--set", "requests=1"], &["down"]] {
        let inner = desk.command(args);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -f 0; exec \"$0\" \"$@\""]).arg(inner.get_program()).args(inner.get_args());
        command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let result = CommandOutput::new(args.join(" "), &output(command.stdin(Stdio::null())));
        assert!(matches!(result.code(), Some(0 | 3)), "{result:?}");
    }
    desk.lab(&["down"]).status(0);
    desk.assert_clean();
}

#[test]
fn an_invalid_database_file_is_reported_at_once() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    kill(host(&desk.status()), Signal::KILL);
    until(|| desk.processes().is_empty());
    let database = desk.state().join("labs/default/users.db");
    std::fs::write(&database, "this is a text, and no database at all. ".repeat(200)).expect("a writable path");
    desk.lab(&["up"]).status(3).complains("the database cannot be used").complains("file is not a database");
    put(&database, b"");
    desk.lab(&["up"]).status(0);
}

/// Reading from a pipe without a writer would block.
#[test]
fn a_pipe_as_input_is_refused_at_once() {
    let desk = Desk::new();
    let pipe = desk.path().join("pipe.yaml").display().to_string();
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is installed").success());
    let url = "http://127.0.0.1:1/";
    let body = format!("@{pipe}");
    for args in [
        &["scenario", "run", &pipe][..],
        &["scenario", "validate", &pipe],
        &["scenario", "show", &pipe, "--source"],
        &["traffic", "compare", &pipe, &pipe],
        &["traffic", "--url", url, "--targets", &pipe],
        &["traffic", "--url", url, "--requests", "1", "--body", &body],
        &["runs", "import", &pipe],
    ] {
        let result = run_within_limit(&desk, args).status(2);
        assert!(format!("{}{}", result.stdout, result.stderr).contains("it is a pipe; expected a file"), "{result:?}");
    }
    let args = ["traffic", "--url", url, "--requests", "1", "--csv", &pipe];
    run_within_limit(&desk, &args).status(2).complains("no process reads from this pipe");
    let report = desk.path().join("report.md");
    symlink("/dev/null", &report).expect("a writable path");
    let report = report.display().to_string();
    let args = ["scenario", "run", "baseline", "--set", "requests=1", "--report", &report];
    run_within_limit(&desk, &args).status(3).complains("it is a device; expected a file");
}
