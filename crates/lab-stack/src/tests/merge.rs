//! Merge keys, as compose files have them.

use super::{SHORT, read};

/// What two services share, and one of them changes.
const SHARED: &str = r"
x-common: &common
  user: '1000'
  mem_limit: 64m
  healthcheck: &check { test: curl -f localhost, interval: 5s }
x-quiet: &quiet { mem_limit: 32m, pids_limit: 10 }
";

fn with(web: &str) -> String {
    format!("{SHARED}{}", SHORT.replace("    image: web:1\n", &format!("    image: web:1\n{web}")))
}

#[test]
fn a_mapping_takes_in_what_it_does_not_say_itself() {
    let web =
        |text: &str| read(&with(text)).unwrap_or_else(|errors| panic!("{errors}")).service("web").unwrap().clone();
    let one = web("    <<: *common\n");
    assert_eq!((one.user.as_deref(), one.limits.memory), (Some("1000"), Some(64 << 20)));
    // What stands there counts, before or behind.
    for text in ["    mem_limit: 16m\n    <<: *common\n", "    <<: *common\n    mem_limit: 16m\n"] {
        assert_eq!(web(text).limits.memory, Some(16 << 20), "{text}");
    }
    // The first of a list that has a key gives it.
    let both = web("    <<: [*quiet, *common]\n");
    assert_eq!((both.user.as_deref(), both.limits.memory, both.limits.pids), (Some("1000"), Some(32 << 20), Some(10)));
    // Values are taken whole, and can be merged themselves.
    let deep = web("    <<: *common\n    healthcheck: { <<: *check, retries: 7 }\n");
    let health = deep.health.own().unwrap();
    assert_eq!((health.retries, health.interval.as_secs()), (7, 5));
}

#[test]
fn a_mistake_is_shown_where_it_is_written() {
    let errors = |text: &str| read(text).unwrap_err().to_string();
    for (web, wanted) in [
        ("    <<: *nobody\n", "there is no `&name` before it"),
        ("    <<: common\n", "`<<` is `common`"),
        ("    <<: [*quiet, 7]\n", "`<<` is `7`"),
        ("    <<:\n", "`<<` is nothing"),
        ("    <<: *common\n    <<: *quiet\n", "merge several as a list"),
    ] {
        let message = errors(&with(web));
        assert!(message.contains(wanted), "{web}: {message}");
    }
    let text = with("    <<: *common\n").replace("mem_limit: 64m", "mem_limit: much");
    let message = errors(&text);
    assert!(message.contains("`mem_limit` is `much`") && message.contains("compose.yaml:4:"), "{message}");
    // A name that nothing uses is still a key that no service has.
    let message = errors(&SHORT.replace("    image: web:1\n", "    image: web:1\n    <<: { restart: always }\n"));
    assert!(message.contains("`restart` is not supported"), "{message}");
}
