use clap::{Arg, ArgAction};

use super::*;

fn parse(words: &[&str]) -> Result<ConsoleCommand, String> {
    parse_console(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
}

/// A value that an argument accepts.
fn value(argument: &Arg) -> String {
    let possible = argument.get_possible_values().first().map(|value| value.get_name().to_owned());
    possible.unwrap_or_else(|| "1".to_owned())
}

/// Words of an argument as it is typed.
fn typed(argument: &Arg) -> Vec<String> {
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let option = argument
        .get_long()
        .map(|long| format!("--{long}"))
        .or_else(|| argument.get_short().map(|short| format!("-{short}")));
    option.into_iter().chain(takes_value.then(|| value(argument))).collect()
}

/// Every verb and subcommand, hidden ones included.
fn all<'a>(command: &'a Command, verb: &str, found: &mut Vec<(String, &'a Command)>) {
    found.push((verb.to_owned(), command));
    for below in command.get_subcommands() {
        all(below, format!("{verb} {}", below.get_name()).trim_start(), found);
    }
}

/// A line of a verb with one argument, and what the verb needs.
fn line(verb: &str, command: &Command, argument: Option<&Arg>) -> Vec<String> {
    let is_other = |other: &&Arg| argument.is_none_or(|argument| argument.get_id() != other.get_id());
    let needed = command.get_arguments().filter(|other| other.is_required_set()).filter(is_other);
    let words = verb.split(' ').filter(|word| !word.is_empty()).map(str::to_owned);
    words.chain(argument.into_iter().flat_map(typed)).chain(needed.flat_map(typed)).collect()
}

#[test]
fn every_verb_and_option_is_refused_unless_it_is_listed() {
    let mut verbs = Vec::new();
    all(&LAB, "", &mut verbs);
    assert!(verbs.len() > 60, "{}", verbs.len());
    let (mut offered, mut refused) = (0, 0);
    for (verb, command) in verbs {
        let listed = offer(&verb);
        if listed.is_none() {
            let words = line(&verb, command, None);
            let error = parse_console(&words).expect_err(&words.join(" "));
            // `lab scenario` is completed to `lab scenario list` first.
            assert!(error.contains("not offered in this console"), "{verb}: {error}");
        }
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            let words = line(&verb, command, Some(argument));
            let result = parse_console(&words);
            if id == "help" {
                assert!(matches!(result, Ok(ConsoleCommand::Help(_))) == listed.is_some(), "{words:?}");
                continue;
            }
            match listed {
                Some(listed) if listed.contains(&id) => {
                    offered += 1;
                    // Some arguments need others, which clap reports.
                    let error = result.err().unwrap_or_default();
                    assert!(!error.contains("not offered"), "{words:?}: {error}");
                }
                Some(_) if verb.is_empty() || command.is_subcommand_required_set() => {
                    refused += 1;
                    result.expect_err(&words.join(" "));
                }
                _ => {
                    refused += 1;
                    let error = result.expect_err(&words.join(" "));
                    assert!(error.contains("not offered in this console"), "{words:?}: {error}");
                }
            }
        }
    }
    assert!(offered > 50 && refused > 100, "{offered} offered, {refused} refused");
}

#[test]
fn everything_on_the_list_exists() {
    let mut verbs = Vec::new();
    all(&LAB, "", &mut verbs);
    for (offered, arguments) in OFFERED.iter().filter(|(verb, _)| *verb != "help") {
        let found = verbs.iter().find(|(verb, _)| verb == offered).map(|(_, command)| command);
        let command = found.unwrap_or_else(|| panic!("{offered} does not exist"));
        for id in *arguments {
            assert!(command.get_arguments().any(|argument| argument.get_id() == *id), "{offered}: {id}");
        }
    }
}

#[test]
fn other_spellings_of_what_is_not_offered_are_refused_too() {
    for line in [
        "--name other status",
        "status --name=other",
        "status other",
        "status -a",
        "logs -f",
        "logs app --foll",
        "ps --all",
        "labs",
        "run rotate-key",
        "rotate-key",
        "traffic compare a b",
        "traffic --url http://127.0.0.1:1/",
        "traffic --csv -",
        "metrics --watch",
        "metrics --url http://127.0.0.1:1/metrics",
        "drill finish --report x.html",
        "drill start",
        "drill give-up",
        "drill list",
        "db query --write x",
        "env app --reveal",
        "host",
        "room-host",
        "complete -- status",
        "--version",
        "exec ls",
        "scenario check rotate-key",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        parse(&words).expect_err(line);
    }
}

#[test]
fn help_shows_what_is_offered_and_nothing_else() {
    let text = |words: &[&str]| match parse(words) {
        Ok(ConsoleCommand::Help(text)) => text,
        other => panic!("{words:?}: {other:?}"),
    };
    let all = text(&["help"]);
    assert_eq!((all.as_str(), all.as_str()), (text(&[]).as_str(), text(&["lab", "--help"]).as_str()));
    for (word, is_shown) in
        [("rollback", true), ("request", true), ("scenario", false), ("down", false), ("--name", false)]
    {
        assert_eq!(all.contains(word), is_shown, "{word}: {all}");
    }
    let logs = text(&["help", "logs"]);
    assert_eq!(logs, text(&["logs", "-h"]));
    assert!(logs.contains("--tail") && logs.contains("lab logs app --tail 20"), "{logs}");
    assert!(!logs.contains("--follow") && !logs.contains("lab logs -f"), "{logs}");
    assert!(text(&["help", "drill"]).contains("diagnose"));
    parse(&["help", "up"]).unwrap_err();
}

#[test]
fn a_line_is_parsed_with_or_without_lab_and_in_other_words() {
    let arguments = |words: &[&str]| match parse(words) {
        Ok(ConsoleCommand::Run(_, arguments)) => arguments.join(" "),
        other => panic!("{words:?}: {other:?}"),
    };
    assert_eq!(arguments(&["lab", "status"]), "status");
    assert_eq!(arguments(&["key"]), "key show");
    assert_eq!(arguments(&["ps"]), "status");
    assert_eq!(arguments(&["set", "app", "APP_DB_POOL=8"]), "env set app APP_DB_POOL=8");
    let error = parse(&["lgos"]).unwrap_err();
    assert!(error.contains("logs") && error.starts_with("error: "), "{error}");
    let error = parse(&["curl", "x"]).unwrap_err();
    assert!(error.contains("unknown command") && error.contains("next: lab request"), "{error}");
}
