//! `lab scenario check`: executes a scenario's resolved check or symptom check in a running lab, and reports what fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::current::{CurrentScenario, no_check};
use crate::cli::CheckArgs;
use crate::commands::drill::refuse_spoiler;
use crate::commands::session::{Connected, Session};
use crate::commands::signals;
use lab_core::error::Exit;
use lab_core::event::Status;
use lab_report::report::{human, short_id, status_name, status_tone, text};
use lab_report::term::{Tone, clean};
use lab_runner::lab::{Lab, StateFolder};
use lab_runner::runner::{CheckResult, Checks, Interrupt, Signal, check};
use lab_scenario::{Diagnostics, Plan, Source, Step};
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
    /// The lab does not show the incident: it was not run here, its symptom check fails, and so does its resolved check.
    absent: bool,
    /// Checks that were not executed because an earlier one could not be.
    not_executed: usize,
    checks: &'a [CheckResult],
}

/// Result of a check.
struct Outcome {
    results: Vec<CheckResult>,
    not_executed: usize,
}

impl Outcome {
    fn passed(&self) -> bool {
        self.not_executed == 0 && self.results.iter().all(CheckResult::passed)
    }

    fn is_error(&self) -> bool {
        self.results.iter().any(|result| result.status == Status::Error)
    }

    fn exit(&self) -> Exit {
        match self.passed() {
            true => Exit::Passed,
            false if self.is_error() => Exit::Failed,
            false => Exit::NotPassed,
        }
    }
}

pub(super) async fn run(session: &Session, args: &CheckArgs) -> anyhow::Result<Exit> {
    refuse_spoiler(session, "lab scenario check")?;
    let state = StateFolder::open()?;
    let source = Source::parse(&args.scenario);
    let lab = session.lab()?;
    let current = CurrentScenario::named(&state, &lab, &source, &args.set)?;
    let CurrentScenario { plan, run, executed: _, unknown } = &current;
    session.hide(&plan.secrets);
    let (key, steps) = if args.symptom {
        ("symptom_check", &plan.claims.symptom_check)
    } else {
        ("resolved_check", &plan.claims.resolved_check)
    };
    if steps.is_empty() {
        return Err(no_check(plan, key).into());
    }
    let interrupt = signals::install()?;
    let connected = session.connect()?;
    check_engine(&connected, plan, steps)?;
    connected.describe().await?;
    let outcome = execute(&connected, &interrupt, plan, steps).await;
    // A lab that never had the incident is not one in which it is not resolved.
    let absent = !args.symptom && run.is_none() && outcome.exit() == Exit::NotPassed;
    let absent = absent && is_symptom_absent(&connected, &interrupt, plan).await;
    if let Some(signal) = interrupt.signal() {
        return Ok(Signal::exit(signal));
    }
    if args.json {
        session.json(&Report {
            scenario: &plan.name,
            lab: lab.name(),
            check: key,
            run: run.as_deref(),
            parameters: &plan.parameters,
            passed: outcome.passed(),
            absent,
            not_executed: outcome.not_executed,
            checks: &outcome.results,
        })?;
    } else {
        if let Some(run) = run {
            session.term.note(&format!("with the parameters of run {}", short_id(run)));
        }
        for name in unknown {
            let text = format!("with the default of the secret parameter {name}: run histories have no secrets");
            session.term.note(&format!("{text}; --set {name}=VALUE gives it"));
        }
        show(session, &outcome.results)?;
        session.line("")?;
        if absent {
            show_absent(session, &lab, plan)?;
        } else {
            session.line(&verdict(session, args.symptom, &outcome))?;
        }
    }
    Ok(outcome.exit())
}

/// Fails if the engine does not support a check. The faults of the scenario need not be supported.
fn check_engine(connected: &Connected, plan: &Plan, steps: &[Step]) -> Result<(), Diagnostics> {
    let only = Plan { steady_state: Vec::new(), steps: steps.to_vec(), finally: Vec::new(), ..plan.clone() };
    only.check_engine(connected.engine.name(), &connected.engine.services(), &connected.engine.roles())
}

async fn execute(connected: &Connected, interrupt: &Interrupt, plan: &Plan, steps: &[Step]) -> Outcome {
    let checks = Checks {
        lab: connected.lab.clone(),
        engine: Arc::clone(&connected.engine),
        wire: Arc::new(NetWire::new()),
        interrupt: interrupt.clone(),
    };
    let results = check(checks, plan, steps).await;
    Outcome { not_executed: steps.len() - results.len(), results }
}

/// Returns true if the symptom check shows that the incident is not in the lab. False if there is none.
async fn is_symptom_absent(connected: &Connected, interrupt: &Interrupt, plan: &Plan) -> bool {
    let steps = &plan.claims.symptom_check;
    !steps.is_empty()
        && check_engine(connected, plan, steps).is_ok()
        && execute(connected, interrupt, plan, steps).await.exit() == Exit::NotPassed
}

fn show_absent(session: &Session, lab: &Lab, plan: &Plan) -> anyhow::Result<()> {
    let name = lab.name_option();
    let what = format!("{}: lab {} does not show this incident, so there is nothing to resolve", plan.name, lab.name());
    session.line(&session.term.painter().paint(Tone::Warn, &what))?;
    let typed = text::shell_quote(&plan.source);
    session.line(&format!("next: lab scenario run {typed} --until observe{name} · lab status{name}"))?;
    Ok(())
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
fn verdict(session: &Session, symptom: bool, outcome: &Outcome) -> String {
    let Outcome { results, not_executed } = outcome;
    let painter = session.term.painter();
    let total = results.len() + *not_executed;
    let failed = results.iter().filter(|result| !result.passed()).count();
    let (yes, no) = if symptom { ("symptom present", "symptom absent") } else { ("resolved", "not resolved") };
    if failed + *not_executed == 0 {
        let all = if total == 1 { "the check passed".to_owned() } else { format!("all {total} checks passed") };
        return format!("{}: {all}", painter.paint(Tone::Good, yes));
    }
    let mut facts = format!("{failed} of {} failed", human::count(total as u64, "check"));
    if *not_executed > 0 {
        facts = format!("{facts}, {not_executed} not executed");
    }
    format!("{}: {facts}", painter.paint(Tone::Failed, no))
}
