//! Which value each parameter of a file has: of the command line, of the `with` of an include, or its own default.

use std::collections::{BTreeMap, BTreeSet};

use super::Loader;
use crate::LoadOptions;
use crate::action::Reader;
use crate::file::{Parameter, StepFile};
use crate::late::Around;
use crate::template::{Origin, Scope, Value};
use crate::value;
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, first, meant, shown};

impl Loader {
    /// The parameters as the command line gives them.
    pub(super) fn given(&mut self, parameters: &[Parameter], options: &LoadOptions) -> Scope {
        let mut given: BTreeMap<&str, &str> = BTreeMap::new();
        let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.text.as_str()).collect();
        for (name, text) in &options.set {
            let secret = parameters.iter().any(|parameter| parameter.secret && parameter.name.text == *name);
            let value = if secret { lab_core::event::MASK.to_owned() } else { shown(text) };
            let typed = format!("--set {name}={}", value.trim_matches('`'));
            if !names.contains(&name.as_str()) {
                let has = if names.is_empty() {
                    "it has none".to_owned()
                } else {
                    format!("it has {}", first(names.iter().copied()))
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
                let value = Value::plain((*text).to_owned(), Origin::Set(name.to_owned()), parameter.secret);
                scope.insert(name.to_owned(), value);
            } else if let Some(value) = short(parameter).filter(|_| options.short).or_else(|| default(parameter)) {
                scope.insert(name.to_owned(), value);
            } else if !parameter.broken {
                self.out.push(
                    Diagnostic::at(format!("the parameter `{name}` has no value"), &parameter.name.place)
                        .label("it has no default")
                        .help(format!("give it one: `--set {name}=…`, or `{name}: {{ default: … }}`")),
                );
            }
        }
        self.keep_secret(parameters, &scope);
        scope
    }

    /// Remembers the values of parameters that are marked `secret`.
    fn keep_secret(&mut self, parameters: &[Parameter], scope: &Scope) {
        for parameter in parameters.iter().filter(|parameter| parameter.secret) {
            let Some(value) = scope.get(&parameter.name.text) else { continue };
            let text = value.text();
            if let Err(rule) = value::secret(&text) {
                let message = format!("the value of `{}` cannot be kept secret", parameter.name.text);
                self.out.push(Diagnostic::at(message, &parameter.name.place).label(rule));
            }
            self.secrets.add(&text);
        }
    }

    /// The parameters of an included file, as `with` gives them.
    pub(super) fn handed(
        &mut self,
        parameters: &[Parameter],
        step: &StepFile,
        include: &Text,
        scope: &Scope,
        around: &Around,
    ) -> Scope {
        let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.text.as_str()).collect();
        let known: BTreeMap<&str, bool> =
            names.iter().copied().zip(parameters.iter().map(|parameter| parameter.secret)).collect();
        let mut reader = Reader::new(scope, around, None, &self.room, &mut self.out);
        let mut inner = Scope::new();
        for (name, text) in &step.with {
            let Some(marked) = known.get(name.text.as_str()) else {
                let has = if names.is_empty() {
                    "it has none".to_owned()
                } else {
                    format!("it has {}", first(names.iter().copied()))
                };
                let message = format!("{} has no parameter {}", shown(&include.text), shown(&name.text));
                let few = reader.out.are_few();
                let label = if few { meant(&name.text, names.iter().copied(), &has) } else { has };
                reader.out.push(Diagnostic::at(message, &name.place).label(label));
                continue;
            };
            if let Some(resolved) = reader.resolve(text) {
                // What `with` only hands on keeps its own origin, so that a message names where the value was written.
                let origin = handed_on(text, scope).unwrap_or_else(|| Origin::With(text.place.clone()));
                let secret = resolved.secret || *marked;
                inner.insert(name.text.clone(), Value { parts: resolved.parts, origin, secret });
            }
        }
        let given: BTreeSet<&str> = step.with.iter().map(|(name, _)| name.text.as_str()).collect();
        for parameter in parameters {
            let name = parameter.name.text.as_str();
            if inner.contains_key(name) || given.contains(name) {
                continue;
            }
            if let Some(value) = default(parameter) {
                if let Err(diagnostic) = self.room.take(name.len() + value.bytes(), &include.place) {
                    self.out.push_last(diagnostic);
                    break;
                }
                inner.insert(name.to_owned(), value);
            } else if !parameter.broken {
                self.out.push(
                    Diagnostic::at(format!("{} needs the parameter `{name}`", shown(&include.text)), &include.place)
                        .label(format!("expected `with: {{ {name}: … }}` on this step"))
                        .note(format!("it has no default at {}", parameter.name.place)),
                );
            }
        }
        self.keep_secret(parameters, &inner);
        inner
    }
}

fn default(parameter: &Parameter) -> Option<Value> {
    parameter.default.as_ref().map(|text| written(text, parameter))
}

fn short(parameter: &Parameter) -> Option<Value> {
    parameter.short.as_ref().map(|text| written(text, parameter))
}

/// A value that stands at the parameter itself.
fn written(text: &Text, parameter: &Parameter) -> Value {
    Value::plain(text.text.replace("$${", "${"), Origin::Default(text.place.clone()), parameter.secret)
}

/// Where a value comes from that is nothing but one parameter.
fn handed_on(text: &Text, scope: &Scope) -> Option<Origin> {
    let name = text.text.strip_prefix("${")?.strip_suffix('}')?;
    scope.get(name).map(|value| value.origin.clone())
}
