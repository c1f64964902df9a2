//! The incidents among which a drill draws.

use crate::cli::IncidentArgs;
use crate::commands::session::Connected;
use lab_core::engine::{Description, Engine};
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
            if named && let Some(why) = unplayable(&plan) {
                let name = source.typed();
                let message = format!("{name} cannot be drilled: {why}");
                let hint = format!("lab scenario run {name} executes it · lab scenario list shows all scenarios");
                return Err(Failure::failed(message).hint(hint).into());
            }
            if has_tag && difficulty.is_none_or(|difficulty| plan.lesson.difficulty == Some(difficulty)) {
                plans.push((source, plan));
            }
        }
        Ok(Self { plans, named })
    }

    /// Only one scenario: a name of the library, or a path.
    pub(in crate::commands) fn only(scenario: &str) -> anyhow::Result<Self> {
        Self::new(&IncidentArgs { scenario: Some(scenario.to_owned()), ..IncidentArgs::default() })
    }

    /// Names of the scenarios that can be played on an engine.
    pub(in crate::commands) fn playable(&self, engine: &dyn Engine) -> Vec<String> {
        let playable = self.plans.iter().filter(|(_, plan)| obstacle(plan, engine).is_none());
        playable.map(|(source, _)| source.typed()).collect()
    }

    /// Draws one of the scenarios that can be played on an engine.
    pub(in crate::commands) fn draw(&self, secret: &Secret, engine: &dyn Engine) -> anyhow::Result<&Source> {
        self.draw_suitable(secret, &format!("on {}", engine.name()), |plan| obstacle(plan, engine))
    }

    /// Draws one of the scenarios that can be played in this lab, and its values.
    pub(super) fn choose(&self, secret: &Secret, lab: &Connected, now: &Description) -> anyhow::Result<Candidate> {
        let place = format!("in lab {}", lab.lab.name());
        let source = self.draw_suitable(secret, &place, |plan| {
            let in_lab = || plan.check_lab(lab.lab.name(), &now.endpoints).err().map(|found| found.to_string());
            obstacle(plan, lab.engine.as_ref()).or_else(in_lab)
        })?;
        let set = draw(source, |name| secret.draw(&format!("parameter {name}")))?;
        let plan = load(source, &LoadOptions { set, ..LoadOptions::default() })?;
        let Some(brief) = brief(&plan) else { return Err(Failure::failed("the scenario has no diagnosis").into()) };
        Ok(Candidate { plan, brief })
    }

    /// Draws one of the scenarios without an obstacle. The first obstacle of named scenarios is an error.
    fn draw_suitable(
        &self,
        secret: &Secret,
        place: &str,
        obstacle: impl Fn(&Plan) -> Option<String>,
    ) -> anyhow::Result<&Source> {
        let mut suitable = Vec::new();
        for (source, plan) in &self.plans {
            match obstacle(plan) {
                None => suitable.push(source),
                Some(why) if self.named => {
                    let message = format!("{} cannot be played {place}: {why}", plan.name);
                    return Err(Failure::failed(message).hint("lab scenario list shows all scenarios").into());
                }
                Some(_) => {}
            }
        }
        let names: Vec<String> = suitable.iter().map(|source| source.typed()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let drawn = secret.incident(&names);
        let chosen = suitable.into_iter().find(|source| drawn == Some(source.typed().as_str()));
        chosen.ok_or_else(|| Failure::failed("no scenario suits: try another --tag or --difficulty").into())
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

/// Why a scenario cannot be played in any lab.
fn unplayable(plan: &Plan) -> Option<&'static str> {
    match plan.kind {
        Kind::Practice => return Some("it is a practice without an outage, so there is nothing to notice and to fix"),
        Kind::Part => return Some("it is a part of other scenarios"),
        Kind::Incident => {}
    }
    if plan.waits_for_person() {
        return Some("it waits for a person by itself");
    }
    if !plan.steps.iter().any(|step| step.phase == Phase::Inject) {
        return Some("it injects no fault");
    }
    if plan.claims.resolved_check.is_empty() {
        return Some("it has no `resolved_check`");
    }
    brief(plan).is_none().then_some("it has no `diagnosis`")
}

/// Why a scenario cannot be played on an engine.
fn obstacle(plan: &Plan, engine: &dyn Engine) -> Option<String> {
    if let Some(why) = unplayable(plan) {
        return Some(why.to_owned());
    }
    let found =
        plan.check_commands(false).and_then(|()| plan.check_engine(engine.name(), &engine.services(), &engine.roles()));
    found.err().map(|diagnostics| diagnostics.to_string())
}
