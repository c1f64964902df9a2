//! Merge keys in compose files.

use super::{SHORT, read};

/// Shared keys, some of which one service overrides.
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
fn a_mapping_gets_the_entries_that_it_lacks() {
    let web =
        |text: &str| read(&with(text)).unwrap_or_else(|errors| panic!("{errors}")).service("web").unwrap().clone();
    let one = web("    <<: *common\n");
    assert_eq!((one.user.as_deref(), one.limits.memory), (Some("1000"), Some(64 << 20)));
    // Its own entries win, before or after the merge key.
    for text in ["    mem_limit: 16m\n    <<: *common\n", "    <<: *common\n    mem_limit: 16m\n"] {
        assert_eq!(web(text).limits.memory, Some(16 << 20), "{text}");
    }
    // The first mapping in a list wins.
    let both = web("    <<: [*quiet, *common]\n");
    assert_eq!((both.user.as_deref(), both.limits.memory, both.limits.pids), (Some("1000"), Some(32 << 20), Some(10)));
    // Values are not merged unless they have their own merge key.
    let deep = web("    <<: *common\n    healthcheck: { <<: *check, retries: 7 }\n");
    let health = deep.health.own().unwrap();
    assert_eq!((health.retries, health.interval.as_secs()), (7, 5));
}

#[test]
fn a_mistake_is_reported_at_its_origin() {
    let errors = |text: &str| read(text).unwrap_err().to_string();
    for (web, expected) in [
        ("    <<: *nobody\n", "there is no `&name` before it"),
        ("    <<: common\n", "`<<` is `common`"),
        ("    <<: [*quiet, 7]\n", "`<<` is `7`"),
        ("    <<:\n", "`<<` is nothing"),
        ("    <<: *common\n    <<: *quiet\n", "merge several as a list"),
    ] {
        let message = errors(&with(web));
        assert!(message.contains(expected), "{web}: {message}");
    }
    let text = with("    <<: *common\n").replace("mem_limit: 64m", "mem_limit: much");
    let message = errors(&text);
    assert!(message.contains("`mem_limit` is `much`") && message.contains("compose.yaml:4:"), "{message}");
    // Merged keys must be keys of a service as well.
    let message = errors(&SHORT.replace("    image: web:1\n", "    image: web:1\n    <<: { restart: always }\n"));
    assert!(message.contains("`restart` is not supported"), "{message}");
}
