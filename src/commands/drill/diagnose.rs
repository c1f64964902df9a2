//! `lab drill diagnose`: the two lists, and the participant's answer.

use lab_core::diagnosis::{Cause, Finding, Location};
use lab_core::error::{Exit, Failure};
use lab_drill::event::Event;
use lab_drill::fold::Answer;
use lab_report::report::table::{Cell, Side, Table};
use lab_report::term::Tone;
use serde::Serialize;

use super::{Active, next};
use crate::commands::session::Session;

/// Document of `--json` without an answer.
#[derive(Serialize)]
struct Lists {
    locations: Vec<Item>,
    causes: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    number: usize,
    name: &'static str,
    explanation: &'static str,
}

/// Document of `--json` with an answer.
#[derive(Serialize)]
struct Report<'a> {
    findings: &'a [Finding],
    /// Number of the answer, from 1.
    attempt: usize,
    /// Null before the ticket, because it would tell whether there is an incident.
    answer: Option<Answer>,
}

pub(super) fn run(session: &Session, answer: &[String], json: bool) -> anyhow::Result<Exit> {
    if answer.is_empty() {
        return lists(session, json);
    }
    let findings = parse(answer)?;
    let mut drill = Active::open_running(session)?;
    drill.append(Event::Diagnosis { findings: findings.clone() })?;
    let tries = drill.drill.public().tries;
    let (attempt, answer) = (tries.len(), tries.last().and_then(|one| one.answer));
    if json {
        return session.json(&Report { findings: &findings, attempt, answer });
    }
    let text: Vec<String> = findings.iter().copied().map(describe).collect();
    let (tone, said) = describe_answer(answer);
    let said = session.term.painter().paint(tone, said);
    session.line(&format!("diagnosis {attempt} at {}: {} · {said}", drill.clock(), text.join(", and ")))?;
    let name = drill.lab.name_option();
    match answer {
        Some(Answer::Right) => next(session, &format!("fix it · lab drill update{name}")),
        _ => next(
            session,
            &format!("lab drill diagnose{name} states another one, which counts less · lab drill hint{name}"),
        ),
    }
}

/// How a diagnosis compares with the right one, as far as it is told.
pub(super) fn describe_answer(answer: Option<Answer>) -> (Tone, &'static str) {
    match answer {
        Some(Answer::Right) => (Tone::Good, "right"),
        Some(Answer::Partial) => (Tone::Warn, "one of two faults"),
        Some(Answer::Wrong) => (Tone::Failed, "wrong"),
        None => (Tone::Dim, "recorded; the answer comes with the customer's ticket"),
    }
}

/// `gateway: timeout too short`.
pub(super) fn describe(finding: Finding) -> String {
    format!("{}: {}", finding.location.name(), finding.cause.name())
}

fn lists(session: &Session, json: bool) -> anyhow::Result<Exit> {
    let locations = Location::ALL.iter().map(|it| (it.name(), it.explanation()));
    let causes = Cause::ALL.iter().map(|it| (it.name(), it.explanation()));
    let item = |(index, (name, explanation))| Item { number: index + 1, name, explanation };
    let (locations, causes): (Vec<Item>, Vec<Item>) =
        (locations.enumerate().map(item).collect(), causes.enumerate().map(item).collect());
    if json {
        return session.json(&Lists { locations, causes });
    }
    for (heading, items) in [("where", locations), ("what", causes)] {
        let mut table = Table::new(&[("", Side::Right), (heading, Side::Left), ("", Side::Left)]);
        for Item { number, name, explanation } in items {
            table.row([number.to_string().into(), Cell::new(Tone::Strong, name), explanation.into()]);
        }
        table.write(&mut session.term.out(), session.term.width(), session.term.painter())?;
        session.line("")?;
    }
    next(session, "lab drill diagnose WHERE WHAT, as names or numbers: lab drill diagnose gateway timeout too short")
}

/// Parses one or two pairs. The words of a cause may be separated by spaces, quoted or not, or by hyphens.
fn parse(answer: &[String]) -> Result<Vec<Finding>, Failure> {
    let words: Vec<String> = answer
        .iter()
        .flat_map(|text| text.split(|c: char| c.is_whitespace() || c == '-'))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let mut rest = words.as_slice();
    let mut findings = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        if findings.len() == 2 {
            let message = format!("a diagnosis has at most two pairs, but {first:?} follows");
            return Err(Failure::usage(message).hint("lab drill diagnose WHERE WHAT [WHERE WHAT]"));
        }
        let location = location(first)?;
        let (cause, used) = cause(after, location)?;
        findings.push(Finding { location, cause });
        rest = &after[used..];
    }
    if let [one, other] = findings.as_slice()
        && one == other
    {
        return Err(Failure::usage("both pairs are the same").hint("state one of them only"));
    }
    Ok(findings)
}

fn location(word: &str) -> Result<Location, Failure> {
    if let Ok(number) = word.parse::<usize>() {
        let found = number.checked_sub(1).and_then(|index| Location::ALL.get(index).copied());
        return found.ok_or_else(|| {
            let message = format!("unknown location {number} (the list has 1 to {})", Location::ALL.len());
            Failure::usage(message).hint(LIST)
        });
    }
    Location::from_name(word).ok_or_else(|| {
        let names: Vec<&str> = Location::ALL.iter().map(|it| it.name()).collect();
        unknown("location", word, &names)
    })
}

/// Cause at the beginning of these words, and the number of its words.
fn cause(words: &[String], location: Location) -> Result<(Cause, usize), Failure> {
    let Some(first) = words.first() else {
        let message = format!("{} needs a cause", location.name());
        return Err(Failure::usage(message).hint(format!("lab drill diagnose {} WHAT; {LIST}", location.name())));
    };
    if let Ok(number) = first.parse::<usize>() {
        let found = number.checked_sub(1).and_then(|index| Cause::ALL.get(index).copied());
        return found.map(|cause| (cause, 1)).ok_or_else(|| {
            let message = format!("unknown cause {number} (the list has 1 to {})", Cause::ALL.len());
            Failure::usage(message).hint(LIST)
        });
    }
    let found = Cause::ALL.into_iter().find_map(|cause| {
        let name: Vec<&str> = cause.name().split(' ').collect();
        (words.len() >= name.len() && words.iter().zip(&name).all(|(word, part)| word == part))
            .then_some((cause, name.len()))
    });
    found.ok_or_else(|| {
        // The next pair, if there is one, begins with a location.
        let end = words.iter().skip(1).position(|word| Location::from_name(word).is_some());
        let typed = words[..end.map_or(words.len(), |end| end + 1)].join(" ");
        let names: Vec<&str> = Cause::ALL.iter().map(|it| it.name()).collect();
        unknown("cause", &typed, &names)
    })
}

const LIST: &str = "lab drill diagnose lists the possible answers";

fn unknown(what: &str, typed: &str, names: &[&str]) -> Failure {
    let begun: Vec<&str> = names.iter().copied().filter(|name| name.contains(typed)).collect();
    let near = lab_yaml::nearest(typed, names.iter().copied());
    let hint = match (near, begun.as_slice()) {
        (Some(near), _) => format!("did you mean {near:?}?"),
        (None, [_, ..]) => format!("did you mean {}?", begun.join(", or ")),
        (None, []) => LIST.to_owned(),
    };
    Failure::usage(format!("unknown {what} {typed:?}")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(answer: &str) -> Result<Vec<String>, String> {
        let words: Vec<String> = answer.split('|').map(str::to_owned).collect();
        let text = |failure: Failure| format!("{failure}; {}", failure.hint.as_deref().unwrap_or_default());
        parse(&words).map(|findings| findings.into_iter().map(describe).collect()).map_err(text)
    }

    #[test]
    fn names_and_numbers_are_accepted_quoted_or_not() {
        let one = Ok(vec!["gateway: timeout too short".to_owned()]);
        for answer in [
            "gateway|timeout too short",
            "Gateway|timeout|too|short",
            "gateway|timeout-too-short",
            "3|7",
            "3|Timeout too|short",
        ] {
            assert_eq!(parsed(answer), one, "{answer}");
        }
        let two = Ok(vec!["gateway: credential not passed on".to_owned(), "account: has expired".to_owned()]);
        for answer in ["gateway|credential|not|passed|on|account|has|expired", "3|8|2|11", "3|8|account|has expired"] {
            assert_eq!(parsed(answer), two, "{answer}");
        }
    }

    #[test]
    fn every_pair_can_be_typed() {
        for location in Location::ALL {
            for cause in Cause::ALL {
                let answer = format!("{}|{}", location.name(), cause.name().replace(' ', "|"));
                assert_eq!(parsed(&answer), Ok(vec![format!("{}: {}", location.name(), cause.name())]));
            }
        }
    }

    #[test]
    fn mistakes_name_the_answer_that_was_meant() {
        for (answer, message) in [
            ("gatway|slow", "unknown location \"gatway\"; did you mean \"gateway\"?"),
            ("nginx|slow", "unknown location \"nginx\"; lab drill diagnose lists the possible answers"),
            ("9|1", "unknown location 9 (the list has 1 to 8); lab drill diagnose lists the possible answers"),
            ("0|1", "unknown location 0 (the list has 1 to 8); lab drill diagnose lists the possible answers"),
            ("app|22", "unknown cause 22 (the list has 1 to 21); lab drill diagnose lists the possible answers"),
            ("app|timeout to short", "unknown cause \"timeout to short\"; did you mean \"timeout too short\"?"),
            ("app|timeout", "unknown cause \"timeout\"; did you mean timeout too short?"),
            (
                "app|wrong",
                "unknown cause \"wrong\"; did you mean credential wrong, or address or path wrong, or clock wrong, or nothing is wrong?",
            ),
            ("app|slwo|account|has expired", "unknown cause \"slwo\"; did you mean \"slow\"?"),
            ("app", "app needs a cause; lab drill diagnose app WHAT; lab drill diagnose lists the possible answers"),
            ("app|slow|app|slow", "both pairs are the same; state one of them only"),
            ("app|slow|db", "unknown location \"db\"; lab drill diagnose lists the possible answers"),
            (
                "app|slow|2|3|4|5",
                "a diagnosis has at most two pairs, but \"4\" follows; lab drill diagnose WHERE WHAT [WHERE WHAT]",
            ),
        ] {
            assert_eq!(parsed(answer), Err(message.to_owned()), "{answer}");
        }
    }
}
