//! `set_env`: redeploys a service with changed environment variables.

use super::change::{Change, Verb, service};
use super::fields::ActionFields;
use super::{Action, Definition, Reading, mapping_key};
use crate::file::Args;
use crate::schema::{KeySpec, MappingSpec, Shape, kinds};
use crate::value;
use lab_core::engine::{KEY_VARIABLE, ServiceChange};
use lab_yaml::Diagnostic;

static KEYS: MappingSpec = MappingSpec {
    name: "set_env",
    label: "`set_env`",
    description: "Redeploys a service with changed environment variables. Variables that reach outside the lab are \
     rejected.",
    keys: &[
        KeySpec::new("service", Shape::Scalar(kinds::SERVICE), "the service", "app").required(),
        KeySpec::new(
            "env",
            Shape::NullableMap(kinds::ENV),
            "variables and their values; `null` removes a variable",
            "{ APP_DB_POOL: 2, APP_RATE_LIMIT: null }",
        )
        .required(),
        KeySpec::new(
            "rolled_back",
            Shape::Scalar(kinds::BOOL),
            "whether the new version is expected to stay unhealthy, so that the old one keeps serving",
            "true",
        )
        .default_value("false"),
    ],
    one_of: &[],
    exclusive: &[],
};

pub(super) static DEFINITION: Definition = Definition::new(
    mapping_key(
        &KEYS,
        "redeploys a service with changed environment variables",
        "{ service: app, env: { APP_DB_POOL: 2 } }",
    ),
    Reading::Fields(read),
);

fn read(mut fields: ActionFields<'_, '_>) -> Option<Action> {
    let mut change = ServiceChange::default();
    let env = fields.map("env");
    for (name, text) in &env {
        let known = fields.reader.fixed("env", name, value::env_name);
        let read = if name.text == KEY_VARIABLE { value::server_key } else { value::env_value };
        let text = text.as_ref().map(|text| fields.reader.value(&name.text, text, read));
        // A wrong value has been reported, and the step is not used.
        if let (Some(name), None | Some(Some(_))) = (known, &text) {
            change.env.insert(name, text.flatten());
        }
    }
    let text = fields.text("service")?;
    let service = fields.reader.fixed("service", &text, service)?;
    for (name, _) in &env {
        if let Err(why) = value::env_of(&service, &name.text) {
            let message = format!("`{}` of `{service}` cannot be set", name.text);
            fields.reader.out.push(Diagnostic::at(message, &name.place).label(why));
        }
    }
    // An `env` that is not a mapping has been reported.
    if env.is_empty() && matches!(&fields.step.args, Args::Fields { maps, .. } if maps.contains_key("env")) {
        fields.reader.out.push(
            Diagnostic::at("`set_env` changes no variable", &fields.step.place)
                .label("expected `env: { NAME: value }`"),
        );
    }
    let rolled_back = fields.value_or_default("rolled_back", value::boolean);
    Some(Action::Change(Change { verb: Verb::SetEnv, service, change, rolled_back }))
}

pub(super) fn describe(change: &Change) -> String {
    let set = change.change.env.iter().map(|(name, value)| match value {
        Some(value) => format!("{name}={value}"),
        None => format!("{name} unset"),
    });
    let back = if change.rolled_back { ", expected to fail and be rolled back" } else { "" };
    format!("{} redeployed: {}{back}", change.service, set.collect::<Vec<_>>().join(", "))
}
