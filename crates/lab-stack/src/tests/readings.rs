//! Inputs outside the stack file: the host's variables, `.env` and other folders; and the differences between two readings.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::SHORT;
use crate::{HealthSetting, Reading, Source, Stack};

/// A folder `top/stack` with a minimal stack, and `top/beside` and `secret` outside of it.
struct TestStack {
    _temporary: tempfile::TempDir,
    top: PathBuf,
}

impl TestStack {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let top = std::fs::canonicalize(temporary.path()).unwrap().join("top");
        let test = Self { _temporary: temporary, top };
        for folder in ["stack/conf", "beside", "../secret"] {
            std::fs::create_dir_all(test.top.join(folder)).unwrap();
        }
        test.write("stack/conf/app.conf", "a");
        test.write("stack/compose.yaml", SHORT);
        test.write("../secret/key", "x");
        test
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.top.join(name), text).unwrap();
    }

    /// Writes the stack file with a part of it replaced.
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
    let test = TestStack::new();
    let reading = test.read().unwrap();
    assert_eq!(reading.from_host, ["KEY"]);
    assert_eq!(reading.announcements(), ["the stack uses variables from your environment: KEY"]);
    test.change("${KEY}", "k0");
    assert_eq!(test.read().unwrap().from_host, ["KEY"], "a name without a value counts, too");
    let not_utf8 = OsString::from_vec(vec![0xff]);
    assert!(test.read_with(&[("KEY", "k".into()), ("UNUSED", not_utf8.clone())], &[]).is_ok());
    let error = test.read_with(&[("KEY", not_utf8)], &[]).unwrap_err();
    assert!(
        error.contains("the value of the variable `KEY` is not UTF-8") && error.contains("compose.yaml:11:"),
        "{error}"
    );
}

#[test]
fn the_env_file_comes_after_the_hosts_variables() {
    let test = TestStack::new();
    test.change("NOT_SET]", "NOT_SET, \"PW=${PASSWORD}\"]");
    test.write("stack/.env", "KEY=file\nNOT_SET='a b'\nPASSWORD=file\nCOMPOSE_PROFILES=x\n");
    let reading = test.read_with(&[], &[]).unwrap();
    let expected = [("API_KEY", "file"), ("KEY", "file"), ("NOT_SET", "a b"), ("PW", "own")];
    assert_eq!(*environment(&reading), super::env(&expected));
    assert_eq!(
        reading.announcements(),
        [
            "COMPOSE_PROFILES in .env is a Compose setting and has no effect in lab",
            "PASSWORD is set, but lab generates its own value for each lab",
        ]
    );
    assert_eq!(environment(&test.read().unwrap())["KEY"], "k1", "the host has precedence");
    test.write("stack/.env", "KEY\n: x\n");
    let error = test.read().unwrap_err();
    assert!(error.contains("`: x` is not a variable") && error.contains(".env:2:"), "{error}");
}

#[test]
fn files_that_compose_would_merge_are_refused_and_others_named() {
    let test = TestStack::new();
    for name in ["compose.override.yaml", "docker-compose.override.yml"] {
        test.write(&format!("stack/{name}"), "services: {}\n");
        let error = test.read().unwrap_err();
        assert!(error.contains(name) && error.contains("a stack is one file"), "{error}");
        std::fs::remove_file(test.top.join("stack").join(name)).unwrap();
    }
    test.write("stack/docker-compose.yml", "services: {}\n");
    assert_eq!(test.read().unwrap().remarks, ["docker-compose.yml is ignored: the folder has another compose file"]);
}

#[test]
fn a_file_cannot_allow_itself_a_folder_elsewhere() {
    let test = TestStack::new();
    let secret = test.top.join("../secret");
    let real = std::fs::canonicalize(&secret).unwrap();
    symlink("../../secret", test.top.join("beside/link")).unwrap();
    for path in ["../../secret", "../beside/link", &real.display().to_string()] {
        test.write(
            "stack/compose.yaml",
            &SHORT.replace("./conf:", &format!("{path}:")).replace("x-lab:", &format!("x-lab:\n  folders: [{path}]")),
        );
        let error = test.read().unwrap_err();
        let flag = format!("--allow-folder {}", real.display());
        assert!(error.contains("the stack may not read") && error.contains(&flag), "{path}: {error}");
        for allowed in [&secret, &real, &test.top.join("..")] {
            let host = [("KEY", "k".into())];
            let reading = test.read_with(&host, std::slice::from_ref(allowed)).unwrap_or_else(|it| panic!("{it}"));
            assert_eq!(reading.outside, std::slice::from_ref(&real));
            assert!(
                reading.announcements().contains(&format!("the stack reads outside its folder: {}", real.display()))
            );
        }
    }
    // A folder that the user allows need not be named in the file.
    test.change("./conf:", &format!("{}:", real.display()));
    assert!(test.read().unwrap_err().contains("is outside the stack's folder"));
    assert!(test.read_with(&[("KEY", "k".into())], &[secret]).is_ok());
}

#[test]
fn paths_read_outside_are_listed() {
    let test = TestStack::new();
    test.write(
        "stack/compose.yaml",
        &SHORT.replace("./conf:", "../beside:").replace("x-lab:", "x-lab:\n  folders: [../beside]"),
    );
    test.write("beside/a", "");
    assert_eq!(test.read().unwrap().outside, [test.top.join("beside")]);
    test.write("stack/compose.yaml", &SHORT.replace("x-lab:", "x-lab:\n  folders: [../beside]"));
    symlink("../../beside/a", test.top.join("stack/conf/link")).unwrap();
    assert_eq!(test.read().unwrap().outside, [test.top.join("beside/a")]);
}

#[test]
fn a_file_of_the_stack_may_not_be_a_link_to_elsewhere() {
    for name in ["compose.yaml", ".env"] {
        let test = TestStack::new();
        let link = test.top.join("stack").join(name);
        let target = test.top.join("beside/other");
        std::fs::write(&target, if name == ".env" { "KEY=k" } else { SHORT }).unwrap();
        let _ = std::fs::remove_file(&link);
        symlink(&target, &link).unwrap();
        let error = test.read().unwrap_err();
        assert!(error.contains("is a link to") && error.contains("--allow-folder"), "{error}");
        let reading = test.read_with(&[("KEY", "k".into())], &[test.top.join("beside")]).unwrap();
        assert_eq!(reading.outside, [target]);
    }
}

#[test]
fn a_dangling_link_is_named_and_not_the_folder() {
    let test = TestStack::new();
    symlink("gone", test.top.join("stack/conf/here")).unwrap();
    let error = test.read().unwrap_err();
    assert!(error.contains("`here` is a link to `gone`, which does not exist"), "{error}");
    assert!(!error.contains("the folder does not exist"), "{error}");
    std::fs::remove_file(test.top.join("stack/compose.yaml")).unwrap();
    symlink("gone.yaml", test.top.join("stack/compose.yaml")).unwrap();
    let error = test.read().unwrap_err();
    assert!(error.contains("compose.yaml: it is a link to gone.yaml, which does not exist"), "{error}");
}

#[test]
fn a_health_check_is_inherited_or_off_or_set() {
    let setting = |check: &str| {
        let test = TestStack::new();
        test.change("    healthcheck: { test: curl -f localhost, interval: 1m30s }\n", check);
        test.read().unwrap_or_else(|it| panic!("{it}")).stack.service("api").unwrap().health.clone()
    };
    assert_eq!(setting(""), HealthSetting::Inherited);
    for off in ["{ disable: true }", "{ test: [NONE] }", "{ test: [CMD, a], disable: true }"] {
        assert_eq!(setting(&format!("    healthcheck: {off}\n")), HealthSetting::Off, "{off}");
    }
    assert!(matches!(setting("    healthcheck: { test: [CMD, a], disable: false }\n"), HealthSetting::Own(_)));
}

#[test]
fn a_stack_survives_serialization() {
    let files = TestStack::new();
    std::fs::write(files.top.join("stack/conf/binary"), [0, 1, 0xff]).unwrap();
    files.write("stack/conf/text", "tab\tand é\r\n");
    symlink("text", files.top.join("stack/conf/link")).unwrap();
    let stack = files.read().unwrap().stack;
    let text = serde_json::to_string(&stack).unwrap();
    assert_eq!(serde_json::from_str::<Stack>(&text).unwrap(), stack);
    assert!(text.contains(r#"{"text":"tab\tand é\r\n"}"#) && text.contains(r#"{"base64":"AAH/"}"#), "{text}");
}

#[test]
fn differences_are_listed_without_values() {
    let test = TestStack::new();
    let old = test.read().unwrap().stack;
    assert_eq!(old.differences(&old), Vec::<String>::new());
    test.write(
        "stack/compose.yaml",
        &SHORT
            .replace("image: api:1", "image: api:2")
            .replace("tmpfs: /tmp", "tmpfs: [/tmp, /x]")
            .replace("image: web:1", "image: web:1\n  new: { image: new:1 }\n  web2:\n    image: web:1")
            .replace("  web:\n    image: web:1\n", "")
            .replace("service: web,", "service: web2,"),
    );
    test.write("stack/conf/app.conf", "b");
    test.write("stack/conf/more.conf", "b");
    std::fs::set_permissions(test.top.join("stack/conf"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let new = test.read_with(&[("KEY", "a-secret".into())], &[]).unwrap().stack;
    assert_eq!(
        old.differences(&new),
        [
            "web: no longer in the stack; its container remains until lab down",
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
    let test = TestStack::new();
    for spelling in ["stack", "./stack/", "beside/../stack"] {
        let read = Stack::read(&test.top.join(spelling), &super::env(&[("KEY", "k1")]));
        assert_eq!(read.unwrap().services, test.read().unwrap().stack.services, "{spelling}");
    }
    assert!(Stack::read(Path::new("/nonexistent"), &super::env(&[])).is_err());
}
