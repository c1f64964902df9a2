//! Turns scenario files into a plan: assigns parameters, flattens includes, and gives steps their names and phases.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use self::names::{assign_names, rename};
use super::actions::{self, Effect};
use super::callers;
use super::deferred::{DeferredStep, EarlierStep, Response, StepContext};
use super::file::{self, Args, ScenarioFile, StepFile};
use super::lesson;
use super::lint;
use super::plan::{Action, Caller, Expectation, Plan, Step};
use super::reader::{Reader, Senders};
use super::source::Source;
use super::template::{LengthBudget, Scope, has_outputs};
use super::value;
use super::vary;
use lab_core::event::{Phase, Secrets};
use lab_yaml::Place;
use lab_yaml::quote_list;
use lab_yaml::{Diagnostic, Diagnostics};

mod claims;
mod includes;
mod names;
mod parameters;

/// Maximum number of steps in a plan, and of includes.
const MAX_STEPS: usize = 1000;

/// Options for [`load`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Parameters by name: `--set name=value`.
    pub set: Vec<(String, String)>,
    /// Use `short` values instead of defaults.
    pub short: bool,
}

/// Loads a scenario and everything it includes. Reports all errors at once, before anything starts.
pub fn load(source: &Source, options: &LoadOptions) -> Result<Plan, Diagnostics> {
    let mut loader = Loader::default();
    let plan = loader.load(source, options);
    let mut found = loader.out;
    found.sort();
    match plan {
        Some(plan) if found.is_empty() => Ok(plan),
        _ => Err(found),
    }
}

/// A step while the plan is being built.
struct FlatStep {
    /// Identifies the step in references.
    id: usize,
    name: String,
    /// Not named in the file; gets a number if the name is in use.
    unnamed: bool,
    phase: Option<Phase>,
    action: Action,
    deferred: Option<DeferredStep>,
    /// `since` is relative to the list that contains the step.
    expect: Vec<Expectation>,
    /// Place in the file that contains the step.
    place: Place,
    /// Place in the file being flattened. For included steps, the place of the include.
    here: Place,
}

/// A file that is being flattened.
struct IncludeFrame {
    source: Source,
    /// Place of its include.
    place: Option<Place>,
}

#[derive(Default)]
struct Loader {
    files: Vec<(Source, Option<Rc<ScenarioFile>>)>,
    stack: Vec<IncludeFrame>,
    out: Diagnostics,
    steps: usize,
    includes: usize,
    /// Callers of all files, in order.
    callers: Vec<(Caller, Place)>,
    engines: Option<Vec<String>>,
    secrets: Secrets,
    budget: LengthBudget,
}

/// Step lists of a plan.
#[derive(Default)]
struct StepLists {
    steady_state: Vec<FlatStep>,
    steps: Vec<FlatStep>,
    finally: Vec<FlatStep>,
    /// Callers that apply to them.
    callers: Vec<Caller>,
}

impl Loader {
    fn load(&mut self, source: &Source, options: &LoadOptions) -> Option<Plan> {
        let file = self.load_file(source, None)?;
        let scope = Arc::new(self.given_parameters(&file.parameters, options));
        let context = StepContext::default();
        let mut reader = Reader::new(&scope, &context, None, &self.budget, &mut self.out);
        let title = file.title.as_ref().and_then(|text| reader.open("title", text, value::line));
        let kind = file.kind.as_ref().and_then(|text| reader.fixed("kind", text, value::kind));
        let trimmed = |text: &str| Ok(text.trim().to_owned());
        let description = file.description.as_ref().and_then(|text| reader.open("description", text, trimmed));
        let tags = file.tags.iter().filter_map(|text| reader.open("tags", text, value::step_name)).collect();
        let lesson = lesson::lesson(&file.lesson, &mut reader);
        self.stack.push(IncludeFrame { source: source.clone(), place: None });
        let mut lists = self.flatten(&file, &scope, &[]);
        let claims = self.claims(&file.lesson, &scope, &lists.callers, kind.unwrap_or_default());
        self.stack.pop();
        self.check_waits(&lists, &claims);
        assign_names([&mut lists.steady_state, &mut lists.steps, &mut lists.finally]);
        let mut plan = Plan {
            name: source.name(),
            source: source.typed(),
            title: title.unwrap_or_default(),
            description: description.unwrap_or_default(),
            kind: kind.unwrap_or_default(),
            tags,
            engines: std::mem::take(&mut self.engines).unwrap_or_default(),
            parameters: scope.iter().map(|(name, value)| (name.clone(), value.shown())).collect(),
            varied: vary::variations(&file.parameters),
            secrets: std::mem::take(&mut self.secrets),
            callers: std::mem::take(&mut self.callers).into_iter().map(|(caller, _)| caller).collect(),
            steady_state: steps(lists.steady_state, Phase::Baseline),
            steps: steps(lists.steps, Phase::Baseline),
            finally: steps(lists.finally, Phase::Verify),
            lesson,
            claims,
            lints: Vec::new(),
            alerts: false,
            pace: String::new(),
        };
        plan.lints = lint::lint(&file.lesson, &plan);
        Some(plan.with_alerts())
    }

    /// Reads a file, once even if it is included several times.
    fn load_file(&mut self, source: &Source, at: Option<&Place>) -> Option<Rc<ScenarioFile>> {
        if let Some((_, file)) = self.files.iter().find(|(known, _)| known.is_same(source)) {
            return file.clone();
        }
        let file = match source.read(at) {
            Ok(text) => file::read(&text, &mut self.out).map(Rc::new),
            Err(diagnostic) => {
                self.out.push(diagnostic);
                // Not cached, so that each include reports the error.
                return None;
            }
        };
        self.files.push((source.clone(), file.clone()));
        file
    }

    /// Flattens the steps of a file. `outer` are the callers of the including file, used if this file declares none.
    fn flatten(&mut self, file: &ScenarioFile, scope: &Arc<Scope>, outer: &[Caller]) -> StepLists {
        let mut reader = Reader::new(scope, EMPTY, None, &self.budget, &mut self.out);
        let own = callers::read(&file.callers, &mut reader);
        let engines: Vec<String> =
            file.engines.iter().filter_map(|text| reader.fixed("engines", text, value::engine)).collect();
        for (caller, file) in own.iter().zip(&file.callers) {
            self.caller(caller, &file.name.place);
        }
        if !engines.is_empty() {
            self.restrict(&engines, file);
        }
        let callers = if own.is_empty() { outer.to_vec() } else { own };
        let mut context = StepContext { callers, earlier: Vec::new() };
        let steady_state = self.flatten_list(&file.steady_state, scope, &mut context);
        for flat in &steady_state {
            if flat.action.profile().effect != Effect::Observes {
                self.out.push(
                    Diagnostic::at(format!("`{}` is not allowed in `steady_state`", flat.action.name()), &flat.here)
                        .label("expected a read-only step: `check`, `traffic`, `wait_for` or `wait`"),
                );
            }
        }
        // These steps run twice, so references to their outputs would be ambiguous.
        context.earlier.clear();
        let steps = self.flatten_list(&file.steps, scope, &mut context);
        let finally = self.flatten_list(&file.finally, scope, &mut context);
        let lists = StepLists { steady_state, steps, finally, callers: context.callers };
        self.report_duplicate_names(lists.steady_state.iter().chain(&lists.steps).chain(&lists.finally));
        lists
    }

    fn flatten_list(
        &mut self,
        files: &[Arc<StepFile>],
        scope: &Arc<Scope>,
        context: &mut StepContext,
    ) -> Vec<FlatStep> {
        let mut all: Vec<FlatStep> = Vec::new();
        for step in files {
            if self.out.is_closed() {
                break;
            }
            let mut flats = self.step(step, scope, context);
            for flat in &mut flats {
                flat.here = step.name.as_ref().map_or(&step.place, |name| &name.place).clone();
                for expectation in &mut flat.expect {
                    expectation.since += all.len();
                }
            }
            context.earlier.extend(flats.iter().filter(|flat| !flat.unnamed).map(|flat| Arc::new(earlier(flat))));
            if let (true, Some(name)) = (flats.is_empty(), &step.name) {
                // The step has an error, which has been reported. References to it are accepted.
                let callers = context.callers.iter().map(|caller| caller.name.clone()).collect();
                let (name, kind) = (name.text.clone(), step.kind);
                context.earlier.push(Arc::new(EarlierStep {
                    name,
                    id: usize::MAX,
                    kind,
                    response: Response::Unknown,
                    callers,
                }));
            }
            all.append(&mut flats);
        }
        all
    }

    /// Adds a caller to the plan. Two files may declare the same caller.
    fn caller(&mut self, caller: &Caller, place: &Place) {
        match self.callers.iter().find(|(known, _)| known.name == caller.name) {
            None => self.callers.push((caller.clone(), place.clone())),
            Some((known, _)) if known == caller => {}
            Some((_, first)) => self.out.push(
                Diagnostic::at(format!("two callers are named `{}`", caller.name), place)
                    .label("expected another name, or the same key, rate and connections")
                    .note(format!("the first one is at {first}")),
            ),
        }
    }

    /// Limits the plan to these engines.
    fn restrict(&mut self, engines: &[String], file: &ScenarioFile) {
        let left: Vec<String> = match &self.engines {
            Some(known) => known.iter().filter(|known| engines.contains(known)).cloned().collect(),
            None => engines.to_vec(),
        };
        if let (true, Some(text)) = (left.is_empty(), file.engines.first()) {
            let others = self.engines.iter().flatten().map(String::as_str);
            let message = format!("no engine is left: other files require {}", quote_list(others));
            self.out.push(Diagnostic::at(message, &text.place).label("this scenario requires others"));
        }
        self.engines = Some(left);
    }

    fn step(&mut self, step: &Arc<StepFile>, scope: &Arc<Scope>, context: &StepContext) -> Vec<FlatStep> {
        let mut reader = Reader::new(scope, context, None, &self.budget, &mut self.out);
        let name = step.name.as_ref().and_then(|text| reader.open("name", text, value::step_name));
        let phase = step.phase.as_ref().and_then(|text| reader.fixed("phase", text, value::phase));
        let before = reader.out.len();
        let mut flats = match &step.args {
            Args::Text(text) if step.kind.definition().is_include() => self.include(step, text, scope, context),
            _ => self.flatten_action(step, scope, context),
        };
        let sound = self.out.len() == before;
        if let Some(name) = name {
            rename(&mut flats, &name);
        }
        for flat in &mut flats {
            flat.phase = flat.phase.or(phase);
        }
        // If the step itself is wrong, do not also report missing traffic.
        let mut sends = Senders { sends: !sound, callers: Vec::new() };
        for flat in &flats {
            sends.add(&flat.action);
        }
        if !sound {
            sends.callers.extend(context.callers.iter().map(|caller| caller.name.clone()));
        }
        let expectations = Reader::new(scope, context, None, &self.budget, &mut self.out).expectations(step, &sends);
        if let Some(last) = flats.last_mut() {
            last.expect.extend(expectations);
        }
        flats
    }

    fn flatten_action(&mut self, step: &Arc<StepFile>, scope: &Arc<Scope>, context: &StepContext) -> Vec<FlatStep> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            if self.steps == MAX_STEPS + 1 {
                let limit = format!("the limit is {MAX_STEPS}, including those of included scenarios");
                self.out.push(Diagnostic::at("the scenario has too many steps", &step.place).label(limit));
            }
            return Vec::new();
        }
        let folder = self.stack.last().and_then(|frame| frame.source.folder()).map(folder);
        let mut reader = Reader::new(scope, context, folder.as_deref(), &self.budget, &mut self.out);
        let action = actions::read(step, &mut reader);
        let deferred =
            || DeferredStep { file: Arc::clone(step), scope: Arc::clone(scope), context: context.clone(), folder };
        let flat = action.map(|action| FlatStep {
            id: self.steps,
            deferred: step.args.texts().any(|text| has_outputs(text, scope)).then(deferred),
            name: step.kind.name().replace('_', "-"),
            unnamed: true,
            phase: None,
            action,
            expect: Vec::new(),
            place: step.place.clone(),
            here: step.place.clone(),
        });
        flat.into_iter().collect()
    }
}

/// Context without callers and earlier steps.
static EMPTY: &StepContext = &StepContext { callers: Vec::new(), earlier: Vec::new() };

/// Folder of a file; the current folder becomes `.`.
fn folder(folder: &std::path::Path) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
}

/// Describes a step for references from later steps.
fn earlier(flat: &FlatStep) -> EarlierStep {
    let callers = flat.action.traffic().map(|traffic| traffic.callers.iter().map(|caller| caller.name.clone()));
    let callers = callers.into_iter().flatten().collect();
    let response = flat.action.profile().response;
    EarlierStep { name: flat.name.clone(), id: flat.id, kind: flat.action.kind(), response, callers }
}

/// Finishes a list of steps. The phase of a step comes from the file, its action, or the preceding step.
fn steps(flats: Vec<FlatStep>, first: Phase) -> Vec<Step> {
    let mut present = first;
    let step = |flat: FlatStep| {
        let phase = flat.phase.or_else(|| flat.action.profile().phase).unwrap_or(present);
        present = match phase {
            Phase::Inject => Phase::Observe,
            Phase::Remedy => Phase::Verify,
            phase => phase,
        };
        let FlatStep { id, name, action, expect, place, deferred, .. } = flat;
        Step { id, name, phase, action, expect, place: place.to_string(), deferred }
    };
    flats.into_iter().map(step).collect()
}
