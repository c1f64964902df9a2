//! `rotate_key`: another key for the server or for callers.

use super::fields::ActionFields;
use super::{Action, Definition, Effect, Profile, Reading, Requirement, caller_undo, callers_do, keys, mapping_key};
use crate::schema::{KeySpec, MappingSpec, Shape, kinds};
use crate::value;
use lab_core::engine::{APP, Ability, KEY_VARIABLE};
use lab_core::event::Phase;
use lab_yaml::Diagnostic;

static KEYS: MappingSpec = MappingSpec {
    name: "rotate_key",
    label: "`rotate_key`",
    description: "Makes the server expect another key, which redeploys the app, or makes callers send another one.",
    keys: &[
        KeySpec::new("server", Shape::Scalar(kinds::KEY), "the new key of the server", "apikey-v2"),
        KeySpec::new("caller", Shape::Scalar(kinds::KEY), "alternatively, the new key of the callers", "apikey-v3"),
        keys::CALLERS.requires("caller"),
    ],
    one_of: &["server", "caller"],
    exclusive: &[],
};

pub(super) static DEFINITION: Definition = Definition::new(
    mapping_key(&KEYS, "makes the server expect, or callers send, another key", "{ server: apikey-v2 }"),
    Reading::Fields(read),
);

fn read(mut fields: ActionFields<'_, '_>) -> Option<Action> {
    let both = [fields.text("server"), fields.text("caller")];
    let at = |message: &str, place| Diagnostic::at(message, place).label("expected `server: KEY` or `caller: KEY`");
    match &both {
        [Some(_), Some(caller)] => {
            fields.reader.out.push(at("`caller` cannot be combined with `server`", &caller.place));
            None
        }
        [None, None] => {
            fields.reader.out.push(at("`rotate_key` needs `server` or `caller`", &fields.step.place));
            None
        }
        [Some(_), None] => {
            if let Some(first) = fields.list("callers").first() {
                let message = "`callers` cannot be combined with `server`";
                let label = "`callers` can only be combined with `caller`";
                fields.reader.out.push(Diagnostic::at(message, &first.place).label(label));
            }
            Some(Action::RotateKey { server: fields.value("server", value::server_key)? })
        }
        [None, Some(_)] => {
            let callers = fields.callers();
            Some(Action::CallerKey { key: fields.value("caller", value::server_key)?, callers })
        }
    }
}

pub(super) fn server_profile<'a>() -> Profile<'a> {
    let participle = "given another key";
    Profile {
        effect: Effect::Changes,
        phase: Some(Phase::Inject),
        requirement: Requirement::Ability { service: APP, ability: Ability::SetEnv, participle, change: None },
        undo: vec![(APP.to_owned(), KEY_VARIABLE.to_owned())],
        ..Profile::observation()
    }
}

pub(super) fn caller_profile(callers: &[String]) -> Profile<'_> {
    Profile {
        effect: Effect::Changes,
        phase: Some(Phase::Inject),
        undo: caller_undo(callers),
        ..Profile::observation()
    }
}

pub(super) fn describe_server(key: &str) -> String {
    format!("app redeployed, the server expects {key}")
}

pub(super) fn describe_callers(callers: &[String], key: &str) -> String {
    format!("{} {key}", callers_do(callers, "sends", "send"))
}
