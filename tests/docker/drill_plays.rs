//! Drills of every incident on Docker, played to their debrief. By default the first wrong fix and then the runbook; with
//! `LAB_TEST_PLAYS=all` everything that can be done about an incident.

use libtest_mimic::Trial;

use crate::cli::Cli;
use crate::drill::{Fix, Play, Stage, play, play_all, plays};
use crate::support::write_small_stack;

/// Labs at once.
const PARALLEL: usize = 6;

pub(crate) fn trials() -> Vec<Trial> {
    vec![Trial::test("every_incident_can_be_drilled", || {
        let all = std::env::var("LAB_TEST_PLAYS").is_ok_and(|value| value == "all");
        let plays = plays("docker", |fix| all || matches!(fix, Fix::WrongThenRunbook(_)));
        play_all(&plays, PARALLEL, play_alone);
        Ok(())
    })]
}

/// Plays in a lab of its own.
fn play_alone(one: &Play) {
    let kind = match &one.fix {
        Fix::Runbook => "r".to_owned(),
        Fix::Destroy => "d".to_owned(),
        Fix::WrongThenRunbook(_) => "w".to_owned(),
        Fix::Wrong(name) | Fix::Other(name) => name.chars().filter(|c| *c != '-').take(12).collect(),
    };
    let user = Cli::new(&format!("{}-{kind}", one.incident));
    let folder = user.path().join("stack");
    write_small_stack(&folder);
    user.lab(&["up", "--stack", &folder.display().to_string()]).status(0);
    play(one, &Stage { engine: "docker", state: user.state(), lab: &|args| user.lab(args) });
    user.finish();
}
