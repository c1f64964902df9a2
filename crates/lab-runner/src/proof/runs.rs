//! Derives the runs of a proof from a scenario. Each [`ProofRun`] is a plan whose sections must pass or fail. The
//! scenario's checks come after all of its own steps, so that they do not interfere.

use std::ops::Range;
use std::time::Duration;

use lab_core::event::Phase;
use lab_scenario::plan::{Action, Comparator, Expectation, Kind, Metric, Plan, Sender, Step, Traffic};
use lab_traffic::Amount;

/// One run of a proof.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ProofRun {
    /// Part of the proof to which it belongs.
    pub(super) part: String,
    pub(super) plan: Plan,
    /// Titles of the steps for messages: name and position in the file.
    pub(super) titles: Vec<String>,
    pub(super) claims: Vec<Claim>,
    /// Requirement on the run as a whole.
    pub(super) whole: Requirement,
}

/// Consecutive steps that form one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) steps: Range<usize>,
    /// True if all steps must pass; false if at least one must fail.
    pub(super) passes: bool,
    /// Message if that is not the case.
    pub(super) otherwise: &'static str,
}

/// Claims that a scenario lacks, with what to add.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MissingClaims {
    /// A part of other scenarios claims nothing.
    #[error("{name} is a part for other scenarios: it claims nothing by itself")]
    Part {
        /// Name of the scenario.
        name: String,
    },
    /// A check is missing.
    #[error("{name} has no `{key}`, which is what a proof looks at (docs/scenarios.md)")]
    Check {
        /// Name of the scenario.
        name: String,
        /// Key of the missing check.
        key: &'static str,
    },
    /// A person must fix the incident.
    #[error(
        "{name} waits until a person has fixed the incident (`wait_for: {{ resolved: true }}`), so it cannot be proved"
    )]
    Person {
        /// Name of the scenario.
        name: String,
    },
    /// An incident needs a fault and its fix.
    #[error(
        "{name} has no fault that is fixed: a proof needs a step of the phase `inject`, and one of the phase `remedy` \
         after it"
    )]
    Fix {
        /// Name of the scenario.
        name: String,
    },
}

/// Requirement on a run as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requirement {
    /// No problem apart from its steps: a fault has an effect, a practice scenario has no failed requests.
    Sound,
    /// Requests fail or the last claim fails: a wrong way to do what a practice scenario does right.
    Harmful,
}

/// Returns the runs of a proof, in order.
///
/// # Errors
/// If the scenario lacks claims.
pub(super) fn runs(plan: &Plan) -> Result<Vec<ProofRun>, MissingClaims> {
    let (claims, name) = (&plan.claims, plan.name.clone());
    if plan.waits_for_person() {
        return Err(MissingClaims::Person { name });
    }
    let mut runs = match plan.kind {
        Kind::Part => return Err(MissingClaims::Part { name }),
        Kind::Practice => practice(plan),
        Kind::Incident => {
            for (key, check) in [("symptom_check", &claims.symptom_check), ("resolved_check", &claims.resolved_check)] {
                if check.is_empty() {
                    return Err(MissingClaims::Check { name, key });
                }
            }
            let Some(remedy) = remedy(&plan.steps) else {
                return Err(MissingClaims::Fix { name });
            };
            incident(plan, remedy)
        }
    };
    runs.push(ProofRun::new(super::UNDONE, plan).must(
        vec![healthy()],
        true,
        "not every request is answered after the undo",
    ));
    Ok(runs)
}

fn incident(plan: &Plan, remedy: usize) -> Vec<ProofRun> {
    let (symptom, resolved) = (&plan.claims.symptom_check, &plan.claims.resolved_check);
    let (broken, whole) = (&plan.steps[..remedy], &plan.steps);
    let mut runs = vec![
        ProofRun::new("healthy", plan)
            .must(vec![healthy()], true, "not every request is answered before the fault")
            .must(plan.steady_state.clone(), true, "`steady_state` fails before the fault")
            .must(symptom.clone(), false, "`symptom_check` passes although nothing is broken"),
        ProofRun::new("broken", plan)
            .must(broken.to_vec(), true, "a step up to the fault fails")
            .must(symptom.clone(), true, "`symptom_check` fails while it is broken")
            .must(resolved.clone(), false, "`resolved_check` passes although it is still broken"),
        ProofRun::new("fixed", plan)
            .must(whole.clone(), true, "a step of the scenario fails")
            .must(plan.steady_state.clone(), true, "`steady_state` fails after the remedy")
            .must(resolved.clone(), true, "`resolved_check` fails after the remedy")
            .must(symptom.clone(), false, "`symptom_check` still passes after the remedy"),
    ];
    for fix in &plan.claims.wrong_fixes {
        // Executed in place of the real fix, whatever its phase in the file.
        let steps = fix.steps.iter().map(|step| Step { phase: Phase::Remedy, ..step.clone() }).collect();
        runs.push(
            ProofRun::new(&format!("wrong fix {}", fix.name), plan)
                .must(broken.to_vec(), true, "a step up to the fault fails")
                .must(steps, true, "a step of the wrong fix fails")
                .must(resolved.clone(), false, "`resolved_check` passes after it: this fix is not wrong"),
        );
    }
    for fix in &plan.claims.other_fixes {
        let steps = fix.steps.iter().map(|step| Step { phase: Phase::Remedy, ..step.clone() }).collect();
        runs.push(
            ProofRun::new(&format!("other fix {}", fix.name), plan)
                .must(broken.to_vec(), true, "a step up to the fault fails")
                .must(steps, true, "a step of the other fix fails")
                .must(plan.steady_state.clone(), true, "`steady_state` fails after it")
                .must(resolved.clone(), true, "`resolved_check` fails after it: this fix is wrong")
                .must(symptom.clone(), false, "`symptom_check` still passes after it"),
        );
    }
    runs
}

fn practice(plan: &Plan) -> Vec<ProofRun> {
    let resolved = &plan.claims.resolved_check;
    let healthy = ProofRun::new("healthy", plan)
        .must(vec![healthy()], true, "not every request is answered before it")
        .must(plan.steady_state.clone(), true, "`steady_state` fails before it")
        .must(resolved.clone(), false, "`resolved_check` passes before anything is done");
    // Nothing is changed in this run, so rejected requests of its checks do no harm.
    let healthy = ProofRun { plan: Plan { kind: Kind::Part, ..healthy.plan }, ..healthy };
    let mut runs = vec![
        healthy,
        ProofRun::new("unharmed", plan)
            .must(plan.steps.clone(), true, "a step of the scenario fails")
            .must(plan.steady_state.clone(), true, "`steady_state` fails at the end")
            .must(resolved.clone(), true, "`resolved_check` fails at the end"),
    ];
    for fix in &plan.claims.wrong_fixes {
        let run = ProofRun::new(&format!("wrong fix {}", fix.name), plan)
            .must(fix.steps.clone(), true, "a step of the wrong fix fails")
            .must(resolved.clone(), false, "no request fails and `resolved_check` passes: this fix is not wrong");
        runs.push(ProofRun { whole: Requirement::Harmful, ..run });
    }
    for fix in &plan.claims.other_fixes {
        runs.push(
            ProofRun::new(&format!("other fix {}", fix.name), plan)
                .must(fix.steps.clone(), true, "a step of the other fix fails")
                .must(plan.steady_state.clone(), true, "`steady_state` fails after it")
                .must(resolved.clone(), true, "`resolved_check` fails after it: this fix is wrong"),
        );
    }
    runs
}

/// Index of the first fix after a fault.
fn remedy(steps: &[Step]) -> Option<usize> {
    let fault = steps.iter().position(|step| step.phase == Phase::Inject)?;
    let after = steps[fault..].iter().position(|step| step.phase == Phase::Remedy)?;
    Some(fault + after)
}

impl ProofRun {
    fn new(part: &str, plan: &Plan) -> Self {
        // The steady state is a claim of its own.
        let plan = Plan { steps: Vec::new(), steady_state: Vec::new(), ..plan.clone() };
        Self { part: part.to_owned(), plan, titles: Vec::new(), claims: Vec::new(), whole: Requirement::Sound }
    }

    /// Adds a claim. Ignored if it has no steps.
    fn must(mut self, steps: Vec<Step>, passes: bool, otherwise: &'static str) -> Self {
        let start = self.plan.steps.len();
        for mut step in steps {
            // Expectations over several steps stay within their claim.
            step.expect.iter_mut().for_each(|expected| expected.since += start);
            self.titles.push(format!("{} ({})", step.name, step.place));
            if start > 0 {
                step.name = format!("{}/{}", self.claims.len(), step.name);
            }
            self.plan.steps.push(step);
        }
        let steps = start..self.plan.steps.len();
        if !steps.is_empty() {
            self.claims.push(Claim { steps, passes, otherwise });
        }
        self
    }
}

/// Sends a few requests with the caller's key; each must succeed.
fn healthy() -> Step {
    let traffic = Traffic {
        amount: Amount::Requests(5),
        rate: 100.0,
        connections: 1,
        callers: Vec::new(),
        path: "/api/users".to_owned(),
        method: "GET".to_owned(),
        headers: Vec::new(),
        key: None,
        timeout: Duration::from_secs(3),
    };
    let expect = Expectation {
        sender: Sender::All,
        metric: Metric::Failed,
        metric_text: "failed".to_owned(),
        comparator: Comparator::Equal,
        bound: 0.0,
        text: "== 0".to_owned(),
        since: 0,
        deferred: None,
    };
    Step {
        id: usize::MAX,
        name: "healthy".to_owned(),
        phase: Phase::Baseline,
        action: Action::Traffic(traffic),
        expect: vec![expect],
        place: "GET /api/users".to_owned(),
        deferred: None,
    }
}
