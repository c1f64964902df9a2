//! The incidents among which a drill draws.

use crate::cli::IncidentArgs;
use crate::commands::session::Connected;
use lab_core::engine::Description;
use lab_core::error::Failure;
use lab_core::event::Phase;
use lab_drill::brief::Brief;
use lab_drill::choice::Secret;
use lab_runner::drill::brief;
use lab_scenario::lesson::Difficulty;
use lab_scenario::plan::Kind;
use lab_scenario::vary::draw;
use lab_scenario::{LoadOptions, Plan, Source, library, load};

/// Scenarios that were selected, or all of the library.
pub(in crate::commands) struct Selection {
    plans: Vec<(Source, Plan)>,
    /// They were selected by name, so that each must be playable.
    named: bool,
}

/// A scenario with the values of one drill.
pub(super) struct Candidate {
    pub(super) plan: Plan,
    pub(super) brief: Brief,
}

impl Selection {
    pub(in crate::commands) fn new(args: &IncidentArgs) -> anyhow::Result<Self> {
        let mut typed: Vec<&String> = args.scenario.iter().chain(&args.from).collect();
        typed.dedup();
        let named = !typed.is_empty();
        let sources: Vec<Source> = if named {
            typed.into_iter().map(|typed| absolute(Source::parse(typed))).collect::<Result<_, _>>()?
        } else {
            library::names().map(|name| Source::Library(name.to_owned())).collect()
        };
        let difficulty = args.difficulty.as_deref().map(difficulty).transpose()?;
        let mut plans = Vec::new();
        for source in sources {
            let plan = load(&source, &LoadOptions::default())?;
            let has_tag = args.tag.as_ref().is_none_or(|tag| plan.tags.contains(tag));
            if has_tag && difficulty.is_none_or(|difficulty| plan.lesson.difficulty == Some(difficulty)) {
                plans.push((source, plan));
            }
        }
        Ok(Self { plans, named })
    }

    /// Draws one of the scenarios that can be played in this lab, and its values.
    pub(super) fn choose(&self, secret: &Secret, lab: &Connected, now: &Description) -> anyhow::Result<Candidate> {
        let mut suitable = Vec::new();
        for (source, plan) in &self.plans {
            match obstacle(plan, lab, now) {
                None => suitable.push(source),
                Some(why) if self.named => {
                    let message = format!("{} cannot be played in lab {}: {why}", plan.name, lab.lab.name());
                    return Err(Failure::failed(message).hint("lab scenario list shows all scenarios").into());
                }
                Some(_) => {}
            }
        }
        let names: Vec<String> = suitable.iter().map(|source| source.typed()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let drawn = secret.incident(&names);
        let Some(source) = suitable.into_iter().find(|source| drawn == Some(source.typed().as_str())) else {
            return Err(Failure::failed("no scenario suits: try another --tag or --difficulty").into());
        };
        let set = draw(source, |name| secret.draw(&format!("parameter {name}")))?;
        let plan = load(source, &LoadOptions { set, ..LoadOptions::default() })?;
        let Some(brief) = brief(&plan) else { return Err(Failure::failed("the scenario has no diagnosis").into()) };
        Ok(Candidate { plan, brief })
    }
}

/// The referee has another working directory.
fn absolute(source: Source) -> std::io::Result<Source> {
    match source {
        Source::Path(path) => Ok(Source::Path(std::path::absolute(path)?)),
        source => Ok(source),
    }
}

fn difficulty(typed: &str) -> Result<Difficulty, Failure> {
    let found = Difficulty::ALL.into_iter().find(|difficulty| difficulty.name() == typed);
    found.ok_or_else(|| {
        let names = Difficulty::ALL.map(Difficulty::name).join(", ");
        Failure::usage(format!("unknown difficulty {typed:?} (there are {names})"))
    })
}

/// Why a scenario cannot be played in a lab.
fn obstacle(plan: &Plan, lab: &Connected, now: &Description) -> Option<String> {
    let engine = lab.engine.as_ref();
    if plan.kind != Kind::Incident {
        return Some("it is not an incident".to_owned());
    }
    if plan.waits_for_person() {
        return Some("it waits for a person by itself".to_owned());
    }
    if !plan.steps.iter().any(|step| step.phase == Phase::Inject) {
        return Some("it injects no fault".to_owned());
    }
    if plan.claims.resolved_check.is_empty() {
        return Some("it has no `resolved_check`".to_owned());
    }
    if brief(plan).is_none() {
        return Some("it has no `diagnosis`".to_owned());
    }
    let found = plan.check_commands(false).and_then(|()| {
        plan.check_engine(engine.name(), &engine.services(), &engine.roles())?;
        plan.check_lab(lab.lab.name(), &now.endpoints)
    });
    found.err().map(|diagnostics| diagnostics.to_string())
}
