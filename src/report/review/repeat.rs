//! The commands that show it again: the run as it was, once more, and in other forms.

use super::Block;
use crate::report::journal::Journal;
use crate::report::short_id;

/// The commands.
pub(super) fn blocks(journal: &Journal) -> Vec<Block> {
    let source = if journal.about.source.is_empty() { &journal.scenario } else { &journal.about.source };
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

/// A word that a shell takes as it is.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    let text = crate::report::text::clean(text);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_shell_would_read_is_quoted() {
        assert_eq!(super::word("new_key=apikey-v2"), "new_key=apikey-v2");
        assert_eq!(super::word("key=a b$(rm)'"), r"'key=a b$(rm)'\'''");
        assert_eq!(super::word(""), "''");
    }
}
