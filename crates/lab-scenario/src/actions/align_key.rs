//! `align_key`: gives callers the key that the server expects.

use super::fields::ActionFields;
use super::{Action, Definition, Effect, Profile, Reading, caller_undo, callers_do, keys, mapping_key};
use crate::Expected;
use crate::schema::{KeySpec, MappingSpec, Shape, kinds};
use lab_core::event::Phase;

static KEYS: MappingSpec = MappingSpec {
    name: "align_key",
    label: "`align_key`",
    description: "Makes callers send the key that the server expects.",
    keys: &[
        KeySpec::new("caller", Shape::Scalar(kinds::SERVER), "the source of the key", "server").required(),
        keys::CALLERS,
    ],
    one_of: &[],
    exclusive: &[],
};

pub(super) static DEFINITION: Definition = Definition::new(
    mapping_key(&KEYS, "makes callers send the key that the server expects", "{ caller: server }"),
    Reading::Fields(read),
);

fn read(mut fields: ActionFields<'_, '_>) -> Option<Action> {
    fields.value("caller", |text| match text {
        "server" => Ok(()),
        _ => Err(Expected::new("expected `server`: the callers get the server's key")),
    })?;
    Some(Action::AlignKey { callers: fields.callers() })
}

pub(super) fn profile(callers: &[String]) -> Profile<'_> {
    Profile {
        effect: Effect::Changes,
        phase: Some(Phase::Remedy),
        undo: caller_undo(callers),
        ..Profile::observation()
    }
}

pub(super) fn describe(callers: &[String]) -> String {
    format!("{} the server's key", callers_do(callers, "gets", "get"))
}
