//! Tests of the configuration: accepted values, defaults and error messages.

use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use super::{Config, expiry, scopes};

fn read(changes: &[(&str, &str)]) -> Result<Config, String> {
    let good = [("APP_LISTEN", "127.0.0.1:0"), ("APP_API_KEY", "apikey-v1"), ("DATABASE_URL", "sqlite:/tmp/u.db")];
    let lookup = |name: &str| {
        let all = changes.iter().chain(&good);
        all.clone().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
    };
    Config::from_env(&lookup).map_err(|error| error.to_string())
}

fn good(changes: &[(&str, &str)]) -> Config {
    read(changes).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn valid_values_are_accepted() {
    let config = good(&[("APP_INSTANCE", "i-1")]);
    assert_eq!((config.listen.as_str(), config.instance.as_str()), ("127.0.0.1:0", "i-1"));
    assert_eq!(good(&[]).instance.len(), 8);
    for url in ["postgres://lab:secret@db:5432/lab", "postgresql://db/lab", "sqlite://users.db"] {
        assert!(read(&[("DATABASE_URL", url)]).is_ok(), "{url}");
    }
}

#[test]
fn unset_and_empty_variables_have_defaults() {
    for config in [good(&[]), good(&[("APP_RATE_LIMIT", ""), ("APP_DB_POOL", ""), ("APP_API_KEY_SCOPES", "")])] {
        assert!(config.auth.previous.is_none() && config.auth.scopes.is_none() && config.auth.client.is_none());
        assert!(config.auth.expiries().next().is_none() && config.limiter.is_none() && config.delay.is_none());
        assert_eq!((config.store.connections, config.store.wait), (4, Duration::from_millis(500)));
        assert_eq!((config.store.report_time, config.metrics_path.as_str()), (Duration::ZERO, "/metrics"));
    }
}

#[test]
fn an_expiry_is_a_time_or_a_lifetime() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    assert_eq!(expiry("90s", now), Some(now + Duration::from_secs(90)));
    assert_eq!(expiry("90d", now), Some(now + Duration::from_hours(90 * 24)));
    assert_eq!(expiry("1970-01-01T01:00:05+01:00", now), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(5)));
    for bad in ["tomorrow", "0s", "2027-01-31", "2027-01-31T00:00:00", "2027-02-30T00:00:00Z", "-1d"] {
        assert_eq!(expiry(bad, now), None, "{bad}");
    }
}

#[test]
fn scopes_are_a_list() {
    let two = Some(vec!["users:read".to_owned(), "reports:read".to_owned()]);
    assert_eq!(scopes("users:read reports:read"), two);
    assert_eq!(scopes("users:read,  reports:read"), two);
    assert_eq!((scopes(","), scopes("users;read")), (None, None));
}

#[test]
fn errors_name_the_missing_variable() {
    for name in ["APP_LISTEN", "APP_API_KEY", "DATABASE_URL"] {
        let error = read(&[(name, "")]).err().unwrap();
        assert!(error.starts_with(&format!("{name} is not set: expected ")), "{error}");
    }
}

#[test]
fn variables_that_depend_on_each_other_are_set_together() {
    let pairs = [
        ("APP_CLIENT_ID", "APP_CLIENT_SECRET"),
        ("APP_CLIENT_SECRET", "APP_CLIENT_ID"),
        ("APP_RATE_BURST", "APP_RATE_LIMIT"),
        ("APP_API_KEY_PREVIOUS_EXPIRES", "APP_API_KEY_PREVIOUS"),
    ];
    for (name, needs) in pairs {
        let error = read(&[(name, "1")]).err().unwrap();
        assert_eq!(error, format!("{name} is set but {needs} is not: set both or neither"));
    }
}

#[test]
fn errors_name_the_malformed_variable_but_not_its_value() {
    let long = "k".repeat(257);
    let bad = [
        ("APP_LISTEN", "sesame"),
        ("APP_LISTEN", "127.0.0.1:sesame"),
        ("APP_API_KEY", "sesame\nsesame"),
        ("APP_API_KEY", "sésame"),
        ("APP_API_KEY", "open sesame"),
        ("APP_API_KEY", &long),
        ("APP_API_KEY_PREVIOUS", "open sesame"),
        ("APP_API_KEY_EXPIRES", "sesame"),
        ("APP_API_KEY_SCOPES", "users:read; sesame"),
        ("DATABASE_URL", "mysql://root:sesame@db/x"),
        ("DATABASE_URL", "postgres://root:sesame@db:port/x"),
        ("DATABASE_URL", "sqlite:"),
        ("APP_DB_POOL", "0"),
        ("APP_DB_POOL", "101"),
        ("APP_DB_POOL_TIMEOUT", "0s"),
        ("APP_DB_POOL_TIMEOUT", "2h"),
        ("APP_REPORT_TIME", "sesame"),
        ("APP_DEPENDENCY_DELAY", "1.5s"),
        ("APP_RATE_LIMIT", "sesame"),
        ("APP_METRICS_PATH", "sesame"),
        ("APP_METRICS_PATH", "/api/metrics"),
        ("APP_METRICS_PATH", "/health"),
        ("APP_METRICS_PATH", "/{sesame}"),
        ("APP_INSTANCE", "a sesame"),
    ];
    for (name, value) in bad {
        let error = read(&[(name, value)]).err().unwrap_or_else(|| panic!("{name}={value}"));
        assert!(error.starts_with(&format!("{name} is malformed: expected ")), "{error}");
        assert!(!error.contains("same") && !error.contains("kkk") && !error.contains('\n'), "{error}");
    }
    let client = read(&[("APP_CLIENT_ID", "gateway"), ("APP_CLIENT_SECRET", "open sesame")]).err().unwrap();
    assert!(client.starts_with("APP_CLIENT_SECRET is malformed: ") && !client.contains("same"), "{client}");
}
