//! Actions that change a service: `set_env`, `stop`, `kill`, `start`, `pause` and `unpause`.

use super::{ActionResult, OwnChanges};
use crate::runner::change::change as apply;
use crate::runner::context::Context;
use crate::runner::error::StepError;
use lab_core::engine::{RunState, ServiceChange, environment};
use lab_scenario::plan::{Change, Verb};

pub(super) async fn change(context: &Context, wanted: &Change) -> Result<ActionResult, StepError> {
    let Change { verb, service, change: to, rolled_back } = wanted;
    let roles = context.engine.roles();
    let service = roles.service(service);
    check_values(context, service, to)?;
    let done = apply(context, service, to, *rolled_back).await?;
    let key = to.env.get(&roles.key_variable).filter(|_| service == roles.app).cloned();
    let state = to.run.map(|run| (service.to_owned(), run));
    let own = OwnChanges { server: key, state, ..OwnChanges::default() };
    if *rolled_back {
        return Ok(done.into_rolled_back(service, own));
    }
    let detail = match verb {
        Verb::SetEnv => format!("{service} {}", variables(to)),
        Verb::Stop => format!("{service} stopped"),
        Verb::Kill => format!("{service} killed"),
        Verb::Pause => format!("{service} paused"),
        Verb::Start | Verb::Unpause => format!("{service} running"),
    };
    let already = match verb {
        Verb::SetEnv => format!("{service} already has {}", variables(to)),
        _ => format!("{service} already {}", to.run.map_or("so", RunState::name)),
    };
    Ok(ActionResult { killed: to.abrupt, ..done.into_result(detail, already, own) })
}

/// Checks values from earlier steps, which are only known now, by the same rules as values in the file: they must stay
/// inside the lab.
fn check_values(context: &Context, service: &str, to: &ServiceChange) -> Result<(), StepError> {
    let services = context.engine.services();
    let Some(spec) = services.iter().find(|spec| spec.name == service) else { return Ok(()) };
    match environment::refusals(spec, to, &services, true) {
        refusals if refusals.is_empty() => Ok(()),
        refusals => Err(StepError::Refused(refusals)),
    }
}

fn variables(change: &ServiceChange) -> String {
    let shown = |(name, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => format!("{name} unset"),
    };
    change.env.iter().map(shown).collect::<Vec<_>>().join(" ")
}
