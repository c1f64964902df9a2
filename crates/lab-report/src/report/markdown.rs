//! Markdown report for a ticket or a chat: the review of the HTML report without charts.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::journal::Journal;
use super::review::{Block, Grid, Review};
use super::text;

/// Writes the review of a run.
pub fn write(out: &mut impl Write, journal: &Journal) -> io::Result<()> {
    out.write_all(document(&Review::new(journal)).as_bytes())?;
    out.flush()
}

/// The document of a review.
pub(super) fn document(review: &Review) -> String {
    let mut out = format!("# {}\n\n", escape(&review.title));
    let _ = writeln!(out, "**{}** · {}", escape(&review.badge), escape(&review.subtitle));
    for section in &review.sections {
        let _ = writeln!(out, "\n## {}", section.title);
        for block in &section.blocks {
            self::block(&mut out, block);
        }
    }
    out
}

fn block(out: &mut String, block: &Block) {
    let _ = match block {
        Block::Text(text) => writeln!(out, "\n{}", inline(text)),
        Block::Quote(text) => {
            let lines: Vec<String> = text.lines().map(|line| format!("> {}", escape(&text::clean(line)))).collect();
            writeln!(out, "\n{}", lines.join("\n"))
        }
        Block::Facts(facts) => {
            let rows: Vec<String> =
                facts.iter().map(|(name, value)| format!("| {name} | {} |", escape(value))).collect();
            writeln!(out, "\n| | |\n| --- | --- |\n{}", rows.join("\n"))
        }
        Block::List(items) => {
            let items: Vec<String> = items.iter().map(|item| format!("- {}", inline(item))).collect();
            writeln!(out, "\n{}", items.join("\n"))
        }
        Block::Commands(lines) => {
            let lines: Vec<String> = lines.iter().map(|line| format!("    {line}")).collect();
            writeln!(out, "\n{}", lines.join("\n"))
        }
        Block::Grid(grid) => writeln!(out, "\n{}", table(grid)),
        // Markdown has no charts.
        Block::Charts => Ok(()),
    };
}

fn table(grid: &Grid) -> String {
    let heads: Vec<&str> = grid.heads.iter().map(|head| head.name).collect();
    let rules: Vec<&str> = grid.heads.iter().map(|head| if head.number { "---:" } else { "---" }).collect();
    let mut lines = vec![format!("| {} |", heads.join(" | ")), format!("| {} |", rules.join(" | "))];
    for row in &grid.rows {
        let bold = |cell: &super::review::Cell| match cell.status {
            Some(lab_core::event::Status::Failed | lab_core::event::Status::Error) => {
                format!("**{}**", inline(&cell.text))
            }
            _ => inline(&cell.text),
        };
        let cells: Vec<String> = row.iter().map(bold).collect();
        lines.push(format!("| {} |", cells.join(" | ")));
    }
    lines.join("\n")
}

/// Escapes text outside of backticks.
fn inline(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let paired = parts.len() % 2 == 1;
    let mut out = String::new();
    for (index, part) in parts.iter().enumerate() {
        let code = index % 2 == 1 && (paired || index + 1 < parts.len());
        if code {
            // A bar ends a table cell, even in code.
            let _ = write!(out, "`{}`", part.replace('|', r"\|"));
        } else {
            if index % 2 == 1 {
                out.push_str(r"\`");
            }
            out.push_str(&escape(part));
        }
    }
    out
}

/// Escapes everything that would become a heading, link, mention or tag.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            // `#12` would be a link to an issue.
            '#' => out.push_str("&#35;"),
            '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Review, document, inline};
    use crate::report::journal::Journal;
    use lab_testkit::sample_runs;

    #[test]
    fn every_run() {
        for (name, events) in sample_runs::all() {
            let journal = Journal::from_events(&events).expect(name);
            insta::assert_snapshot!(name, document(&Review::new(&journal)));
        }
    }

    #[test]
    fn foreign_text_is_escaped() {
        assert_eq!(inline("see #12, @all: *now* <b>|"), r"see &#35;12, &#64;all: \*now\* &lt;b&gt;\|");
        assert_eq!(inline("`a|b` and `odd"), r"`a\|b` and \`odd");
    }
}
