//! `background` and `stop_background`: traffic that goes on while the following steps run.

use std::time::Duration;

use super::fields::ActionFields;
use super::traffic::{self, Traffic};
use super::{Action, Definition, Effect, Profile, Reading, TrafficKind, keys, mapping_key};
use crate::Expected;
use crate::reader::Reader;
use crate::schema::{KeySpec, MappingSpec, Shape, kinds};
use crate::value;
use lab_traffic::Amount;
use lab_yaml::node::Text;
use lab_yaml::{did_you_mean, quote_first};

/// Duration of background traffic: longer than any run.
const UNLIMITED: Duration = Duration::from_hours(24);

static KEYS: MappingSpec = MappingSpec {
    name: "background",
    label: "`background`",
    description: "Sends requests while the following steps run, until `stop_background` names this step or the run \
     ends.",
    keys: keys::load![],
    one_of: &[],
    exclusive: &[],
};

pub(super) static BACKGROUND: Definition = Definition::new(
    mapping_key(&KEYS, "sends requests while the following steps run; give the step a `name`", "{ rate: 10 }"),
    Reading::Fields(|fields| Some(read(fields))),
)
.with_traffic(TrafficKind::Background)
.with_traffic_hint("move it to a later step, as `background.NAME.status.200`");

pub(super) static STOP_BACKGROUND: Definition = Definition::new(
    KeySpec::new(
        "stop_background",
        Shape::Scalar(kinds::BACKGROUND),
        "ends the background traffic of the step with this name",
        "users",
    ),
    Reading::Scalar(read_stop),
);

fn read(mut fields: ActionFields<'_, '_>) -> Action {
    let rate = fields.value("rate", value::rate);
    Action::Background(traffic::load(&mut fields, Amount::Duration(UNLIMITED), rate))
}

/// Reads the name of an earlier step with background traffic.
fn read_stop(reader: &mut Reader<'_>, text: &Text) -> Option<Action> {
    let context = reader.context;
    let names: Vec<&str> = context.backgrounds().map(|step| step.name.as_str()).collect();
    let known = if names.is_empty() {
        "no earlier step has a `name` and a `background`".to_owned()
    } else {
        format!("expected the name of a step with `background`: {}", quote_first(names.iter().copied()))
    };
    let few = reader.out.are_few();
    reader.fixed("stop_background", text, |name| match context.backgrounds().find(|step| step.name == name) {
        Some(step) => Ok(Action::StopBackground { step: step.id, name: name.to_owned() }),
        None if few => Err(Expected::new(did_you_mean(name, names.iter().copied(), &known))),
        None => Err(Expected::new(known.clone())),
    })
}

pub(super) fn profile<'a>() -> Profile<'a> {
    Profile { effect: Effect::ControlsTraffic, ..Profile::observation() }
}

pub(super) fn describe(traffic: &Traffic) -> String {
    format!("{} in the background from now on", traffic::describe_load(traffic))
}

pub(super) fn describe_stop(name: &str) -> String {
    format!("{name} stops")
}
