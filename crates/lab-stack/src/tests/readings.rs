//! What a stack is read from beside its own file: the host's variables, `.env`, other folders; and what differs between two
//! readings.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::SHORT;
use crate::{HealthSetting, Reading, Source, Stack};

/// A folder `top/stack` with the least that a stack is, and `top/beside` and `secret` next to those.
struct Made {
    _temporary: tempfile::TempDir,
    top: PathBuf,
}

impl Made {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let top = std::fs::canonicalize(temporary.path()).unwrap().join("top");
        let made = Self { _temporary: temporary, top };
        for folder in ["stack/conf", "beside", "../secret"] {
            std::fs::create_dir_all(made.top.join(folder)).unwrap();
        }
        made.write("stack/conf/app.conf", "a");
        made.write("stack/compose.yaml", SHORT);
        made.write("../secret/key", "x");
        made
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.top.join(name), text).unwrap();
    }

    /// The file of the stack, with a part of it replaced.
    fn change(&self, from: &str, to: &str) {
        assert!(SHORT.contains(from), "{from}");
        self.write("stack/compose.yaml", &SHORT.replace(from, to));
    }

    fn read_with(&self, host: &[(&str, OsString)], allowed: &[PathBuf]) -> Result<Reading, String> {
        let own = BTreeMap::from([("PASSWORD".to_owned(), "own".to_owned())]);
        let host = host.iter().map(|(name, value)| (OsString::from(name), value.clone())).collect();
        let folder = self.top.join("stack");
        Source { folder: &folder, own: &own, host, allowed }.read().map_err(|errors| errors.to_string())
    }

    fn read(&self) -> Result<Reading, String> {
        self.read_with(&[("KEY", "k1".into()), ("UNUSED", "u".into())], &[])
    }
}

fn environment(reading: &Reading) -> &BTreeMap<String, String> {
    &reading.stack.service("api").unwrap().environment
}

#[test]
fn variables_of_the_host_are_announced_if_the_file_names_them() {
    let made = Made::new();
    let reading = made.read().unwrap();
    assert_eq!(reading.from_host, ["KEY"]);
    assert_eq!(reading.announcements(), ["the stack gets from your environment: KEY"]);
    made.change("${KEY}", "k0");
    assert_eq!(made.read().unwrap().from_host, ["KEY"], "its name alone asks for it, too");
    let not_utf8 = OsString::from_vec(vec![0xff]);
    assert!(made.read_with(&[("KEY", "k".into()), ("UNUSED", not_utf8.clone())], &[]).is_ok());
    let error = made.read_with(&[("KEY", not_utf8)], &[]).unwrap_err();
    assert!(
        error.contains("the value of the variable `KEY` is not UTF-8") && error.contains("compose.yaml:11:"),
        "{error}"
    );
}

#[test]
fn the_env_file_comes_after_the_hosts_variables() {
    let made = Made::new();
    made.change("NOT_SET]", "NOT_SET, \"PW=${PASSWORD}\"]");
    made.write("stack/.env", "KEY=file\nNOT_SET='a b'\nPASSWORD=file\nCOMPOSE_PROFILES=x\n");
    let reading = made.read_with(&[], &[]).unwrap();
    let expected = [("API_KEY", "file"), ("KEY", "file"), ("NOT_SET", "a b"), ("PW", "own")];
    assert_eq!(*environment(&reading), super::env(&expected));
    assert_eq!(
        reading.announcements(),
        [
            "COMPOSE_PROFILES in .env is for Compose, and means nothing to lab",
            "PASSWORD is set, but lab makes one for each lab",
        ]
    );
    assert_eq!(environment(&made.read().unwrap())["KEY"], "k1", "the host's");
    made.write("stack/.env", "KEY\n: x\n");
    let error = made.read().unwrap_err();
    assert!(error.contains("`: x` is no variable") && error.contains(".env:2:"), "{error}");
}

#[test]
fn files_that_compose_would_merge_are_refused_and_others_named() {
    let made = Made::new();
    for name in ["compose.override.yaml", "docker-compose.override.yml"] {
        made.write(&format!("stack/{name}"), "services: {}\n");
        let error = made.read().unwrap_err();
        assert!(error.contains(name) && error.contains("a stack is one file"), "{error}");
        std::fs::remove_file(made.top.join("stack").join(name)).unwrap();
    }
    made.write("stack/docker-compose.yml", "services: {}\n");
    assert_eq!(made.read().unwrap().remarks, ["docker-compose.yml is not read: another compose file is beside it"]);
}

#[test]
fn a_file_cannot_give_itself_a_folder_elsewhere() {
    let made = Made::new();
    let secret = made.top.join("../secret");
    let real = std::fs::canonicalize(&secret).unwrap();
    symlink("../../secret", made.top.join("beside/link")).unwrap();
    for path in ["../../secret", "../beside/link", &real.display().to_string()] {
        made.write(
            "stack/compose.yaml",
            &SHORT.replace("./conf:", &format!("{path}:")).replace("x-lab:", &format!("x-lab:\n  folders: [{path}]")),
        );
        let error = made.read().unwrap_err();
        let flag = format!("--allow-folder {}", real.display());
        assert!(error.contains("the stack may not read") && error.contains(&flag), "{path}: {error}");
        for allowed in [&secret, &real, &made.top.join("..")] {
            let host = [("KEY", "k".into())];
            let reading = made.read_with(&host, std::slice::from_ref(allowed)).unwrap_or_else(|it| panic!("{it}"));
            assert_eq!(reading.outside, [real.clone()]);
            assert!(
                reading.announcements().contains(&format!("the stack reads outside its folder: {}", real.display()))
            );
        }
    }
    // What the user allows need not be named in the file as well.
    made.change("./conf:", &format!("{}:", real.display()));
    assert!(made.read().unwrap_err().contains("is outside the stack's folder"));
    assert!(made.read_with(&[("KEY", "k".into())], &[secret]).is_ok());
}

#[test]
fn what_is_read_outside_is_listed() {
    let made = Made::new();
    made.write(
        "stack/compose.yaml",
        &SHORT.replace("./conf:", "../beside:").replace("x-lab:", "x-lab:\n  folders: [../beside]"),
    );
    made.write("beside/a", "");
    assert_eq!(made.read().unwrap().outside, [made.top.join("beside")]);
    made.write("stack/compose.yaml", &SHORT.replace("x-lab:", "x-lab:\n  folders: [../beside]"));
    symlink("../../beside/a", made.top.join("stack/conf/link")).unwrap();
    assert_eq!(made.read().unwrap().outside, [made.top.join("beside/a")]);
}

#[test]
fn a_file_of_the_stack_may_not_be_a_link_to_elsewhere() {
    for name in ["compose.yaml", ".env"] {
        let made = Made::new();
        let link = made.top.join("stack").join(name);
        let target = made.top.join("beside/other");
        std::fs::write(&target, if name == ".env" { "KEY=k" } else { SHORT }).unwrap();
        let _ = std::fs::remove_file(&link);
        symlink(&target, &link).unwrap();
        let error = made.read().unwrap_err();
        assert!(error.contains("is a link to") && error.contains("--allow-folder"), "{error}");
        let reading = made.read_with(&[("KEY", "k".into())], &[made.top.join("beside")]).unwrap();
        assert_eq!(reading.outside, [target]);
    }
}

#[test]
fn a_dangling_link_is_named_and_not_the_folder() {
    let made = Made::new();
    symlink("gone", made.top.join("stack/conf/here")).unwrap();
    let error = made.read().unwrap_err();
    assert!(error.contains("`here` is a link to `gone`, which is not there"), "{error}");
    assert!(!error.contains("no such folder"), "{error}");
    std::fs::remove_file(made.top.join("stack/compose.yaml")).unwrap();
    symlink("gone.yaml", made.top.join("stack/compose.yaml")).unwrap();
    let error = made.read().unwrap_err();
    assert!(error.contains("compose.yaml: it is a link to gone.yaml, which does not exist"), "{error}");
}

#[test]
fn health_is_inherited_or_off_or_the_files_own() {
    let setting = |check: &str| {
        let made = Made::new();
        made.change("    healthcheck: { test: curl -f localhost, interval: 1m30s }\n", check);
        made.read().unwrap_or_else(|it| panic!("{it}")).stack.service("api").unwrap().health.clone()
    };
    assert_eq!(setting(""), HealthSetting::Inherited);
    for off in ["{ disable: true }", "{ test: [NONE] }", "{ test: [CMD, a], disable: true }"] {
        assert_eq!(setting(&format!("    healthcheck: {off}\n")), HealthSetting::Off, "{off}");
    }
    assert!(matches!(setting("    healthcheck: { test: [CMD, a], disable: false }\n"), HealthSetting::Own(_)));
}

#[test]
fn a_stack_survives_being_remembered() {
    let made = Made::new();
    std::fs::write(made.top.join("stack/conf/binary"), [0, 1, 0xff]).unwrap();
    made.write("stack/conf/text", "tab\tand é\r\n");
    symlink("text", made.top.join("stack/conf/link")).unwrap();
    let stack = made.read().unwrap().stack;
    let text = serde_json::to_string(&stack).unwrap();
    assert_eq!(serde_json::from_str::<Stack>(&text).unwrap(), stack);
    assert!(text.contains(r#"{"text":"tab\tand é\r\n"}"#) && text.contains(r#"{"base64":"AAH/"}"#), "{text}");
}

#[test]
fn what_differs_is_named_without_values() {
    let made = Made::new();
    let old = made.read().unwrap().stack;
    assert_eq!(old.differences(&old), Vec::<String>::new());
    made.write(
        "stack/compose.yaml",
        &SHORT
            .replace("image: api:1", "image: api:2")
            .replace("tmpfs: /tmp", "tmpfs: [/tmp, /x]")
            .replace("image: web:1", "image: web:1\n  new: { image: new:1 }\n  web2:\n    image: web:1")
            .replace("  web:\n    image: web:1\n", "")
            .replace("service: web,", "service: web2,"),
    );
    made.write("stack/conf/app.conf", "b");
    made.write("stack/conf/more.conf", "b");
    std::fs::set_permissions(made.top.join("stack/conf"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let new = made.read_with(&[("KEY", "a-secret".into())], &[]).unwrap().stack;
    assert_eq!(
        old.differences(&new),
        [
            "web: no longer in the stack; its container stays until lab down",
            "api: environment: API_KEY, KEY changed; image api:1 is now api:2; tmpfs changed; \
             conf: ., app.conf, more.conf changed",
            "new: new in the stack",
            "web2: new in the stack",
            "x-lab: changed",
        ]
    );
}

#[test]
fn a_stack_is_read_by_any_spelling_of_its_path() {
    let made = Made::new();
    for spelling in ["stack", "./stack/", "beside/../stack"] {
        let read = Stack::read(&made.top.join(spelling), &super::env(&[("KEY", "k1")]));
        assert_eq!(read.unwrap().services, made.read().unwrap().stack.services, "{spelling}");
    }
    assert!(Stack::read(Path::new("/nonexistent"), &super::env(&[])).is_err());
}
