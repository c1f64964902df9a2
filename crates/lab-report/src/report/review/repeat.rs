//! Commands to repeat the run, print it and compare it.

use super::facts::join;
use super::{Block, code};
use crate::report::journal::Journal;
use crate::report::text::shell_quote;
use crate::report::{DEFAULT_LAB, short_id};
use lab_core::event::MASK;

/// Commands, and the secret parameters that they need.
pub(super) fn blocks(journal: &Journal) -> Vec<Block> {
    let source = journal.about.typed(&journal.scenario);
    let mut run = format!("lab scenario run {} --engine {}", shell_quote(source), shell_quote(&journal.engine));
    let mut option = |name: &str, value: &str| run.extend([" ", name, " ", &shell_quote(value)]);
    let id = short_id(&journal.id);
    // A temporary lab is named after the run, and the next run creates its own.
    if journal.lab != DEFAULT_LAB && journal.lab != format!("run-{id}") {
        option("--name", &journal.lab);
    }
    let (secret, known): (Vec<_>, Vec<_>) = journal.parameters.iter().partition(|(_, value)| value.contains(MASK));
    for (name, value) in known {
        option("--set", &format!("{name}={value}"));
    }
    if !journal.pace.is_empty() {
        option("--pace", &journal.pace);
    }
    if journal.steps.iter().any(|step| step.action == "run") {
        run.push_str(" --allow-commands");
    }
    let mut blocks = vec![
        Block::Text("Run the scenario again, print this run, or compare it with another one:".to_owned()),
        Block::Commands(vec![run, format!("lab runs show {id}"), format!("lab runs diff {id} OTHER")]),
    ];
    if !secret.is_empty() {
        let names: Vec<String> = secret.into_iter().map(|(name, _)| code(name)).collect();
        let is = if names.len() == 1 { "is" } else { "are" };
        blocks.push(Block::Text(format!("{} {is} secret; set with `--set`.", join(&names))));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::Block;
    use crate::report::journal::Journal;
    use lab_testkit::sample_runs;

    #[test]
    fn the_command_does_what_the_run_did() {
        let mut journal = Journal::from_events(&sample_runs::grown()).expect("a whole run");
        journal.lab = "room-3".to_owned();
        journal.parameters = [("new_key", "***"), ("note", "a b"), ("url", "http://***@host")]
            .map(|(name, value)| (name.into(), value.into()))
            .into();
        let blocks = super::blocks(&journal);
        let Block::Commands(commands) = &blocks[1] else { panic!("{blocks:?}") };
        let run = "lab scenario run stale-caller --engine embedded --name room-3 --set 'note=a b' --allow-commands";
        assert_eq!(commands[0], run);
        assert_eq!(blocks[2], Block::Text("`new_key` and `url` are secret; set with `--set`.".to_owned()));
    }

    #[test]
    fn a_temporary_lab_is_not_named() {
        for lab in ["default", "run-7f3a"] {
            let mut journal = Journal::from_events(&sample_runs::rotate_key()).expect("a whole run");
            journal.lab = lab.to_owned();
            let blocks = super::blocks(&journal);
            let Block::Commands(commands) = &blocks[1] else { panic!("{blocks:?}") };
            assert_eq!(commands[0], "lab scenario run rotate-key --engine embedded --set new_key=apikey-v2");
        }
    }
}
