//! `lab logs`: whose lines, in which order, from when on, and on over a redeploy.

use crate::desk::{Desk, Ran};

/// The services of the lines, by their prefixes.
fn services(ran: &Ran) -> Vec<&str> {
    ran.stdout.lines().map(|line| line.split(" |").next().expect("a prefix").trim_end()).collect()
}

#[test]
fn lines_of_several_services_are_merged_and_their_prefixes_aligned() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    for _ in 0..2 {
        desk.lab(&["traffic", "--requests", "1"]).status(0);
    }
    let ran = desk.lab(&["logs"]).status(0);
    for line in ran.stdout.lines() {
        assert!(line.starts_with("gateway | ") || line.starts_with("app     | "), "{line}");
    }
    // A request is in both logs, and the next one after it.
    let order = services(&ran);
    let last = |wanted: &str| order.iter().rposition(|service| *service == wanted).expect("it wrote something");
    let first = |wanted: &str| order.iter().position(|service| *service == wanted).expect("it wrote something");
    assert!(first("gateway") < last("app") && first("app") < last("gateway"), "{}", ran.stdout);
    // One service has no need of a prefix.
    let alone = desk.lab(&["logs", "app", "-n", "1"]).status(0);
    assert!(!alone.stdout.contains("app     |") && alone.stdout.lines().count() == 1, "{}", alone.stdout);
    // Asked for by name, the longest of those decides.
    let both = desk.lab(&["logs", "app", "gateway", "-n", "1"]).status(0);
    assert!(both.stdout.contains("app     | "), "{}", both.stdout);
}

#[test]
fn old_lines_can_be_left_out() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    desk.lab(&["logs", "--since", "1h"]).status(0).says("ready").says("access");
    assert_eq!(desk.lab(&["logs", "--since", "2100-01-01T00:00:00Z"]).status(0).stdout, "");
    let timed = desk.lab(&["logs", "app", "--timestamps"]).status(0);
    // The first line is the one without a time of its own.
    let first = timed.stdout.lines().next().and_then(|line| line.split_once(' ')).expect("a time and a text");
    assert!(first.0.ends_with('Z') && first.1.starts_with("ready "), "{first:?}");
    let after = timed.stdout.lines().last().and_then(|line| line.split_once(' ')).expect("a time and a text").0;
    let newest = desk.lab(&["logs", "app", "--since", after]).status(0).stdout;
    assert!((1..timed.stdout.lines().count()).contains(&newest.lines().count()), "{newest}");
    desk.lab(&["logs", "--since", "yesterday"]).status(2).complains("--since").complains("5m");
}

#[test]
fn each_service_has_a_colour_of_its_own_where_colours_are_shown() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let mut command = desk.command(&["logs"]);
    command.env("CLICOLOR_FORCE", "1");
    let ran = Desk::ran(&["logs"], command).status(0);
    let colour = |service: &str| {
        let line =
            ran.stdout.lines().find(|line| line.contains(&format!("{service:<7} |"))).expect("it wrote something");
        line.split('m').next().expect("a colour").to_owned()
    };
    assert!(colour("app").starts_with('\u{1b}'), "{}", ran.stdout);
    assert_ne!(colour("app"), colour("gateway"));
}

#[test]
fn a_redeploy_is_followed() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let mut following = desk.start(&["logs", "-f", "app", "-n", "0"]);
    let mut lines = following.lines();
    desk.lab(&["key", "rotate", "apikey-v2"]).status(0);
    let ready = lines.find(|line| line.starts_with("ready "));
    assert!(ready.is_some(), "the new instance is not followed");
    desk.lab(&["down"]).status(0);
    assert_eq!(lines.find(|line| line.starts_with("ready ")), None);
    following.ran().status(0);
}
