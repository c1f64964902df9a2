//! From what was written to what it means: parameters get their values, included scenarios are laid out as steps, steps
//! get their names and phases.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use self::names::{rename, settle};
use super::action::{Reader, Sends, natural_phase};
use super::callers;
use super::file::{self, Args, ScenarioFile, StepFile};
use super::late::{Around, Asks, Earlier, Late};
use super::lesson;
use super::plan::{Action, Caller, Condition, Expectation, Plan, Step};
use super::source::Source;
use super::template::{Room, Scope, has_outputs};
use super::value;
use lab_core::event::{Phase, Secrets};
use lab_yaml::Place;
use lab_yaml::list;
use lab_yaml::{Diagnostic, Diagnostics};

mod claims;
mod includes;
mod names;
mod parameters;

/// The most steps of a plan, and the most includes on the way to it.
const MOST: usize = 1000;

/// What was given beside the scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Parameters by name: `--set name=value`.
    pub set: Vec<(String, String)>,
    /// Parameters that have a `short` value start from that one instead of their default.
    pub short: bool,
}

/// Reads a scenario, and everything that it includes, into a plan. Every mistake is found at once, before anything is
/// started.
pub fn load(source: &Source, options: &LoadOptions) -> Result<Plan, Diagnostics> {
    let mut loader = Loader::default();
    let plan = loader.load(source, options);
    let mut found = loader.out;
    found.tidy();
    match plan {
        Some(plan) if found.is_empty() => Ok(plan),
        _ => Err(found),
    }
}

/// A step on its way into the plan.
struct Flat {
    /// How others refer to it.
    id: usize,
    name: String,
    /// Nobody has named it: where the name is taken, it gets a number.
    unnamed: bool,
    phase: Option<Phase>,
    action: Action,
    late: Option<Late>,
    /// `since` counts from the first step of the list that this one is in.
    expect: Vec<Expectation>,
    /// In the file that it was written in.
    place: Place,
    /// In the file that is being laid out: the place of the include, for steps of others.
    here: Place,
}

/// A file that is being laid out.
struct Frame {
    source: Source,
    /// Where it was included.
    place: Option<Place>,
}

#[derive(Default)]
struct Loader {
    files: Vec<(Source, Option<Rc<ScenarioFile>>)>,
    stack: Vec<Frame>,
    out: Diagnostics,
    steps: usize,
    includes: usize,
    /// Of all files, in order.
    callers: Vec<(Caller, Place)>,
    engines: Option<Vec<String>>,
    secrets: Secrets,
    room: Room,
}

/// The three lists of steps of a plan.
#[derive(Default)]
struct Lists {
    steady_state: Vec<Flat>,
    steps: Vec<Flat>,
    finally: Vec<Flat>,
    /// Who sends in them.
    callers: Vec<Caller>,
}

impl Loader {
    fn load(&mut self, source: &Source, options: &LoadOptions) -> Option<Plan> {
        let file = self.file(source, None)?;
        let scope = Arc::new(self.given(&file.parameters, options));
        let around = Around::default();
        let mut reader = Reader::new(&scope, &around, None, &self.room, &mut self.out);
        let title = file.title.as_ref().and_then(|text| reader.open("title", text, value::line));
        let kind = file.kind.as_ref().and_then(|text| reader.fixed("kind", text, value::kind));
        let plain = |text: &str| Ok(text.trim().to_owned());
        let description = file.description.as_ref().and_then(|text| reader.open("description", text, plain));
        let tags = file.tags.iter().filter_map(|text| reader.open("tags", text, value::step_name)).collect();
        let lesson = lesson::lesson(&file.lesson, &mut reader);
        self.stack.push(Frame { source: source.clone(), place: None });
        let mut lists = self.lay_out(&file, &scope, &[]);
        let claims = self.claims(&file.lesson, &scope, &lists.callers, kind.unwrap_or_default());
        self.stack.pop();
        settle([&mut lists.steady_state, &mut lists.steps, &mut lists.finally]);
        Some(
            Plan {
                name: source.name(),
                source: source.typed(),
                title: title.unwrap_or_default(),
                description: description.unwrap_or_default(),
                kind: kind.unwrap_or_default(),
                tags,
                engines: std::mem::take(&mut self.engines).unwrap_or_default(),
                parameters: scope.iter().map(|(name, value)| (name.clone(), value.shown())).collect(),
                secrets: std::mem::take(&mut self.secrets),
                callers: std::mem::take(&mut self.callers).into_iter().map(|(caller, _)| caller).collect(),
                steady_state: steps(lists.steady_state, Phase::Baseline),
                steps: steps(lists.steps, Phase::Baseline),
                finally: steps(lists.finally, Phase::Verify),
                lesson,
                claims,
                alerts: false,
                pace: String::new(),
            }
            .with_alerts(),
        )
    }

    /// A file, read once however often it is included.
    fn file(&mut self, source: &Source, at: Option<&Place>) -> Option<Rc<ScenarioFile>> {
        if let Some((_, file)) = self.files.iter().find(|(known, _)| known.is_same(source)) {
            return file.clone();
        }
        let file = match source.read(at) {
            Ok(text) => file::read(&text, &mut self.out).map(Rc::new),
            Err(diagnostic) => {
                self.out.push(diagnostic);
                // Not kept: each include of it is a mistake.
                return None;
            }
        };
        self.files.push((source.clone(), file.clone()));
        file
    }

    /// The steps of a file. `outer`: the callers of the file that includes it, which are this one's unless it has some.
    fn lay_out(&mut self, file: &ScenarioFile, scope: &Arc<Scope>, outer: &[Caller]) -> Lists {
        let mut reader = Reader::new(scope, EMPTY, None, &self.room, &mut self.out);
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
        let mut around = Around { callers, earlier: Vec::new() };
        let steady_state = self.list(&file.steady_state, scope, &mut around);
        for flat in &steady_state {
            if !matches!(flat.action, Action::Check(_) | Action::Traffic(_) | Action::Wait(_) | Action::WaitFor(_)) {
                self.out.push(
                    Diagnostic::at(format!("`{}` in `steady_state`", flat.action.name()), &flat.here)
                        .label("expected a step that only looks: `check`, `traffic`, `wait_for` or `wait`"),
                );
            }
        }
        // Those are taken twice: what they showed would be a matter of when.
        around.earlier.clear();
        let steps = self.list(&file.steps, scope, &mut around);
        let finally = self.list(&file.finally, scope, &mut around);
        let lists = Lists { steady_state, steps, finally, callers: around.callers };
        self.duplicates(lists.steady_state.iter().chain(&lists.steps).chain(&lists.finally));
        lists
    }

    fn list(&mut self, files: &[Arc<StepFile>], scope: &Arc<Scope>, around: &mut Around) -> Vec<Flat> {
        let mut all: Vec<Flat> = Vec::new();
        for step in files {
            if self.out.is_closed() {
                break;
            }
            let mut flats = self.step(step, scope, around);
            for flat in &mut flats {
                flat.here = step.name.as_ref().map_or(&step.place, |name| &name.place).clone();
                for expectation in &mut flat.expect {
                    expectation.since += all.len();
                }
            }
            around.earlier.extend(flats.iter().filter(|flat| !flat.unnamed).map(|flat| Arc::new(earlier(flat))));
            if let (true, Some(name)) = (flats.is_empty(), &step.name) {
                // It is wrong, and reported: those that refer to it are not.
                let callers = around.callers.iter().map(|caller| caller.name.clone()).collect();
                let (name, action) = (name.text.clone(), step.spec.key);
                around.earlier.push(Arc::new(Earlier { name, id: usize::MAX, action, asks: Asks::Anything, callers }));
            }
            all.append(&mut flats);
        }
        all
    }

    /// Adds a caller to the plan's; two files may have the same one.
    fn caller(&mut self, caller: &Caller, place: &Place) {
        match self.callers.iter().find(|(known, _)| known.name == caller.name) {
            None => self.callers.push((caller.clone(), place.clone())),
            Some((known, _)) if known == caller => {}
            Some((_, first)) => self.out.push(
                Diagnostic::at(format!("two callers are named `{}`", caller.name), place)
                    .label("expected another name, or the same key, rate and connections")
                    .note(format!("the first is at {first}")),
            ),
        }
    }

    /// The plan can run on these engines alone.
    fn restrict(&mut self, engines: &[String], file: &ScenarioFile) {
        let left: Vec<String> = match &self.engines {
            Some(known) => known.iter().filter(|known| engines.contains(known)).cloned().collect(),
            None => engines.to_vec(),
        };
        if let (true, Some(text)) = (left.is_empty(), file.engines.first()) {
            let others = self.engines.iter().flatten().map(String::as_str);
            let message = format!("no engine is left: other files ask for {}", list(others));
            self.out.push(Diagnostic::at(message, &text.place).label("this scenario asks for others"));
        }
        self.engines = Some(left);
    }

    fn step(&mut self, step: &Arc<StepFile>, scope: &Arc<Scope>, around: &Around) -> Vec<Flat> {
        let mut reader = Reader::new(scope, around, None, &self.room, &mut self.out);
        let name = step.name.as_ref().and_then(|text| reader.open("name", text, value::step_name));
        let phase = step.phase.as_ref().and_then(|text| reader.fixed("phase", text, value::phase));
        let before = reader.out.len();
        let mut flats = match &step.args {
            Args::Text(text) if step.spec.key == "scenario" => self.include(step, text, scope, around),
            _ => self.own(step, scope, around),
        };
        let sound = self.out.len() == before;
        if let Some(name) = name {
            rename(&mut flats, &name);
        }
        for flat in &mut flats {
            flat.phase = flat.phase.or(phase);
        }
        // Where the step itself is wrong, nothing is said of traffic that it may have sent.
        let mut sends = Sends { sends: !sound, callers: Vec::new() };
        for flat in &flats {
            sends.add(&flat.action);
        }
        if !sound {
            sends.callers.extend(around.callers.iter().map(|caller| caller.name.clone()));
        }
        let expectations = Reader::new(scope, around, None, &self.room, &mut self.out).expectations(step, &sends);
        if let Some(last) = flats.last_mut() {
            last.expect.extend(expectations);
        }
        flats
    }

    fn own(&mut self, step: &Arc<StepFile>, scope: &Arc<Scope>, around: &Around) -> Vec<Flat> {
        self.steps += 1;
        if self.steps > MOST {
            if self.steps == MOST + 1 {
                let limit = format!("the limit is {MOST}, included ones counted");
                self.out.push(Diagnostic::at("the scenario has too many steps", &step.place).label(limit));
            }
            return Vec::new();
        }
        let folder = self.stack.last().and_then(|frame| frame.source.folder()).map(folder);
        let action = Reader::new(scope, around, folder.as_deref(), &self.room, &mut self.out).action(step);
        let late = || Late { file: Arc::clone(step), scope: Arc::clone(scope), around: around.clone(), folder };
        let flat = action.map(|action| Flat {
            id: self.steps,
            late: step.args.texts().any(|text| has_outputs(text, scope)).then(late),
            name: step.spec.key.replace('_', "-"),
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

/// Nothing comes before.
static EMPTY: &Around = &Around { callers: Vec::new(), earlier: Vec::new() };

/// A file's folder; the present one has no name.
fn folder(folder: &std::path::Path) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
}

/// A step as those after it may refer to it.
fn earlier(flat: &Flat) -> Earlier {
    let (asks, callers) = match &flat.action {
        Action::Check(_) => (Asks::Request, Vec::new()),
        Action::WaitFor(wait) => match wait.what {
            Condition::Answer(_) => (Asks::Request, Vec::new()),
            Condition::Query { .. } => (Asks::Query, Vec::new()),
            Condition::Metrics(_) | Condition::Alert { .. } => (Asks::Nothing, Vec::new()),
        },
        Action::Traffic(traffic) => (Asks::Nothing, traffic.callers.iter().map(|caller| caller.name.clone()).collect()),
        _ => (Asks::Nothing, Vec::new()),
    };
    Earlier { name: flat.name.clone(), id: flat.id, action: flat.action.name(), asks, callers }
}

/// The steps of a plan: those without a phase get it from their action, or from their place in the story.
fn steps(flats: Vec<Flat>, first: Phase) -> Vec<Step> {
    let mut present = first;
    let step = |flat: Flat| {
        let phase = flat.phase.or_else(|| natural_phase(&flat.action)).unwrap_or(present);
        present = match phase {
            Phase::Inject => Phase::Observe,
            Phase::Remedy => Phase::Verify,
            phase => phase,
        };
        let Flat { id, name, action, expect, place, late, .. } = flat;
        Step { id, name, phase, action, expect, place: place.to_string(), late }
    };
    flats.into_iter().map(step).collect()
}
