use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;

/// A folder with the permissions of a state folder.
fn folder() -> tempfile::TempDir {
    let mode = fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(mode).tempdir().unwrap()
}

fn pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

type Operation = fn(&Path) -> io::Result<()>;

/// All operations on a state file.
fn uses() -> [(&'static str, Operation); 4] {
    [
        ("open", |path| open_state(path, 100).map(drop)),
        ("read", |path| read_state(path, 100).map(drop)),
        ("append", |path| append(path).map(drop)),
        ("lock", |path| open_lock(path).map(drop)),
    ]
}

fn reason(result: io::Result<()>) -> String {
    let error = result.expect_err("it is refused");
    assert!(Unusable::in_error(&error).is_some_and(|reason| !reason.hint().is_empty()), "{error}");
    error.to_string()
}

#[test]
fn special_files_are_refused_without_blocking() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("elsewhere"), "x").unwrap();
    pipe(&path("pipe"));
    fs::create_dir(path("folder")).unwrap();
    symlink("elsewhere", path("link")).unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    let begun = Instant::now();
    for (name, what) in [
        ("pipe", "a pipe"),
        ("folder", "a folder"),
        ("link", "a symbolic link"),
        ("dangling", "a symbolic link"),
        ("socket", "a socket"),
    ] {
        for (how, open) in uses() {
            assert_eq!(reason(open(&path(name))), format!("it is {what}; expected a file"), "{how} {name}");
        }
    }
    assert!(!path("nowhere").exists());
    assert_eq!(reason(read_input(Path::new("/dev/zero"), 10).map(drop)), "it is a device; expected a file");
    assert_eq!(reason(read_input(&path("pipe"), 10).map(drop)), "it is a pipe; expected a file");
    // A file given by the user may be a link.
    assert_eq!(read_input(&path("link"), 10).unwrap(), b"x");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// `SQLite` opens such files, and loses its locks when any descriptor of the file is closed.
#[test]
fn a_state_file_is_checked_without_opening_it() {
    let folder = folder();
    let path = folder.path().join("users.db");
    check_state(&path).unwrap();
    fs::write(&path, "").unwrap();
    check_state(&path).unwrap();
    fs::hard_link(&path, folder.path().join("second")).unwrap();
    assert_eq!(reason(check_state(&path)), "it has 2 names (hard links); expected one");
    fs::remove_file(&path).unwrap();
    symlink("second", &path).unwrap();
    assert_eq!(reason(check_state(&path)), "it is a symbolic link; expected a file");
}

#[test]
fn a_state_file_must_be_small_and_writable_by_its_user_only() {
    let folder = folder();
    let path = folder.path().join("lab.json");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(reason(open_state(&path, 100).map(drop)), "it has 1099511627776 bytes; expected at most 100");
    assert_eq!(reason(read_input(&path, 100).map(drop)), "it has 1099511627776 bytes; expected at most 100");
    fs::write(&path, "{}").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o602)).unwrap();
    for (how, open) in uses() {
        assert_eq!(reason(open(&path)), "other users can write to it (mode 0602)", "{how}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(&path, folder.path().join("second")).unwrap();
    assert_eq!(read_state(&path, 100).unwrap(), b"{}");
    for (how, open) in &uses()[2..] {
        assert_eq!(reason(open(&path)), "it has 2 names (hard links); expected one", "{how}");
    }
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        for (how, open) in uses() {
            assert_eq!(reason(open(&path)), "it belongs to user 65534; expected user 0", "{how}");
        }
    }
}

#[test]
fn files_in_a_folder_that_others_can_change_are_refused() {
    let outer = folder();
    let real = outer.path().join("real");
    make_folder(&real).unwrap();
    fs::write(real.join("lab.json"), "{}").unwrap();
    symlink("real", outer.path().join("link")).unwrap();
    let through = outer.path().join("link/lab.json");
    for (how, open) in uses() {
        assert_eq!(
            reason(open(&through)),
            "its folder cannot be used: it is a symbolic link; expected a folder",
            "{how}"
        );
    }
    reason(write_atomic(&through, b"x"));
    reason(make_folder(&outer.path().join("link")));
    fs::set_permissions(&real, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(reason(make_folder(&real)), "other users can write to it (mode 0777)");
    reason(write_atomic(&real.join("lab.json"), b"x"));
    assert_eq!(fs::read(real.join("lab.json")).unwrap(), b"{}");
}

#[test]
fn an_output_replaces_only_regular_files() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("real"), "old").unwrap();
    symlink("real", path("link")).unwrap();
    pipe(&path("pipe"));
    write_output(&path("link"), b"new", 0o600).unwrap();
    assert_eq!(fs::read(path("real")).unwrap(), b"new");
    assert!(path("link").is_symlink());
    assert_eq!(reason(write_output(&path("pipe"), b"x", 0o600)), "it is a pipe; expected a file");
    assert_eq!(reason(write_output(Path::new("/dev/null"), b"x", 0o600)), "it is a device; expected a file");
    let error = create_stream(&path("pipe")).err().expect("it has no reader");
    assert_eq!(error.to_string(), "no process reads from this pipe");
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into()).collect();
    names.sort();
    names
}

#[test]
fn only_drafts_of_killed_processes_are_removed() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let left = |name: &str, age: u64| {
        let mut file = fs::File::create(path(name)).unwrap();
        file.write_all(b"a key").unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
    };
    left(".lab-draft-killed", 0);
    left(".writing-old", 3600);
    left(".writing-now", 0);
    left("lab.json", 3600);
    symlink("/nowhere", path(".lab-draft-link")).unwrap();
    fs::create_dir_all(path(".lab-draft-folder/inner")).unwrap();
    let mut held = Output::create(&path("report.md"), 0o600).unwrap();
    let (making, _lock) = draft_folder(folder.path()).unwrap();
    collect(folder.path());
    let kept = [".writing-now", "lab.json", ".lab-draft-link"].map(PathBuf::from);
    let found = names(folder.path());
    assert!(kept.iter().all(|name| found.contains(name)), "{found:?}");
    assert!(making.path().is_dir());
    assert_eq!(found.len(), kept.len() + 2, "{found:?}");
    assert_eq!(fs::metadata(making.path()).unwrap().permissions().mode() & 0o777, 0o700);
    held.file().write_all(b"whole").unwrap();
    held.commit().unwrap();
    assert_eq!(fs::read(path("report.md")).unwrap(), b"whole");
}
