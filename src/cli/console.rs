//! Commands of a room's console: an explicit list of verbs, options and arguments. Everything else is refused, so a new
//! option is refused until it is listed here. Nothing on the list names a file, a host, another lab, the state folder or the
//! daemon, and nothing runs until it is ended.

use std::ffi::OsString;
use std::sync::LazyLock;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

use super::{Cli, habits, without_controls};

/// Verbs with their options and arguments, by the ids that clap derives from the fields.
const OFFERED: [(&str, &[&str]); 33] = [
    ("status", &["json"]),
    ("logs", &["services", "tail", "since", "timestamps", "json"]),
    ("stop", &["services"]),
    ("start", &["services"]),
    ("restart", &["services"]),
    ("kill", &["services"]),
    ("pause", &["services"]),
    ("unpause", &["services"]),
    ("env", &["service", "json"]),
    ("env set", &["service", "variables"]),
    ("env unset", &["service", "names"]),
    ("history", &["service", "json"]),
    ("rollback", &["service", "to"]),
    ("key", &[]),
    ("key show", &["json"]),
    ("key rotate", &["key"]),
    ("key align", &["caller"]),
    ("request", &["path", "method", "headers", "data", "key", "no_key", "timeout", "json", "include", "silent"]),
    (
        "traffic",
        &[
            "keys",
            "as_callers",
            "path",
            "method",
            "headers",
            "body",
            "rate",
            "poisson",
            "seed",
            "requests",
            "duration",
            "connections",
            "no_keepalive",
            "timeout",
            "connect_timeout",
            "expects",
            "json",
        ],
    ),
    ("callers", &[]),
    ("callers status", &["json"]),
    ("drill", &[]),
    ("drill status", &["json"]),
    ("drill ack", &[]),
    ("drill hint", &["open", "json"]),
    ("drill diagnose", &["answer", "json"]),
    ("drill update", &["to", "state", "affected", "since", "next", "text", "yes"]),
    ("db", &[]),
    ("db query", &["sql", "timeout", "rows", "json", "csv"]),
    ("query", &["expression", "range", "json"]),
    ("metrics", &["filter", "raw", "json"]),
    ("help", &[]),
    ("", &[]),
];

/// The whole command line, with its global options in every subcommand.
static LAB: LazyLock<Command> = LazyLock::new(|| {
    let mut lab = Cli::command();
    lab.build();
    lab
});

/// A line of a console that was accepted.
#[derive(Debug)]
pub(crate) enum ConsoleCommand {
    /// A command, with its arguments as they are to be passed to lab.
    Run(Box<Cli>, Vec<String>),
    /// Help about a verb, or about the console. Its text.
    Help(String),
}

/// Parses the words of a line, with or without `lab` at the beginning.
///
/// # Errors
/// The text for the participant, if the line is malformed or not offered.
pub(crate) fn parse_console(words: &[String]) -> Result<ConsoleCommand, String> {
    let words = words.strip_prefix(&["lab".to_owned()]).unwrap_or(words);
    if words.is_empty() {
        return Ok(ConsoleCommand::Help(help(&[])));
    }
    let args = habits::expand(words.iter().map(OsString::from).collect(), &LAB).map_err(|failure| {
        let hint = failure.hint.map(|hint| format!("\nnext: {hint}")).unwrap_or_default();
        format!("{}{hint}", failure.message)
    })?;
    let verb = verb(&args);
    if offer(&verb.join(" ")).is_none() {
        return Err(not_offered(&format!("lab {}", verb.join(" "))));
    }
    let matches = LAB.clone().try_get_matches_from(std::iter::once("lab".into()).chain(args.iter().cloned()));
    let matches = match matches {
        Ok(matches) => matches,
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                return Ok(ConsoleCommand::Help(help(&verb)));
            }
            ErrorKind::DisplayVersion => return Err(not_offered("--version")),
            _ => return Err(without_controls(error, &args).render().to_string().trim_end().to_owned()),
        },
    };
    check(&matches, &LAB, "")?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.render().to_string().trim_end().to_owned())?;
    let args = args.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    Ok(ConsoleCommand::Run(Box::new(cli), args))
}

fn offer(verb: &str) -> Option<&'static [&'static str]> {
    OFFERED.iter().find(|(offered, _)| *offered == verb).map(|(_, arguments)| *arguments)
}

fn not_offered(what: &str) -> String {
    format!("{what} is not offered in this console\nnext: help lists the commands, help VERB their options")
}

/// Words of the arguments that name a verb and its subcommand.
fn verb(args: &[OsString]) -> Vec<String> {
    let (mut command, mut verb): (&Command, _) = (&LAB, Vec::new());
    for arg in args {
        let Some(found) = arg.to_str().and_then(|word| command.find_subcommand(word)) else { break };
        verb.push(found.get_name().to_owned());
        command = found;
    }
    verb
}

/// Refuses verbs and arguments that are not offered.
fn check(matches: &ArgMatches, command: &Command, verb: &str) -> Result<(), String> {
    let Some(offered) = offer(verb) else { return Err(not_offered(&format!("lab {verb}"))) };
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let is_known = matches.try_contains_id(id).is_ok();
        let source = if is_known { matches.value_source(id) } else { None };
        if !matches!(source, None | Some(ValueSource::DefaultValue)) && !offered.contains(&id) {
            let typed = argument.get_long().map_or_else(
                || format!("the argument {}", argument.get_value_names().unwrap_or_default().join(" ")),
                |long| format!("--{long}"),
            );
            return Err(not_offered(&typed));
        }
    }
    let Some((name, below)) = matches.subcommand() else { return Ok(()) };
    let Some(found) = command.find_subcommand(name) else { return Err(not_offered(name)) };
    check(below, found, format!("{verb} {name}").trim_start())
}

/// Help about a verb with what is offered, or about all of them.
fn help(verb: &[String]) -> String {
    let lab =
        only_offered(LAB.clone(), "").after_help("help VERB shows the options of a command. `lab` can be left out.");
    let command = verb.iter().try_fold(&lab, |command, name| command.find_subcommand(name)).unwrap_or(&lab);
    command.clone().render_help().to_string().trim_end().to_owned()
}

/// A command with only what is offered of it.
fn only_offered(command: Command, verb: &str) -> Command {
    let offered = offer(verb).unwrap_or_default();
    let hidden: Vec<String> = command
        .get_arguments()
        .map(|argument| argument.get_id().to_string())
        .filter(|id| !offered.contains(&id.as_str()))
        .collect();
    let below: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    let examples = command.get_after_help().map(|text| offered_examples(&text.to_string()));
    let mut command =
        hidden.into_iter().fold(command, |command, id| command.mut_arg(id, |argument| argument.hide(true)));
    for name in below {
        let path = format!("{verb} {name}");
        let path = path.trim_start().to_owned();
        let is_offered = offer(&path).is_some();
        command = command.mut_subcommand(name, |below| only_offered(below, &path).hide(!is_offered));
    }
    match examples {
        Some(examples) => command.after_help(examples),
        None => command,
    }
}

/// The help text after the options, without examples of what is not offered.
fn offered_examples(text: &str) -> String {
    let is_shown = |line: &&str| line.strip_prefix("  lab ").is_none_or(is_offered);
    let lines: Vec<&str> = text.lines().filter(is_shown).collect();
    let text = lines.join("\n");
    if text.trim() == "Examples:" { String::new() } else { text }
}

/// Whether a command that an example or a hint names is offered, judged by its verb and by the names of its options. `command`
/// is without `lab`.
pub(crate) fn is_offered(command: &str) -> bool {
    let words = command.split(' ').map(OsString::from).collect();
    let Ok(args) = habits::expand(words, &LAB) else { return false };
    let verb = verb(&args);
    let Some(offered) = offer(&verb.join(" ")).filter(|_| !verb.is_empty()) else { return false };
    let command = verb.iter().try_fold(&*LAB, |command, name| command.find_subcommand(name));
    let is_known = |arg: &OsString| {
        let Some(arg) = arg.to_str().filter(|arg| arg.starts_with('-')) else { return true };
        let arguments = command.into_iter().flat_map(Command::get_arguments);
        arguments.filter(|argument| offered.contains(&argument.get_id().as_str())).any(|argument| {
            argument.get_long().is_some_and(|long| arg == format!("--{long}"))
                || argument.get_short().is_some_and(|short| arg == format!("-{short}"))
        })
    };
    args.iter().all(is_known)
}

#[cfg(test)]
mod tests;
