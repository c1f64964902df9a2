//! `run`: runs a command on this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::fields::ActionFields;
use super::{Action, Amounts, Definition, Effect, Profile, Reading, Requirement, mapping_key};
use crate::schema::{KeySpec, MappingSpec, Shape, kinds};
use crate::value;

static KEYS: MappingSpec = MappingSpec {
    name: "run",
    label: "`run`",
    description: "Runs a command on this machine. Requires `lab scenario run --allow-commands`.",
    keys: &[
        KeySpec::new(
            "command",
            Shape::ScalarOrList(kinds::PROGRAM),
            "the program and its arguments; no shell is involved",
            "[echo, hello]",
        )
        .required(),
        KeySpec::new("timeout", Shape::Scalar(kinds::STEP_DURATION), "timeout of the command", "30s")
            .default_value("1m"),
        KeySpec::new(
            "env",
            Shape::ScalarMap(kinds::ENV),
            "variables in addition to the environment of `lab`",
            "{ REGION: eu }",
        ),
        KeySpec::new("exit_code", Shape::Scalar(kinds::EXIT_CODE), "the expected exit code", "1").default_value("0"),
    ],
    one_of: &[],
    exclusive: &[],
};

pub(super) static DEFINITION: Definition = Definition::new(
    mapping_key(&KEYS, "runs a command on this machine; requires `--allow-commands`", "{ command: [echo, hello] }"),
    Reading::Fields(read),
)
.with_outputs(&["stdout", "exit_code"]);

/// A command with its arguments, run without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Working directory: the folder of the scenario file. `None`: lab's own.
    pub folder: Option<PathBuf>,
    /// In addition to lab's environment and the addresses of the lab.
    pub env: BTreeMap<String, String>,
    /// Time after which the command is killed and the step fails.
    pub timeout: Duration,
    /// Expected exit code.
    pub exit_code: u8,
}

fn read(mut fields: ActionFields<'_, '_>) -> Option<Action> {
    let mut command = Vec::new();
    for (index, text) in fields.list("command").iter().enumerate() {
        let read = if index == 0 { value::program } else { value::argument };
        command.extend(fields.reader.value("command", text, read));
    }
    let mut env = BTreeMap::new();
    for (name, text) in fields.map("env") {
        let known = fields.reader.fixed("env", &name, value::env_name);
        let text = text.and_then(|text| fields.reader.value(&name.text, &text, value::env_value));
        env.extend(known.zip(text));
    }
    let timeout = fields.value_or_default("timeout", value::step_duration);
    let exit_code = fields.value_or_default("exit_code", value::exit_code);
    let folder = fields.reader.folder.map(std::path::Path::to_path_buf);
    // A missing or wrong list has been reported.
    (!command.is_empty()).then_some(Action::Run(Command { command, folder, env, timeout, exit_code }))
}

pub(super) fn profile(command: &Command) -> Profile<'_> {
    let item = |target: &str, part: &str| (target.to_owned(), part.to_owned());
    Profile {
        effect: Effect::Changes,
        requirement: Requirement::Commands,
        amounts: Amounts { deadline: Some(command.timeout.as_secs_f64()), ..Amounts::default() },
        // A command can change anything.
        undo: vec![item("both sides", "key"), item("every service", "state")],
        ..Profile::observation()
    }
}

pub(super) fn describe(command: &Command) -> String {
    format!("on this machine: {}", command.command.join(" "))
}
