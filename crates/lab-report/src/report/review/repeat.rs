//! The commands that show it again: the run as it was, once more, and in other forms.

use super::facts::join;
use super::{Block, code};
use crate::report::journal::Journal;
use crate::report::text::word;
use crate::report::{DEFAULT_LAB, short_id};
use lab_core::event::MASK;

/// The commands.
pub(super) fn blocks(journal: &Journal) -> Vec<Block> {
    let source = journal.about.typed(&journal.scenario);
    let mut run = format!("lab scenario run {} --engine {}", word(source), word(&journal.engine));
    let mut option = |name: &str, value: &str| run.extend([" ", name, " ", &word(value)]);
    let id = short_id(&journal.id);
    // A lab that was made for the run alone has its id, and is made anew.
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
        Block::Text("The same once more, this run again as it was printed, and beside another one:".to_owned()),
        Block::Commands(vec![run, format!("lab runs show {id}"), format!("lab runs diff {id} OTHER")]),
    ];
    if !secret.is_empty() {
        let names: Vec<String> = secret.into_iter().map(|(name, _)| code(name)).collect();
        let is = if names.len() == 1 { "is" } else { "are" };
        blocks.push(Block::Text(format!("{} {is} secret and must be given with `--set` for that.", join(&names))));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::Block;
    use crate::report::journal::Journal;
    use lab_testkit::stories;

    #[test]
    fn the_command_does_what_the_run_did() {
        let mut journal = Journal::from_events(&stories::grown()).expect("a whole run");
        journal.lab = "room-3".to_owned();
        journal.parameters = [("new_key", "***"), ("note", "a b"), ("url", "http://***@host")]
            .map(|(name, value)| (name.into(), value.into()))
            .into();
        let blocks = super::blocks(&journal);
        let Block::Commands(commands) = &blocks[1] else { panic!("{blocks:?}") };
        let run = "lab scenario run stale-caller --engine embedded --name room-3 --set 'note=a b' --allow-commands";
        assert_eq!(commands[0], run);
        assert_eq!(
            blocks[2],
            Block::Text("`new_key` and `url` are secret and must be given with `--set` for that.".to_owned())
        );
    }

    #[test]
    fn a_lab_that_was_the_runs_own_is_not_asked_for() {
        for lab in ["default", "run-7f3a"] {
            let mut journal = Journal::from_events(&stories::rotate_key()).expect("a whole run");
            journal.lab = lab.to_owned();
            let blocks = super::blocks(&journal);
            let Block::Commands(commands) = &blocks[1] else { panic!("{blocks:?}") };
            assert_eq!(commands[0], "lab scenario run rotate-key --engine embedded --set new_key=apikey-v2");
        }
    }
}
