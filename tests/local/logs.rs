//! `lab logs`: selection of services, order, `--since`, and following over a redeployment.

use crate::desk::{CommandOutput, Desk};

/// Services of the lines, from their prefixes.
fn services(result: &CommandOutput) -> Vec<&str> {
    result.stdout.lines().map(|line| line.split(" |").next().expect("a prefix").trim_end()).collect()
}

#[test]
fn lines_of_several_services_are_merged_and_their_prefixes_aligned() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    for _ in 0..2 {
        desk.lab(&["traffic", "--requests", "1"]).status(0);
    }
    let result = desk.lab(&["logs"]).status(0);
    for line in result.stdout.lines() {
        assert!(line.starts_with("gateway | ") || line.starts_with("app     | "), "{line}");
    }
    // Each request is in both logs, so that their lines alternate.
    let order = services(&result);
    let last = |name: &str| order.iter().rposition(|service| *service == name).expect("a line of the service");
    let first = |name: &str| order.iter().position(|service| *service == name).expect("a line of the service");
    assert!(first("gateway") < last("app") && first("app") < last("gateway"), "{}", result.stdout);
    // The lines of a single service have no prefix.
    let alone = desk.lab(&["logs", "app", "-n", "1"]).status(0);
    assert!(!alone.stdout.contains("app     |") && alone.stdout.lines().count() == 1, "{}", alone.stdout);
    // The prefixes are as wide as the longest selected name.
    let both = desk.lab(&["logs", "app", "gateway", "-n", "1"]).status(0);
    assert!(both.stdout.contains("app     | "), "{}", both.stdout);
}

#[test]
fn old_lines_can_be_omitted() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&["logs", "--since", "1h"]).status(0).says("ready").says("access");
    assert_eq!(desk.lab(&["logs", "--since", "2100-01-01T00:00:00Z"]).status(0).stdout, "");
    let timed = desk.lab(&["logs", "app", "--timestamps"]).status(0);
    // The first line of the app has no time of its own.
    let first = timed.stdout.lines().next().and_then(|line| line.split_once(' ')).expect("a time and a text");
    assert!(first.0.ends_with('Z') && first.1.starts_with("ready "), "{first:?}");
    let after = timed.stdout.lines().last().and_then(|line| line.split_once(' ')).expect("a time and a text").0;
    let newest = desk.lab(&["logs", "app", "--since", after]).status(0).stdout;
    assert!((1..timed.stdout.lines().count()).contains(&newest.lines().count()), "{newest}");
    desk.lab(&["logs", "--since", "yesterday"]).status(2).complains("--since").complains("5m");
}

#[test]
fn each_service_has_its_own_colour() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let mut command = desk.command(&["logs"]);
    command.env("CLICOLOR_FORCE", "1");
    let result = Desk::run(&["logs"], command).status(0);
    let colour = |service: &str| {
        let line = result
            .stdout
            .lines()
            .find(|line| line.contains(&format!("{service:<7} |")))
            .expect("a line of the service");
        line.split('m').next().expect("a colour").to_owned()
    };
    assert!(colour("app").starts_with('\u{1b}'), "{}", result.stdout);
    assert_ne!(colour("app"), colour("gateway"));
}

#[test]
fn logs_are_followed_over_a_redeployment() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let mut following = desk.start(&["logs", "-f", "app", "-n", "0"]);
    let mut lines = following.lines();
    desk.lab(&["key", "rotate", "apikey-v2"]).status(0);
    let ready = lines.find(|line| line.starts_with("ready "));
    assert!(ready.is_some(), "the new instance is not followed");
    desk.lab(&["down"]).status(0);
    assert_eq!(lines.find(|line| line.starts_with("ready ")), None);
    following.wait().status(0);
}
