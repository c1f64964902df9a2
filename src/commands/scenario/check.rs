//! `lab scenario check`: executes a scenario's resolved check or symptom check in a running lab, and reports what fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::current::{CurrentScenario, no_check};
use crate::cli::CheckArgs;
use crate::commands::drill::refuse_spoiler;
use crate::commands::session::Session;
use crate::commands::signals;
use lab_core::error::Exit;
use lab_core::event::Status;
use lab_report::report::{human, short_id, status_name, status_tone, text};
use lab_report::term::{Tone, clean};
use lab_runner::lab::StateFolder;
use lab_runner::runner::{CheckResult, Checks, Signal, check};
use lab_scenario::{Plan, Source};
use lab_telemetry::wire::NetWire;

/// Document of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    scenario: &'a str,
    lab: &'a str,
    /// `resolved_check` or `symptom_check`.
    check: &'static str,
    /// Run whose parameters were used.
    run: Option<&'a str>,
    parameters: &'a BTreeMap<String, String>,
    passed: bool,
    /// Checks that were not executed because an earlier one could not be.
    not_executed: usize,
    checks: &'a [CheckResult],
}

pub(super) async fn run(session: &Session, args: &CheckArgs) -> anyhow::Result<Exit> {
    refuse_spoiler(session, "lab scenario check")?;
    let state = StateFolder::open()?;
    let source = Source::parse(&args.scenario);
    let lab = session.lab()?;
    let CurrentScenario { plan, run, executed: _ } = CurrentScenario::named(&state, &lab, &source, &args.set)?;
    session.hide(&plan.secrets);
    let (key, steps) = if args.symptom {
        ("symptom_check", plan.claims.symptom_check.clone())
    } else {
        ("resolved_check", plan.claims.resolved_check.clone())
    };
    if steps.is_empty() {
        return Err(no_check(&plan, key).into());
    }
    let interrupt = signals::install()?;
    let connected = session.connect()?;
    // Only the check has to be supported by the engine, not the faults of the scenario.
    let only = Plan { steady_state: Vec::new(), steps: steps.clone(), finally: Vec::new(), ..plan.clone() };
    only.check_engine(connected.engine.name(), &connected.engine.services(), &connected.engine.roles())?;
    connected.describe().await?;
    let checks = Checks {
        lab: lab.clone(),
        engine: Arc::clone(&connected.engine),
        wire: Arc::new(NetWire::new()),
        interrupt: interrupt.clone(),
    };
    let results = check(checks, &plan, &steps).await;
    if let Some(signal) = interrupt.signal() {
        return Ok(Signal::exit(signal));
    }
    let not_executed = steps.len() - results.len();
    let passed = not_executed == 0 && results.iter().all(CheckResult::passed);
    if args.json {
        let (scenario, run, parameters) = (plan.name.as_str(), run.as_deref(), &plan.parameters);
        let lab = lab.name();
        session.json(&Report { scenario, lab, check: key, run, parameters, passed, not_executed, checks: &results })?;
    } else {
        if let Some(run) = &run {
            session.term.note(&format!("with the parameters of run {}", short_id(run)));
        }
        show(session, &results)?;
        session.line("")?;
        session.line(&verdict(session, args.symptom, &results, not_executed))?;
    }
    Ok(exit(&results, passed))
}

fn exit(results: &[CheckResult], passed: bool) -> Exit {
    match passed {
        true => Exit::Passed,
        false if results.iter().any(|result| result.status == Status::Error) => Exit::Failed,
        false => Exit::NotPassed,
    }
}

/// One line per check, and one per reason of a failed one.
fn show(session: &Session, results: &[CheckResult]) -> anyhow::Result<()> {
    let painter = session.term.painter();
    for result in results {
        let status = painter.paint(status_tone(result.status), &format!("{:<6}", status_name(result.status)));
        session.line(&format!("{status}  {}", clean(&result.what)))?;
        for reason in result.reasons() {
            for line in text::wrap(&clean(&reason), session.term.width().saturating_sub(8)) {
                session.line(&format!("        {line}"))?;
            }
        }
    }
    Ok(())
}

/// Last line: `resolved: all 3 checks passed`.
fn verdict(session: &Session, symptom: bool, results: &[CheckResult], not_executed: usize) -> String {
    let painter = session.term.painter();
    let total = results.len() + not_executed;
    let failed = results.iter().filter(|result| !result.passed()).count();
    let (yes, no) = if symptom { ("symptom present", "symptom absent") } else { ("resolved", "not resolved") };
    if failed + not_executed == 0 {
        let all = if total == 1 { "the check passed".to_owned() } else { format!("all {total} checks passed") };
        return format!("{}: {all}", painter.paint(Tone::Good, yes));
    }
    let mut facts = format!("{failed} of {} failed", human::count(total as u64, "check"));
    if not_executed > 0 {
        facts = format!("{facts}, {not_executed} not executed");
    }
    format!("{}: {facts}", painter.paint(Tone::Failed, no))
}
