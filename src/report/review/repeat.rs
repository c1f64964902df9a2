//! The commands that show it again: the run as it was, once more, and in other forms.

use super::Block;
use crate::report::journal::Journal;
use crate::report::short_id;
use crate::report::text::word;

/// The commands.
pub(super) fn blocks(journal: &Journal) -> Vec<Block> {
    let source = journal.about.typed(&journal.scenario);
    let mut run = format!("lab scenario run {} --engine {}", word(source), word(&journal.engine));
    for (name, value) in &journal.parameters {
        run.push_str(" --set ");
        run.push_str(&word(&format!("{name}={value}")));
    }
    if !journal.pace.is_empty() {
        run.push_str(" --pace ");
        run.push_str(&word(&journal.pace));
    }
    let id = short_id(&journal.id);
    vec![
        Block::Text("The same once more, this run again as it was printed, and beside another one:".to_owned()),
        Block::Commands(vec![run, format!("lab runs show {id}"), format!("lab runs diff {id} OTHER")]),
    ]
}
