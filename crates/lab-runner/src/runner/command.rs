//! The `run` action: executes a user command with the lab's addresses in its environment. The exit code is evaluated
//! like an expectation.

use super::act::{Acted, Facts, Own};
use super::change::record_all;
use super::context::Context;
use super::observe::Observation;
use lab_core::event::{ExpectationResult, Secrets};
use lab_scenario::plan::Command;
use lab_system::process::{Ended, How, Job};

/// Maximum length of a reported output line, in characters.
const LINE: usize = 400;

pub(super) async fn run(context: &Context, wanted: &Command, now: &Observation) -> Result<Acted, String> {
    let Some(processes) = &context.processes else { return Err("commands are not allowed in this run".to_owned()) };
    if !record_all(context).await? {
        return Ok(Acted::default());
    }
    let mut env = addresses(context, now);
    env.extend(wanted.env.clone());
    let Command { command, folder, timeout, .. } = wanted.clone();
    let job = Job { command, folder, env: env.into_iter().collect(), timeout };
    let ended = processes.run(&job, &context.stop).await.map_err(|error| error.to_string())?;
    let own = Own { anything: true, ..Own::default() };
    if ended.how == How::Stopped {
        return Ok(Acted { own, ..Acted::default() });
    }
    Ok(Acted { own, ..judged(wanted, ended, &context.secrets) })
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

fn judged(wanted: &Command, ended: Ended, secrets: &Secrets) -> Acted {
    let program = wanted.command.first().map_or("", |program| program.rsplit('/').next().unwrap_or(program));
    let code = match ended.how {
        How::Code(code) => Some(code),
        _ => None,
    };
    let text = match ended.how {
        How::Code(code) => code.to_string(),
        How::Signal(signal) => format!("ended by signal {signal}"),
        How::TimedOut => format!("did not finish within {:?}", wanted.timeout),
        How::Stopped => "stopped".to_owned(),
    };
    let detail = if code.is_some() { format!("{program} exit {text}") } else { format!("{program} {text}") };
    let result = ExpectationResult {
        metric: "run.exit_code".to_owned(),
        expected: format!("== {}", wanted.exit_code),
        observed: code.map(f64::from),
        observed_text: text,
        passed: code == Some(i32::from(wanted.exit_code)),
    };
    let facts = Facts { stdout: Some(ended.stdout), exit_code: code, ..Facts::default() };
    // Masked before truncation, because a truncated secret would not be recognised.
    let output = ended.lines.iter().map(|line| secrets.mask(line).chars().take(LINE).collect()).collect();
    // Its effect is unknown, so assume that it changed the lab.
    Acted { detail: Some(detail), changed: true, checks: vec![result], output, facts, ..Acted::default() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{Command, Ended, How, LINE, Secrets, judged};

    #[test]
    fn a_secret_is_masked_before_its_line_is_cut() {
        let mut secrets = Secrets::default();
        secrets.add("hush-hush");
        let (command, env) = (vec!["say".to_owned()], BTreeMap::new());
        let wanted = Command { command, folder: None, env, timeout: Duration::from_secs(1), exit_code: 0 };
        let lines = vec![format!("{}hush-hush", "x".repeat(LINE - 5)), "y".repeat(LINE + 1)];
        let ended = Ended { how: How::Code(0), stdout: String::new(), lines };
        let acted = judged(&wanted, ended, &secrets);
        assert_eq!(acted.output, [format!("{}***", "x".repeat(LINE - 5)), "y".repeat(LINE)]);
    }
}
