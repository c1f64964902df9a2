//! Text report of proofs: a line per scenario with its parts, followed by the failed claims and the observed values.

use super::{human, text};
use crate::term::{Painter, Tone};
use lab_runner::proof::{Part, Proof, Verdict};

/// Prefixes of the parts of fixes, with the words for one and for several.
const FIXES: [(&str, &str, &str); 2] =
    [("wrong fix ", "wrong fix", "wrong fixes"), ("other fix ", "other fix", "other fixes")];
const NO_BREAK_SPACE: &str = "\u{a0}";
/// Width of the verdict column.
const VERDICT: usize = 12;
/// Width of the duration column.
const DURATION: usize = 8;

/// Lines of one proof. `names` is the width of the column with the scenario names.
pub fn lines(proof: &Proof, names: usize, width: usize, painter: Painter) -> Vec<String> {
    let (word, tone) = verdict(proof.status);
    let took = if proof.parts.is_empty() { String::new() } else { human::clock(proof.duration) };
    let what = match proof.reason.as_deref() {
        Some(reason) if proof.parts.is_empty() => reason.to_owned(),
        _ => parts(&proof.parts),
    };
    let indent = VERDICT + names + DURATION;
    let room = width.saturating_sub(indent).max(20);
    // The parts of a proven scenario are always the same, so they are abbreviated if they do not fit.
    let what =
        if proof.status == Verdict::Proven && text::columns(&what) > room { all_passed(&proof.parts) } else { what };
    let mut wrapped = text::wrap(&what, room).into_iter().map(|line| line.replace(NO_BREAK_SPACE, " "));
    let verdict = painter.paint(tone, &format!("{word:<VERDICT$}"));
    let name = painter.paint(Tone::Strong, &format!("{:<names$}", proof.scenario));
    let first = format!("{verdict}{name}{took:>6}  {}", wrapped.next().unwrap_or_default());
    let mut lines = vec![first];
    lines.extend(wrapped.map(|line| format!("{:indent$}{line}", "")));
    let findings =
        proof.parts.iter().flat_map(|part| part.findings.iter().map(|what| format!("{}: {what}", part.name)));
    let reason = proof.reason.clone().filter(|_| !proof.parts.is_empty());
    for finding in findings.chain(reason) {
        let mut wrapped = text::wrap(&finding, width.saturating_sub(4).max(20)).into_iter();
        lines.extend(wrapped.next().map(|line| format!("  {line}")));
        lines.extend(wrapped.map(|line| format!("    {line}")));
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Last line of the report: number of proofs per verdict.
pub fn summary(proofs: &[Proof], took: std::time::Duration) -> String {
    let all =
        [Verdict::Proven, Verdict::NotProven, Verdict::Error, Verdict::Interrupted, Verdict::Skipped, Verdict::Exempt];
    let count = |status: Verdict| proofs.iter().filter(|proof| proof.status == status).count();
    let counted = all.into_iter().map(|status| (count(status), verdict(status).0)).filter(|(count, _)| *count > 0);
    let counted: Vec<String> = counted.map(|(count, word)| format!("{count} {word}")).collect();
    format!("{} in {}", counted.join(", "), human::duration(took))
}

fn verdict(status: Verdict) -> (&'static str, Tone) {
    match status {
        Verdict::Proven => ("proven", Tone::Good),
        Verdict::NotProven => ("not proven", Tone::Failed),
        Verdict::Error => ("error", Tone::Failed),
        Verdict::Interrupted => ("interrupted", Tone::Warn),
        Verdict::Exempt => ("exempt", Tone::Dim),
        Verdict::Skipped => ("skipped", Tone::Warn),
    }
}

/// `healthy, broken, not fixed, 1 of 2 wrong fixes, undone`.
fn parts(parts: &[Part]) -> String {
    let mut words: Vec<String> = Vec::new();
    for part in parts {
        let word = match FIXES.iter().find(|(prefix, ..)| part.name.starts_with(prefix)) {
            Some((prefix, ..)) => fixes(parts, prefix).unwrap_or_default(),
            None if part.passed => part.name.clone(),
            None => format!("not {}", part.name),
        };
        // Fixes of a kind are counted together.
        if !words.contains(&word) {
            words.push(word);
        }
    }
    // Lines are broken between parts only.
    words.iter().map(|word| word.replace(' ', NO_BREAK_SPACE)).collect::<Vec<_>>().join(", ")
}

/// `all passed, 2 wrong fixes, 1 other fix`.
fn all_passed(parts: &[Part]) -> String {
    let fixes = FIXES.iter().filter_map(|(prefix, ..)| fixes(parts, prefix));
    std::iter::once("all passed".to_owned()).chain(fixes).collect::<Vec<_>>().join(", ")
}

/// Number of passed fixes with this prefix. `None` if there are none.
fn fixes(parts: &[Part], prefix: &str) -> Option<String> {
    let fixes = || parts.iter().filter(|part| part.name.starts_with(prefix));
    let (total, passed) = (fixes().count(), fixes().filter(|part| part.passed).count());
    let (_, one, several) = FIXES.iter().find(|(known, ..)| *known == prefix)?;
    let word = if total == 1 { one } else { several };
    match total {
        0 => None,
        _ if passed == total => Some(format!("{passed} {word}")),
        _ => Some(format!("{passed} of {total} {word}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{lines, summary};
    use crate::report::text::columns;
    use crate::term::Painter;
    use lab_core::error::Exit;
    use lab_runner::proof::{Part, Proof, Verdict};

    fn part(name: &str, findings: &[&str]) -> Part {
        let findings: Vec<String> = findings.iter().map(|finding| (*finding).to_owned()).collect();
        Part { name: name.to_owned(), passed: findings.is_empty(), findings }
    }

    fn proofs() -> Vec<Proof> {
        let without = |name: &str, status, why: &str| Proof::without(name, status, Exit::Passed, Some(why.to_owned()));
        let not_fixed = "`resolved_check` fails after the fix: check-2 (library:rotate-key.yaml:81:5) expected \
                         check.status == 401, observed 200";
        let not_wrong = "`resolved_check` passes, so this fix is not wrong";
        vec![
            Proof {
                duration: 2.94,
                parts: vec![
                    part("healthy", &[]),
                    part("broken", &[]),
                    part("fixed", &[]),
                    part("wrong fix put-the-old-key-back", &[]),
                    part("undone", &[]),
                ],
                ..Proof::without("rotate-key", Verdict::Proven, Exit::Passed, None)
            },
            Proof {
                duration: 12.0,
                parts: vec![
                    part("healthy", &[]),
                    part("broken", &[]),
                    part("fixed", &[not_fixed]),
                    part("wrong fix restart", &[]),
                    part("wrong fix put-back", &[not_wrong]),
                    part("other fix limit-reports", &[]),
                    part("undone", &[]),
                ],
                ..Proof::without("connection-pool-exhausted", Verdict::NotProven, Exit::NotPassed, None)
            },
            Proof {
                parts: vec![part("healthy", &[])],
                ..without("app-slow", Verdict::Error, "broken: slow-down (x.yaml:3:5): app is unhealthy: no memory")
            },
            without("db-down", Verdict::Skipped, "step `stop` (x.yaml:9:5): `db` cannot be stopped on embedded"),
            without("baseline", Verdict::Exempt, "a part for others"),
        ]
    }

    #[test]
    fn proofs_of_every_verdict() {
        for width in [80, 120] {
            let all: Vec<String> = proofs().iter().flat_map(|proof| lines(proof, 25, width, Painter::PLAIN)).collect();
            for line in &all {
                assert!(columns(line) <= width, "{line}");
            }
            let text = format!("{}\n\n{}", all.join("\n"), summary(&proofs(), Duration::from_secs(31)));
            insta::assert_snapshot!(format!("proofs_{width}"), text);
        }
    }
}
