//! What stands at the cursor of a command line, for shell completions. The scripts that `lab completions` prints know the
//! commands and options; the names of services, scenarios, runs, labs, rooms, drills and diagnoses come
//! from `lab complete`.

use clap::{Arg, ArgAction, Command};

/// Kind of value at the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Service,
    Scenario,
    Run,
    Lab,
    Room,
    Drill,
    /// Where the cause of an incident is.
    Location,
    /// What it is.
    Cause,
}

impl ValueKind {
    /// Kind of an argument, from its name in the help text.
    fn of_argument(arg: &Arg) -> Option<Self> {
        let value = arg.get_value_names().and_then(<[_]>::first).map_or("", |name| name.as_str());
        match (arg.get_id().as_str(), value) {
            (_, "DRILL") => Some(Self::Drill),
            (_, "WHERE WHAT") => Some(Self::Location),
            ("name" | "lab", _) => Some(Self::Lab),
            ("room", _) => Some(Self::Room),
            ("id" | "one" | "other", _) => Some(Self::Run),
            (_, "SERVICE") => Some(Self::Service),
            (_, "SCENARIO" | "SCENARIO|FOLDER") | ("scenario", _) => Some(Self::Scenario),
            _ => None,
        }
    }
}

/// Arguments before the cursor.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// `None` for commands, options and other values.
    pub(crate) kind: Option<ValueKind>,
    /// Value of `--name`.
    pub(crate) lab: Option<String>,
    /// Arguments of the same kind that were given already.
    pub(crate) given: Vec<String>,
}

/// Finds the kind of the last word. `words` are those after `lab`; the last one is incomplete and may be empty.
pub(super) fn cursor(words: &[String], lab: &Command) -> Cursor {
    let mut cursor = Cursor::default();
    let Some((_, before)) = words.split_last() else { return cursor };
    let (mut command, mut positional, mut awaited): (&Command, usize, Option<&Arg>) = (lab, 0, None);
    let mut in_room = false;
    for word in before {
        if let Some(option) = awaited.take() {
            if option.get_id() == "name" {
                cursor.lab = Some(word.clone());
            }
        } else if let Some(name) = word.strip_prefix("--name=") {
            cursor.lab = Some(name.to_owned());
        } else if word.starts_with('-') {
            awaited = find_option(command, lab, word).filter(|option| takes_value(option) && !word.contains('='));
        } else if let Some(next) = command.find_subcommand(word) {
            in_room |= next.get_name() == "room";
            (command, positional) = (next, 0);
            cursor.given.clear();
        } else {
            cursor.given.push(word.clone());
            positional += 1;
        }
    }
    let current = awaited.or_else(|| {
        let positionals: Vec<&Arg> = command.get_positionals().collect();
        let last = positionals.last().copied().filter(|last| matches!(last.get_action(), ArgAction::Append));
        positionals.get(positional).copied().or(last)
    });
    let kind = match current.and_then(ValueKind::of_argument) {
        Some(ValueKind::Lab) if in_room => Some(ValueKind::Room),
        kind => kind,
    };
    // The names of a new scenario and of a new room cannot be completed.
    cursor.kind = kind.filter(|kind| match command.get_name() {
        "new" => false,
        "up" => *kind != ValueKind::Room,
        _ => true,
    });
    // A diagnosis is a pair.
    if cursor.kind == Some(ValueKind::Location) && cursor.given.len() % 2 == 1 {
        cursor.kind = Some(ValueKind::Cause);
    }
    cursor
}

fn find_option<'a>(command: &'a Command, lab: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or(word);
    let is_named = |arg: &&Arg| match name.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| name.strip_prefix('-') == Some(short.to_string().as_str())),
    };
    command.get_arguments().find(is_named).or_else(|| lab.get_arguments().find(is_named))
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Adds the values of `lab complete` to the script of a shell.
pub(super) fn with_values(script: &str, shell: clap_complete::Shell) -> String {
    match shell {
        clap_complete::Shell::Bash => format!("{script}{BASH}"),
        clap_complete::Shell::Zsh => {
            // The last lines register the function of the script. They are replaced by those of its extension.
            let end = script.rfind("if [ \"$funcstack[1]\"").unwrap_or(script.len());
            format!("{}{ZSH}", &script[..end])
        }
        clap_complete::Shell::Fish => format!("{script}{FISH}"),
        _ => script.to_owned(),
    }
}

const BASH: &str = r#"
# Names of services, scenarios, runs, labs, rooms, drills and diagnoses.
_lab_values() {
    local values
    values=$(lab complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1)
    if [[ -n $values ]]; then
        COMPREPLY=($(compgen -W "$values" -- "${COMP_WORDS[COMP_CWORD]}"))
    else
        _lab "$@"
    fi
}
complete -F _lab_values -o bashdefault -o default lab
"#;

const ZSH: &str = r#"# Names of services, scenarios, runs, labs, rooms, drills and diagnoses.
_lab_values() {
    local -a values
    values=("${(@f)$(lab complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    values=("${(@)values//:/\\:}")
    values=("${(@)values//$'\t'/:}")
    if [[ -n "${values[*]}" ]]; then
        _describe -V value values
    else
        _lab "$@"
    fi
}
compdef _lab_values lab
if [ "$funcstack[1]" = "_lab" ]; then
    _lab_values "$@"
fi
"#;

const FISH: &str = "
# Names of services, scenarios, runs, labs, rooms, drills and diagnoses.
complete -c lab -f -a '(lab complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn kind(line: &str) -> Option<ValueKind> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        cursor(&words, &Cli::command()).kind
    }

    #[test]
    fn the_kind_follows_from_the_command() {
        use ValueKind::{Cause, Drill, Lab, Location, Room, Run, Scenario, Service};
        for (line, expected) in [
            ("stop ", Some(Service)),
            ("stop app ga", Some(Service)),
            ("logs -f ", Some(Service)),
            ("logs --tail ", None),
            ("logs --tail 5 ", Some(Service)),
            ("--name ", Some(Lab)),
            ("status --name ro", Some(Lab)),
            ("down ", Some(Lab)),
            ("--name x stop ", Some(Service)),
            ("scenario run ", Some(Scenario)),
            ("scenario run rotate-key ", Some(Scenario)),
            ("scenario show ", Some(Scenario)),
            ("scenario new ", None),
            ("scenario ", None),
            ("runs show ", Some(Run)),
            ("runs diff 7f3a ", Some(Run)),
            ("runs report --html x.html ", Some(Run)),
            ("open report ", Some(Run)),
            ("key rotate ", None),
            ("room status ", Some(Room)),
            ("room down mon", Some(Room)),
            ("room reveal --name ", Some(Room)),
            ("room drill start --name ", Some(Room)),
            ("room drill start ", Some(Scenario)),
            ("room up ", None),
            ("room up --name ", None),
            ("room say ", None),
            ("drill show ", Some(Drill)),
            ("drill diagnose ", Some(Location)),
            ("drill diagnose gateway ", Some(Cause)),
            ("drill diagnose gateway slow ac", Some(Location)),
            ("", None),
        ] {
            assert_eq!(kind(line), expected, "lab {line}|");
        }
    }

    #[test]
    fn the_lab_and_earlier_arguments_are_known() {
        let words = ["stop", "--name", "room-2", "app", ""].map(str::to_owned);
        let cursor = cursor(&words, &Cli::command());
        assert_eq!((cursor.lab.as_deref(), cursor.given), (Some("room-2"), vec!["app".to_owned()]));
    }
}
