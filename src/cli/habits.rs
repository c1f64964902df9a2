//! Words from other tools (Docker Compose, kubectl, Helm) and short forms: each is another spelling of a command, or names
//! the commands that do it. clap would suggest the command with the most similar letters instead.

use std::ffi::{OsStr, OsString};

use clap::Command;
use lab_core::error::Failure;
use lab_scenario::library;

/// Meaning of a word that is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Another spelling of this command.
    Command(&'static [&'static str]),
    /// Commands to use instead.
    Advice(&'static str),
}

use Meaning::{Advice, Command as Spelling};

const REMOVE: Meaning = Advice("lab down [NAME] stops and removes a lab; lab stop SERVICE stops one service");
const START: Meaning = Advice("lab up starts a lab; lab scenario new NAME writes a scenario file");
const INSIDE: Meaning =
    Advice("lab request sends a request, lab db query reads the database, lab logs shows what a service wrote");
const LISTS: Meaning =
    Advice("lab status --all lists labs, lab scenario list the scenarios, lab runs list the past runs");
const SHOWS: Meaning =
    Advice("lab status shows the lab, lab scenario show NAME a scenario, lab runs show ID a past run");
const UNDO: Meaning = Advice(
    "lab recover undoes the changes of a run, lab rollback SERVICE a change by hand, lab reset everything since lab up",
);
const FIX: Meaning = Advice(
    "lab scenario check NAME tells what is still wrong; lab recover undoes the changes of a run, lab reset all changes",
);
const LIVE: Meaning = Advice("lab watch shows the lab live, lab metrics the app's metrics, lab open the dashboard");
const REQUESTS: Meaning = Advice("lab request [PATH] sends one request, lab traffic sends many");
const SQL: Meaning = Advice("lab db query 'SELECT * FROM users'");
const CHECKS: Meaning = Advice(
    "lab scenario check NAME checks if an incident is resolved, lab scenario validate FILE a file, lab doctor this machine",
);

/// Words that are not commands. The first word of the command line is looked up here.
const WORDS: &[(&str, Meaning)] = &[
    ("version", Spelling(&["--version"])),
    ("ps", Spelling(&["status"])),
    ("labs", Spelling(&["status", "--all"])),
    ("log", Spelling(&["logs"])),
    ("run", Spelling(&["scenario", "run"])),
    ("prove", Spelling(&["scenario", "prove"])),
    ("validate", Spelling(&["scenario", "validate"])),
    ("scenarios", Spelling(&["scenario"])),
    ("incidents", Spelling(&["scenario"])),
    ("report", Spelling(&["runs", "report"])),
    ("rotate", Spelling(&["key", "rotate"])),
    ("align", Spelling(&["key", "align"])),
    ("keys", Spelling(&["key"])),
    ("environment", Spelling(&["env"])),
    ("set", Spelling(&["env", "set"])),
    ("unset", Spelling(&["env", "unset"])),
    ("revisions", Spelling(&["history"])),
    ("changes", Spelling(&["history"])),
    ("image", Spelling(&["images"])),
    ("pull", Spelling(&["images", "pull"])),
    ("completion", Spelling(&["completions"])),
    ("grafana", Spelling(&["open", "grafana"])),
    ("prometheus", Spelling(&["open", "prometheus"])),
    ("list", LISTS),
    ("ls", LISTS),
    ("get", LISTS),
    ("show", SHOWS),
    ("describe", SHOWS),
    ("inspect", SHOWS),
    ("info", SHOWS),
    ("port", SHOWS),
    ("rm", REMOVE),
    ("remove", REMOVE),
    ("delete", REMOVE),
    ("destroy", REMOVE),
    ("uninstall", REMOVE),
    ("clean", REMOVE),
    ("init", START),
    ("create", START),
    ("new", START),
    ("install", START),
    ("deploy", START),
    ("apply", START),
    ("exec", INSIDE),
    ("attach", INSIDE),
    ("shell", INSIDE),
    ("ssh", INSIDE),
    ("undo", UNDO),
    ("revert", UNDO),
    ("restore", UNDO),
    ("fix", FIX),
    ("repair", FIX),
    ("top", LIVE),
    ("stats", LIVE),
    ("events", LIVE),
    ("alerts", LIVE),
    ("curl", REQUESTS),
    ("load", REQUESTS),
    ("bench", REQUESTS),
    ("sql", SQL),
    ("psql", SQL),
    ("sqlite", SQL),
    ("check", CHECKS),
    ("test", CHECKS),
    ("lint", CHECKS),
    ("freeze", Advice("lab pause SERVICE freezes a service, lab unpause SERVICE resumes it")),
    ("resume", Advice("lab unpause SERVICE resumes a service, lab start SERVICE starts it")),
    ("diff", Advice("lab runs diff ID ID compares runs, lab traffic compare A.json B.json measurements")),
    ("scale", Advice("lab runs one instance of each service; lab up --name NAME starts another lab")),
];

/// Commands that only have subcommands, with the one for a command line without any.
const DEFAULTS: [(&str, &str); 4] = [("scenario", "list"), ("runs", "list"), ("key", "show"), ("images", "list")];

/// Hints for a command whose required arguments are missing.
const MISSING: [(&str, &str); 14] = [
    ("scenario run", "lab scenario list shows the names"),
    ("scenario prove", "lab scenario list shows the names"),
    ("scenario show", "lab scenario list shows the names"),
    ("start", "lab start app starts one service; lab up starts all that are stopped"),
    ("stop", "lab stop app stops one service; lab down stops and removes the lab"),
    ("restart", "lab status lists the services"),
    ("kill", "lab status lists the services"),
    ("pause", "lab status lists the services"),
    ("unpause", "lab status lists the services"),
    ("key rotate", "lab key rotate apikey-v2"),
    ("env set", "lab env app shows the variables of a service; lab status lists the services"),
    ("env unset", "lab env app shows the variables of a service; lab status lists the services"),
    ("runs show", "lab runs list shows the ids"),
    ("runs diff", "lab runs list shows the ids"),
];

/// Rewrites the arguments (without the program) to those of commands that exist. `commands` is the definition of `lab`.
pub(super) fn expand(args: Vec<OsString>, commands: &Command) -> Result<Vec<OsString>, Failure> {
    let Some(at) = first_word(&args, 0) else { return Ok(args) };
    let Some(word) = args[at].to_str() else { return Ok(args) };
    if word == "help" {
        return help(args, at, commands);
    }
    if commands.find_subcommand(word).is_some() {
        return Ok(with_default(args, at, commands));
    }
    match WORDS.iter().find(|(known, _)| *known == word) {
        Some((word, Spelling(command))) => {
            let mut args = args;
            if *word == "report" && !args.iter().any(|arg| is_report_format(arg)) {
                args.extend(["--markdown".into(), "-".into()]);
            }
            args.splice(at..=at, command.iter().map(OsString::from));
            Ok(with_default(args, at, commands))
        }
        Some((_, Advice(advice))) => Err(unknown(word).hint(*advice)),
        None if is_scenario(word) => {
            Err(unknown(word).hint(format!("lab scenario run {word} runs the scenario of that name")))
        }
        None => Ok(args),
    }
}

/// Hint for a command without its required arguments.
pub(super) fn missing_argument(args: &[OsString]) -> Option<&'static str> {
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).filter(|arg| !arg.starts_with('-')).collect();
    let is = |command: &str| {
        let parts: Vec<&str> = command.split(' ').collect();
        words.windows(parts.len()).any(|window| window == parts)
    };
    MISSING.iter().find(|(command, _)| is(command)).map(|(_, hint)| *hint)
}

fn unknown(word: &str) -> Failure {
    Failure::usage(format!("unknown command {word:?}"))
}

/// Returns true for an option of `runs report` that selects a format.
fn is_report_format(arg: &OsStr) -> bool {
    let name = arg.to_str().and_then(|arg| arg.split('=').next());
    name.is_some_and(|name| ["--html", "--markdown", "--junit", "--json"].contains(&name))
}

/// Returns true for the name of a built-in scenario, and for what looks like a scenario file.
fn is_scenario(word: &str) -> bool {
    library::names().any(|name| name == word) || [".yaml", ".yml"].iter().any(|end| word.ends_with(end))
}

/// Position of the first argument from `start` on that is neither an option nor the value of `--name`.
fn first_word(args: &[OsString], start: usize) -> Option<usize> {
    let mut at = start;
    while let Some(arg) = args.get(at) {
        match arg.to_str() {
            Some("--name") => at += 2,
            Some("--") => return None,
            Some(option) if option.starts_with('-') => at += 1,
            _ => return Some(at),
        }
    }
    None
}

/// Converts `help VERB...` to `VERB... --help`.
fn help(mut args: Vec<OsString>, at: usize, commands: &Command) -> Result<Vec<OsString>, Failure> {
    args.remove(at);
    args.push("--help".into());
    if first_word(&args, at).is_some() { expand(args, commands) } else { Ok(args) }
}

/// Adds the subcommand that is meant by a command without one: `key` is `key show`, `scenario NAME` is `scenario show NAME`.
fn with_default(mut args: Vec<OsString>, at: usize, commands: &Command) -> Vec<OsString> {
    let Some(word) = args[at].to_str().map(str::to_owned) else { return args };
    let Some((_, default)) = DEFAULTS.iter().find(|(command, _)| *command == word) else { return args };
    let asks_for_help = args[at..].iter().any(|arg| ["-h", "--help", "-V", "--version"].iter().any(|flag| arg == flag));
    let next = first_word(&args, at + 1).and_then(|next| args[next].to_str());
    let is_known = |next: &str| commands.find_subcommand(&word).is_some_and(|it| it.find_subcommand(next).is_some());
    let insert = match next {
        Some(next) if is_known(next) => None,
        Some("help") => {
            let index = first_word(&args, at + 1);
            index.map(|index| args.remove(index));
            args.push("--help".into());
            None
        }
        Some(next) if word == "scenario" && is_scenario(next) => Some("show"),
        Some(next) if word == "runs" && is_run_id(next) => Some("show"),
        Some(_) => None,
        None if asks_for_help => None,
        None => Some(*default),
    };
    if let Some(subcommand) = insert {
        args.insert(at + 1, subcommand.into());
    }
    args
}

/// Returns true for the end of a run id, and for `last`.
fn is_run_id(word: &str) -> bool {
    word == "last" || (word.len() >= 2 && word.chars().all(|c| c.is_ascii_hexdigit() || "TZ.-".contains(c)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn expanded(line: &str) -> String {
        let args = line.split_whitespace().map(OsString::from).collect();
        let result = expand(args, &Cli::command());
        result.map_or_else(
            |failure| format!("{failure}; {}", failure.hint.as_deref().unwrap_or("no hint")),
            |args| args.join(OsStr::new(" ")).into_string().expect("UTF-8"),
        )
    }

    #[test]
    fn other_spellings_become_commands() {
        let cases = [
            ("", ""),
            ("up --port 0", "up --port 0"),
            ("help", "--help"),
            ("help up", "up --help"),
            ("help run", "scenario run --help"),
            ("help scenario run", "scenario run --help"),
            ("help scenario", "scenario --help"),
            ("scenario help", "scenario --help"),
            ("version", "--version"),
            ("ps", "status"),
            ("--name room-2 ps", "--name room-2 status"),
            ("--name=room-2 run rotate-key", "--name=room-2 scenario run rotate-key"),
            ("run rotate-key --keep", "scenario run rotate-key --keep"),
            ("scenario rotate-key", "scenario show rotate-key"),
            ("scenarios rotate-key --hints", "scenario show rotate-key --hints"),
            ("scenario my.yaml", "scenario show my.yaml"),
            ("scenario run rotate-key", "scenario run rotate-key"),
            ("scenario", "scenario list"),
            ("scenarios --json", "scenario list --json"),
            ("scenario --help", "scenario --help"),
            ("scenario lst", "scenario lst"),
            ("runs", "runs list"),
            ("runs 7f3a", "runs show 7f3a"),
            ("runs last --json", "runs show last --json"),
            ("key", "key show"),
            ("key --name room-2", "key show --name room-2"),
            ("report 7f3a --html a.html", "runs report 7f3a --html a.html"),
            ("report", "runs report --markdown -"),
            ("log -f", "logs -f"),
            ("upp", "upp"),
        ];
        for (typed, meant) in cases {
            assert_eq!(expanded(typed), meant, "lab {typed}");
        }
    }

    #[test]
    fn words_without_a_command_name_the_ones_that_do_it() {
        assert!(expanded("rm room-2").starts_with("unknown command \"rm\"; lab down [NAME]"));
        assert!(expanded("list").contains("lab scenario list"));
        assert!(expanded("help exec").contains("lab db query"));
        assert!(expanded("rotate-key").contains("lab scenario run rotate-key"));
    }

    #[test]
    fn no_word_hides_a_command_and_every_spelling_exists() {
        let lab = Cli::command();
        for (word, meaning) in WORDS {
            assert!(lab.find_subcommand(word).is_none(), "{word} is a command");
            let Spelling(command) = meaning else { continue };
            let mut found = &lab;
            for part in command.iter().filter(|part| !part.starts_with('-')) {
                // `open grafana` has an argument.
                found = found.find_subcommand(part).unwrap_or(found);
            }
            assert!(found.get_name() != "lab" || *word == "version", "{word} leads nowhere");
        }
        for (command, _) in MISSING {
            let mut found = &lab;
            for part in command.split(' ') {
                found = found.find_subcommand(part).unwrap_or_else(|| panic!("{command} does not exist"));
            }
        }
    }

    #[test]
    fn advice_names_commands_that_exist() {
        let lab = Cli::command();
        let advice =
            WORDS.iter().filter_map(|(_, meaning)| if let Advice(advice) = meaning { Some(*advice) } else { None });
        for advice in advice.chain(MISSING.map(|(_, hint)| hint)) {
            for mention in advice.split("lab ").skip(1) {
                let word = mention.split_whitespace().next().unwrap_or_default().trim_end_matches([',', ';']);
                // "a lab, …" is no command.
                let is_command = lab.find_subcommand(word).is_some();
                assert!(is_command || ["shows", "lab", "live"].contains(&word), "{advice:?}: lab {word}");
            }
        }
    }

    #[test]
    fn commands_without_their_arguments_have_a_hint() {
        let hint = |line: &str| missing_argument(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(hint("--name x scenario run"), Some("lab scenario list shows the names"));
        assert!(hint("start").is_some_and(|hint| hint.contains("lab up")));
        assert_eq!(hint("up"), None);
    }
}
