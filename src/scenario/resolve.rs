//! From what was written to what it means: parameters get their values, included scenarios are laid out as steps, steps
//! get their names and phases.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::action::{Reader, natural_phase};
use super::file::{self, Args, Parameter, ScenarioFile, StepFile};
use super::plan::{Action, Expectation, Plan, Step};
use super::source::Source;
use super::template::{Origin, Scope, Value};
use super::value;
use crate::event::Phase;
use crate::yaml::Place;
use crate::yaml::list;
use crate::yaml::node::Text;
use crate::yaml::{Diagnostic, Diagnostics, meant, shown};

/// How deep scenarios may include each other.
const DEEPEST: usize = 16;
/// The most steps of a plan, and the most includes on the way to it.
const MOST: usize = 1000;

/// What was given beside the scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Parameters by name: `--set name=value`.
    pub set: Vec<(String, String)>,
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
    name: String,
    /// Nobody has named it: where the name is taken, it gets a number.
    unnamed: bool,
    phase: Option<Phase>,
    action: Action,
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
}

impl Loader {
    fn load(&mut self, source: &Source, options: &LoadOptions) -> Option<Plan> {
        let file = self.file(source, None)?;
        let scope = self.given(&file.parameters, options);
        let mut reader = Reader { scope: &scope, out: &mut self.out };
        let title = file.title.as_ref().and_then(|text| reader.value("title", text, value::line));
        let kind = file.kind.as_ref().and_then(|text| reader.value("kind", text, value::kind));
        let description = file.description.as_ref().and_then(|text| reader.resolve(text));
        let tags = file.tags.iter().filter_map(|text| reader.value("tags", text, value::step_name)).collect();
        self.stack.push(Frame { source: source.clone(), place: None });
        let mut flats = self.lay_out(&file, &scope);
        self.stack.pop();
        settle(&mut flats);
        Some(Plan {
            name: source.name(),
            title: title.unwrap_or_default(),
            description: description.map(|text| text.text.trim().to_owned()).unwrap_or_default(),
            kind: kind.unwrap_or_default(),
            tags,
            parameters: scope.into_iter().map(|(name, value)| (name, value.text)).collect(),
            steps: steps(flats),
        })
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

    /// The parameters as the command line gives them.
    fn given(&mut self, parameters: &[Parameter], options: &LoadOptions) -> Scope {
        let mut given: BTreeMap<&str, &str> = BTreeMap::new();
        let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.text.as_str()).collect();
        for (name, text) in &options.set {
            let typed = format!("--set {name}={}", shown(text).trim_matches('`'));
            if !names.contains(&name.as_str()) {
                let has = if names.is_empty() {
                    "it has none".to_owned()
                } else {
                    format!("it has {}", list(names.iter().copied()))
                };
                let diagnostic = Diagnostic::new(format!("`{typed}`: the scenario has no parameter {}", shown(name)));
                self.out.push(diagnostic.label(meant(name, names.iter().copied(), &has)));
            } else if given.insert(name, text).is_some() {
                self.out.push(Diagnostic::new(format!("`{typed}`: the parameter `{name}` is given twice")));
            }
        }
        let mut scope = Scope::new();
        for parameter in parameters {
            let name = parameter.name.text.as_str();
            if let Some(text) = given.get(name) {
                scope.insert(name.to_owned(), Value { text: (*text).to_owned(), origin: Origin::Set(name.to_owned()) });
            } else if let Some(value) = default(parameter) {
                scope.insert(name.to_owned(), value);
            } else if !parameter.broken {
                self.out.push(
                    Diagnostic::at(format!("the parameter `{name}` has no value"), &parameter.name.place)
                        .label("it has no default")
                        .help(format!("give it one: `--set {name}=…`, or `{name}: {{ default: … }}`")),
                );
            }
        }
        scope
    }

    fn lay_out(&mut self, file: &ScenarioFile, scope: &Scope) -> Vec<Flat> {
        let mut all: Vec<Flat> = Vec::new();
        for step in &file.steps {
            let mut flats = self.step(step, scope);
            for flat in &mut flats {
                flat.here = step.name.as_ref().map_or(&step.place, |name| &name.place).clone();
                for expectation in &mut flat.expect {
                    expectation.since += all.len();
                }
            }
            all.append(&mut flats);
        }
        self.duplicates(&all);
        all
    }

    fn step(&mut self, step: &StepFile, scope: &Scope) -> Vec<Flat> {
        let mut reader = Reader { scope, out: &mut self.out };
        let name = step.name.as_ref().and_then(|text| reader.value("name", text, value::step_name));
        let phase = step.phase.as_ref().and_then(|text| reader.value("phase", text, value::phase));
        let before = reader.out.len();
        let mut flats = match &step.args {
            Args::Text(text) if step.spec.key == "scenario" => self.include(step, text, scope),
            _ => self.own(step, scope),
        };
        let sound = self.out.len() == before;
        if let Some(name) = name {
            rename(&mut flats, &name);
        }
        for flat in &mut flats {
            flat.phase = flat.phase.or(phase);
        }
        // Where the step itself is wrong, nothing is said of traffic that it may have sent.
        let traffic = !sound || flats.iter().any(|flat| matches!(flat.action, Action::Traffic(_)));
        let mut reader = Reader { scope, out: &mut self.out };
        let expectations = reader.expectations(step, traffic);
        if let Some(last) = flats.last_mut() {
            last.expect.extend(expectations);
        }
        flats
    }

    fn own(&mut self, step: &StepFile, scope: &Scope) -> Vec<Flat> {
        self.steps += 1;
        if self.steps > MOST {
            if self.steps == MOST + 1 {
                let limit = format!("the limit is {MOST}, included ones counted");
                self.out.push(Diagnostic::at("the scenario has too many steps", &step.place).label(limit));
            }
            return Vec::new();
        }
        let action = Reader { scope, out: &mut self.out }.action(step);
        let flat = action.map(|action| Flat {
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

    fn include(&mut self, step: &StepFile, text: &Text, scope: &Scope) -> Vec<Flat> {
        let mut reader = Reader { scope, out: &mut self.out };
        let Some(name) = reader.value("scenario", text, value::scenario_name) else { return Vec::new() };
        let Some(source) = self.stack.last().map(|frame| frame.source.included(&name)) else { return Vec::new() };
        if !self.may_include(&source, text) {
            return Vec::new();
        }
        let Some(file) = self.file(&source, Some(&text.place)) else { return Vec::new() };
        let inner = self.handed(&file.parameters, step, text, scope);
        self.stack.push(Frame { source, place: Some(text.place.clone()) });
        let flats = self.lay_out(&file, &inner);
        self.stack.pop();
        flats
    }

    /// Whether an include leads anywhere: no cycle, not too deep, not too many.
    fn may_include(&mut self, source: &Source, text: &Text) -> bool {
        self.includes += 1;
        if let Some(first) = self.stack.iter().position(|frame| frame.source.is_same(source)) {
            let name = source.name();
            let mut diagnostic = Diagnostic::at(format!("{} includes itself", shown(&name)), &text.place);
            diagnostic = diagnostic.label("this would go on for ever");
            for pair in self.stack[first..].windows(2) {
                if let Some(place) = &pair[1].place {
                    let (outer, inner) = (pair[0].source.name(), pair[1].source.name());
                    diagnostic = diagnostic.note(format!("`{outer}` includes `{inner}` at {place}"));
                }
            }
            if self.stack.len() > first + 1 {
                let last = self.stack.last().map(|frame| frame.source.name()).unwrap_or_default();
                diagnostic = diagnostic.note(format!("`{last}` includes `{name}` at {}", text.place));
            }
            self.out.push(diagnostic);
            return false;
        }
        if self.stack.len() > DEEPEST {
            let limit = format!("the limit is {DEEPEST}");
            self.out.push(Diagnostic::at("scenarios include each other too deep", &text.place).label(limit));
            return false;
        }
        if self.includes > MOST && self.includes == MOST + 1 {
            let limit = format!("the limit is {MOST}");
            self.out.push(Diagnostic::at("the scenario has too many includes", &text.place).label(limit));
        }
        self.includes <= MOST
    }

    /// The parameters of an included file, as `with` gives them.
    fn handed(&mut self, parameters: &[Parameter], step: &StepFile, include: &Text, scope: &Scope) -> Scope {
        let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.text.as_str()).collect();
        let reader = Reader { scope, out: &mut self.out };
        let mut inner = Scope::new();
        for (name, text) in &step.with {
            if !names.contains(&name.text.as_str()) {
                let has = if names.is_empty() {
                    "it has none".to_owned()
                } else {
                    format!("it has {}", list(names.iter().copied()))
                };
                let message = format!("{} has no parameter {}", shown(&include.text), shown(&name.text));
                let label = meant(&name.text, names.iter().copied(), &has);
                reader.out.push(Diagnostic::at(message, &name.place).label(label));
                continue;
            }
            if let Some(resolved) = reader.resolve(text) {
                // What `with` only hands on keeps its own origin, so that a message names where the value was written.
                let origin = handed_on(text, scope).unwrap_or_else(|| Origin::With(text.place.clone()));
                inner.insert(name.text.clone(), Value { text: resolved.text, origin });
            }
        }
        for parameter in parameters {
            let name = parameter.name.text.as_str();
            if inner.contains_key(name) || step.with.iter().any(|(given, _)| given.text == name) {
                continue;
            }
            if let Some(value) = default(parameter) {
                inner.insert(name.to_owned(), value);
            } else if !parameter.broken {
                self.out.push(
                    Diagnostic::at(format!("{} needs the parameter `{name}`", shown(&include.text)), &include.place)
                        .label(format!("expected `with: {{ {name}: … }}` on this step"))
                        .note(format!("it has no default at {}", parameter.name.place)),
                );
            }
        }
        inner
    }

    /// Two steps of one list with the same name, both of which somebody has given.
    fn duplicates(&mut self, flats: &[Flat]) {
        let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
        for flat in flats.iter().filter(|flat| !flat.unnamed) {
            let Some(first) = seen.get(flat.name.as_str()) else {
                seen.insert(&flat.name, &flat.here);
                continue;
            };
            // Within one include it was found there.
            if **first != flat.here {
                self.out.push(
                    Diagnostic::at(format!("two steps are named `{}`", flat.name), &flat.here)
                        .label("give this one a `name` of its own")
                        .note(format!("the first is at {first}")),
                );
            }
        }
    }
}

fn default(parameter: &Parameter) -> Option<Value> {
    let text = parameter.default.as_ref()?;
    Some(Value { text: text.text.replace("$${", "${"), origin: Origin::Default(text.place.clone()) })
}

/// Where a value comes from that is nothing but one parameter.
fn handed_on(text: &Text, scope: &Scope) -> Option<Origin> {
    let name = text.text.strip_prefix("${")?.strip_suffix('}')?;
    scope.get(name).map(|value| value.origin.clone())
}

/// A name given to an include is that of its only step, or stands before those of its steps.
fn rename(flats: &mut [Flat], name: &str) {
    if let [flat] = flats {
        name.clone_into(&mut flat.name);
        flat.unnamed = false;
        return;
    }
    settle(flats);
    for flat in flats {
        flat.name = format!("{name}/{}", flat.name);
    }
}

/// Gives every step that nobody has named a name that is free: `traffic`, `traffic-2`, `traffic-3`.
fn settle(flats: &mut [Flat]) {
    let mut taken: BTreeSet<String> = flats.iter().filter(|flat| !flat.unnamed).map(|flat| flat.name.clone()).collect();
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    for flat in flats.iter_mut().filter(|flat| flat.unnamed) {
        let number = next.entry(flat.name.clone()).or_insert(1);
        let name = loop {
            let name = if *number == 1 { flat.name.clone() } else { format!("{}-{number}", flat.name) };
            *number += 1;
            if taken.insert(name.clone()) {
                break name;
            }
        };
        flat.name = name;
        flat.unnamed = false;
    }
}

/// The steps of a plan: those without a phase get it from their action, or from their place in the story.
fn steps(flats: Vec<Flat>) -> Vec<Step> {
    let mut present = Phase::Baseline;
    let step = |flat: Flat| {
        let phase = flat.phase.or_else(|| natural_phase(&flat.action)).unwrap_or(present);
        present = match phase {
            Phase::Inject => Phase::Observe,
            Phase::Remedy => Phase::Verify,
            phase => phase,
        };
        Step { name: flat.name, phase, action: flat.action, expect: flat.expect, place: flat.place.to_string() }
    };
    flats.into_iter().map(step).collect()
}
