//! The `run` action: executes a user command with the lab's addresses in its environment. The exit code is evaluated
//! like an expectation.

use super::{ActionResult, OwnChanges, StepOutputs};
use crate::runner::change::record_everything;
use crate::runner::context::Context;
use crate::runner::error::StepError;
use crate::runner::observation::Observation;
use lab_core::event::{ExpectationResult, Secrets};
use lab_scenario::plan::Command;
use lab_system::process::{Ended, How, Job};

/// Maximum length of a reported output line, in characters.
const MAX_LENGTH: usize = 400;

pub(super) async fn run(context: &Context, command: &Command, now: &Observation) -> Result<ActionResult, StepError> {
    let Some(processes) = &context.processes else { return Err(StepError::CommandsNotAllowed) };
    if !record_everything(context).await? {
        return Ok(ActionResult::default());
    }
    let mut env = addresses(context, now);
    env.extend(command.env.clone());
    let Command { command: program, folder, timeout, .. } = command.clone();
    let job = Job { command: program, folder, env: env.into_iter().collect(), timeout };
    let ended = processes.run(&job, &context.stop).await?;
    let own = OwnChanges { anything: true, ..OwnChanges::default() };
    if ended.how == How::Stopped {
        return Ok(ActionResult { own, ..ActionResult::default() });
    }
    Ok(ActionResult { own, ..evaluate(command, ended, &context.secrets) })
}

/// Environment of a command: the lab's addresses, and the settings with which `lab` selects the same lab.
fn addresses(context: &Context, now: &Observation) -> Vec<(String, String)> {
    let endpoints = &now.description.endpoints;
    let state = context.lab.folder().root().ancestors().nth(2);
    let known = [
        ("LAB_NAME", Some(context.lab.name().to_owned())),
        ("LAB_ENGINE", Some(context.engine.name().to_owned())),
        ("LAB_RUN_ID", Some(context.id.clone())),
        ("LAB_STATE_DIR", state.map(|state| state.display().to_string())),
        ("LAB_GATEWAY_URL", Some(endpoints.gateway.clone())),
        ("LAB_METRICS_URL", endpoints.metrics.first().map(|metrics| metrics.url.clone())),
        ("LAB_PROMETHEUS_URL", endpoints.prometheus.clone()),
        ("LAB_GRAFANA_URL", endpoints.grafana.clone()),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn evaluate(command: &Command, ended: Ended, secrets: &Secrets) -> ActionResult {
    let program = command.command.first().map_or("", |program| program.rsplit('/').next().unwrap_or(program));
    let code = match ended.how {
        How::Code(code) => Some(code),
        _ => None,
    };
    let text = match ended.how {
        How::Code(code) => code.to_string(),
        How::Signal(signal) => format!("ended by signal {signal}"),
        How::TimedOut => format!("did not finish within {:?}", command.timeout),
        How::Stopped => "stopped".to_owned(),
    };
    let detail = if code.is_some() { format!("{program} exit {text}") } else { format!("{program} {text}") };
    let result = ExpectationResult {
        metric: "run.exit_code".to_owned(),
        expected: format!("== {}", command.exit_code),
        observed: code.map(f64::from),
        observed_text: text,
        passed: code == Some(i32::from(command.exit_code)),
    };
    let outputs = StepOutputs { stdout: Some(ended.stdout), exit_code: code, ..StepOutputs::default() };
    // Masked before truncation, because a truncated secret would not be recognised.
    let output = ended.lines.iter().map(|line| secrets.mask(line).chars().take(MAX_LENGTH).collect()).collect();
    // Its effect is unknown, so assume that it changed the lab.
    ActionResult {
        detail: Some(detail),
        changed: true,
        checks: vec![result],
        output,
        outputs,
        ..ActionResult::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{Command, Ended, How, MAX_LENGTH, Secrets, evaluate};

    #[test]
    fn a_secret_is_masked_before_its_line_is_cut() {
        let mut secrets = Secrets::default();
        secrets.add("hush-hush");
        let (command, env) = (vec!["say".to_owned()], BTreeMap::new());
        let command = Command { command, folder: None, env, timeout: Duration::from_secs(1), exit_code: 0 };
        let lines = vec![format!("{}hush-hush", "x".repeat(MAX_LENGTH - 5)), "y".repeat(MAX_LENGTH + 1)];
        let ended = Ended { how: How::Code(0), stdout: String::new(), lines };
        let result = evaluate(&command, ended, &secrets);
        assert_eq!(result.output, [format!("{}***", "x".repeat(MAX_LENGTH - 5)), "y".repeat(MAX_LENGTH)]);
    }
}
