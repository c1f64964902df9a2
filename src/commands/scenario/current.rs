//! The scenario that a lab is in the middle of: its last run, with the parameters of that run.

use super::options;
use crate::commands::runs;
use lab_core::error::Failure;
use lab_core::event::{MASK, Phase};
use lab_runner::lab::{Lab, StateFolder};
use lab_runner::undo;
use lab_scenario::{LoadOptions, Plan, Source, Step, load};

/// A scenario, as it was run in a lab or with its defaults.
pub(in crate::commands) struct CurrentScenario {
    pub(in crate::commands) plan: Plan,
    /// Number of steps that the run executed. Without a run: the steps before the first fix.
    pub(in crate::commands) executed: usize,
    /// Id of the run whose changes are in the lab. `None` if the scenario was not run in it, or was undone.
    pub(in crate::commands) run: Option<String>,
    /// Secret parameters of the run whose values are not known, so that the plan has their defaults.
    pub(in crate::commands) unknown: Vec<String>,
}

impl CurrentScenario {
    /// Loads a scenario. If its last run in the lab is kept or in progress, with the parameters of that run; `set` overrides
    /// them.
    pub(in crate::commands) fn named(
        state: &StateFolder,
        lab: &Lab,
        source: &Source,
        set: &[String],
    ) -> anyhow::Result<Self> {
        let plan = load(source, &LoadOptions::default())?;
        let run = undo::last_run(lab, Some(&plan.name))?.map(|header| header.run);
        Self::load(state, source, &plan, run, set)
    }

    /// Scenario of the last run that is kept or in progress in the lab. `None` if there is none, or if its file is gone.
    pub(in crate::commands) fn of_lab(state: &StateFolder, lab: &Lab) -> anyhow::Result<Option<Self>> {
        let Some(header) = undo::last_run(lab, None)? else { return Ok(None) };
        let Ok(journal) = runs::journal_of(state, &header.run) else { return Ok(None) };
        let source = Source::parse(journal.about.typed(&journal.scenario));
        let Ok(plan) = load(&source, &LoadOptions::default()) else { return Ok(None) };
        Self::load(state, &source, &plan, Some(header.run), &[]).map(Some)
    }

    fn load(
        state: &StateFolder,
        source: &Source,
        plan: &Plan,
        run: Option<String>,
        set: &[String],
    ) -> anyhow::Result<Self> {
        let mut options: LoadOptions = options(set)?;
        let journal = run.as_ref().and_then(|run| runs::journal_of(state, run).ok());
        let mut unknown = Vec::new();
        if let Some(journal) = &journal {
            let used = journal.parameters.clone();
            let given = |name: &str| options.set.iter().any(|(known, _)| known == name);
            // The scenario may have changed since the run.
            let used = used.into_iter().filter(|(name, _)| plan.parameters.contains_key(name) && !given(name));
            // The journal has no secrets: the defaults are used for them.
            let (secret, used): (Vec<_>, Vec<_>) = used.partition(|(_, value)| value.contains(MASK));
            unknown = secret.into_iter().map(|(name, _)| name).collect();
            options.set = used.into_iter().chain(options.set.iter().cloned()).collect();
        }
        let plan = load(source, &options)?;
        let executed = match &journal {
            Some(journal) => {
                let ran = |step: &Step| journal.steps.iter().any(|result| result.name == step.name);
                plan.steps.iter().rposition(ran).map_or(0, |last| last + 1)
            }
            None => plan.steps.iter().position(|step| step.phase > Phase::Observe).unwrap_or(plan.steps.len()),
        };
        Ok(Self { plan, executed, run, unknown })
    }
}

/// The error for a scenario without the check that was asked for.
pub(super) fn no_check(plan: &Plan, key: &str) -> Failure {
    let failure = Failure::usage(format!("{} has no `{key}`", plan.name));
    let (resolved, symptom) = (!plan.claims.resolved_check.is_empty(), !plan.claims.symptom_check.is_empty());
    match key {
        "symptom_check" if resolved => failure.hint("omit --symptom to check whether it is resolved"),
        "resolved_check" if symptom => failure.hint("add --symptom to check for its symptom"),
        _ => failure.hint("scenarios with checks: lab scenario list (incidents and practices)"),
    }
}
