use std::collections::{BTreeMap, BTreeSet};

use super::{Settings, refusals, reserved};
use crate::engine::{ServiceChange, ServiceSpec};

fn spec(name: &str, settings: Settings) -> ServiceSpec {
    ServiceSpec { name: name.to_owned(), abilities: BTreeSet::new(), settings }
}

fn set(service: &str, settings: &Settings, name: &str, value: Option<&str>) -> Result<(), String> {
    let services = ["gateway", "app", "db"].map(|service| spec(service, settings.clone()));
    let change = ServiceChange {
        env: BTreeMap::from([(name.to_owned(), value.map(str::to_owned))]),
        ..ServiceChange::default()
    };
    let spec = services.iter().find(|spec| spec.name == service).unwrap();
    refusals(spec, &change, &services, true).pop().map_or(Ok(()), Err)
}

#[test]
fn variables_that_load_or_run_programs_cannot_be_set() {
    for name in [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "GLIBC_TUNABLES",
        "MALLOC_ARENA_MAX",
        "MALLOC_PERTURB_",
        "RUST_LOG",
        "RUST_BACKTRACE",
        "DYLD_INSERT_LIBRARIES",
        "PYTHONPATH",
        "NODE_OPTIONS",
        "JAVA_TOOL_OPTIONS",
        "PERL5OPT",
        "BASH_ENV",
        "BASH_FUNC_x",
        "PATH",
        "http_proxy",
        "HTTPS_PROXY",
        "SSL_CERT_FILE",
        "PGHOST",
        "PGPASSFILE",
        "LAB_STATE_DIR",
        "TMPDIR",
        "GF_INSTALL_PLUGINS",
        "NGINX_ENVSUBST_TEMPLATE_DIR",
    ] {
        assert!(reserved(name).is_some(), "{name}");
        for value in [Some("/tmp/x"), None] {
            let error = set("app", &Settings::Open, name, value).unwrap_err();
            assert!(error.contains("cannot be set: it decides "), "{error}");
        }
    }
    for name in ["LOG_LEVEL", "FEATURE_X", "APP_DB_POOL", "NODE_ENV", "LDAP_BASE", "PATHS", "TZ", "A"] {
        assert_eq!(reserved(name), None, "{name}");
        assert_eq!(set("app", &Settings::Open, name, Some("1")), Ok(()));
    }
}

#[test]
fn a_local_process_accepts_only_the_listed_variables() {
    let only = Settings::Only(["APP_DB_POOL", "GATEWAY_UPSTREAM"].map(str::to_owned).into());
    assert_eq!(set("app", &only, "APP_DB_POOL", Some("many")), Ok(()));
    assert_eq!(set("app", &only, "APP_DB_POOL", None), Ok(()));
    for name in ["DATABASE_URL", "LD_PRELOAD", "FEATURE_X", "app_db_pool", "SQLITE_TMPDIR", "APP_LISTEN"] {
        assert!(set("app", &only, name, Some("x")).unwrap_err().contains(name));
        assert!(set("app", &only, name, None).is_err(), "{name}");
    }
    for good in ["app:8000", "app:8001", "app:1"] {
        assert_eq!(set("gateway", &only, "GATEWAY_UPSTREAM", Some(good)), Ok(()));
    }
    for bad in [
        "127.0.0.1:9",
        "localhost:22",
        "[::1]:80",
        "db:5432",
        "app",
        "app:",
        "app:0",
        "app:x",
        "app.evil:80",
        "app@evil:80",
        "evil.example:80",
        "APP:8000",
        "app:80000000",
        "app:80 x",
        "",
    ] {
        assert!(set("gateway", &only, "GATEWAY_UPSTREAM", Some(bad)).is_err(), "{bad}");
    }
}

#[test]
fn an_address_must_be_of_a_service_of_the_lab() {
    let good = [
        ("DATABASE_URL", "postgres://lab:pa:ss@db:5432/postgres"),
        ("DATABASE_URL", "postgres://lab@db/x?sslmode=disable"),
        ("DATABASE_URL", "sqlite:/tmp/users.db"),
        ("DATABASE_URL", "sqlite:///tmp/users.db"),
        ("DATABASE_URL", "nonsense:/"),
        ("GATEWAY_UPSTREAM", "app:8001"),
        ("LISTEN", "0.0.0.0:8000"),
        ("CACHE_HOST", "db"),
        ("CACHE_HOST", "/run/redis.sock"),
        ("HOST", "localhost"),
        ("BROKERS", "db:9092,app:9092"),
        ("RATE", "10/s"),
        ("SCOPES", "users:read reports:read"),
        ("AT", "2027-01-31T00:00:00Z"),
        ("POOL", "8"),
        ("DSN", "host=db port=5432 dbname=x"),
        ("TEXT", "a sentence, with words."),
    ];
    for (name, value) in good {
        assert_eq!(set("app", &Settings::Open, name, Some(value)), Ok(()), "{name}={value}");
    }
    let bad = [
        ("DATABASE_URL", "postgres://lab@evil.example:5432/postgres"),
        ("DATABASE_URL", "postgres://db:5432@evil.example/postgres"),
        ("DATABASE_URL", "postgres://db,evil.example/postgres"),
        ("DATABASE_URL", "postgres://lab@db/x?host=evil.example"),
        ("DATABASE_URL", "postgres://lab@db/x?sslmode=disable&hostaddr=10.0.0.1"),
        ("DATABASE_URL", "postgres://[2001:db8::1]:5432/x"),
        ("ANY", "see http://evil.example/x"),
        ("ANY", "http:evil.example"),
        ("ANY", "http:\\\\evil.example\\x"),
        ("ANY", "http://evil.example\\@db/"),
        ("ANY", "169.254.169.254"),
        ("ANY", "10.0.0.1:80"),
        ("ANY", "evil.example:443"),
        ("ANY", "user:pw@tcp(evil.example:3306)/x"),
        ("GATEWAY_UPSTREAM", "evil.example:80"),
        ("GATEWAY_UPSTREAM", "host.docker.internal:80"),
        ("GATEWAY_UPSTREAM", "[::ffff:10.0.0.1]:80"),
        ("GATEWAY_READ_TIMEOUT", "2s; } server { listen 9"),
        ("GATEWAY_CLIENT_ID", "a\"; include /etc/passwd"),
        ("CACHE_HOST", "evil.example"),
        ("cache_url", "evil.example"),
        ("BROKERS", "db:9092,evil.example:9092"),
        ("CACHE_URL", "evil.example/0"),
        ("CACHE_URL", "user@evil.example:6379/0"),
        ("DSN", "host=evil.example port=5432"),
    ];
    for (name, value) in bad {
        let error = set("app", &Settings::Open, name, Some(value)).expect_err(value);
        assert!(error.contains(name), "{error}");
    }
}
