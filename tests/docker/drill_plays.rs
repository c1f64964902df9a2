//! Drills on Docker, played to their debrief: by default one, in which a wrong fix comes before that of the runbook. With
//! `LAB_TEST_PLAYS=all`, every incident and everything that can be done about it; takes about half an hour.

use libtest_mimic::Trial;

use crate::cli::Cli;
use crate::drill::{Fix, Play, Stage, play, play_all, plays};
use crate::support::write_small_stack;

/// The incident that is always played. Every other one takes as long, a minute and a half.
const ALWAYS: &str = "report-cut-off";
/// Labs at once.
const PARALLEL: usize = 2;

pub(crate) fn trials() -> Vec<Trial> {
    vec![Trial::test("incidents_can_be_drilled", || {
        let all = std::env::var("LAB_TEST_PLAYS").is_ok_and(|value| value == "all");
        let only = std::env::var_os("LAB_TEST_INCIDENT").is_some();
        let mut plays = plays("docker", |fix| all || matches!(fix, Fix::WrongThenRunbook(_)));
        plays.retain(|play| all || only || play.incident == ALWAYS);
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
