//! Values of parameters: from the command line, from `with` of an include, or the default.

use std::collections::{BTreeMap, BTreeSet};

use super::Loader;
use crate::LoadOptions;
use crate::deferred::StepContext;
use crate::file::{Parameter, StepFile};
use crate::reader::Reader;
use crate::template::{Origin, ParameterValue, Scope};
use crate::value;
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, did_you_mean, quote, quote_first};

impl Loader {
    /// Parameters of the top-level file, with values of the command line.
    pub(super) fn given_parameters(&mut self, parameters: &[Parameter], options: &LoadOptions) -> Scope {
        let mut given: BTreeMap<&str, &str> = BTreeMap::new();
        let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.text.as_str()).collect();
        for (name, text) in &options.set {
            let secret = parameters.iter().any(|parameter| parameter.secret && parameter.name.text == *name);
            let value = if secret { lab_core::event::MASK.to_owned() } else { quote(text) };
            let typed = format!("--set {name}={}", value.trim_matches('`'));
            if !names.contains(&name.as_str()) {
                let has = if names.is_empty() {
                    "it has no parameters".to_owned()
                } else {
                    format!("it has {}", quote_first(names.iter().copied()))
                };
                let diagnostic = Diagnostic::new(format!("`{typed}`: the scenario has no parameter {}", quote(name)));
                self.out.push(diagnostic.label(did_you_mean(name, names.iter().copied(), &has)));
            } else if given.insert(name, text).is_some() {
                self.out.push(Diagnostic::new(format!("`{typed}`: the parameter `{name}` is given twice")));
            }
        }
        let mut scope = Scope::new();
        for parameter in parameters {
            let name = parameter.name.text.as_str();
            if let Some(text) = given.get(name) {
                let value = ParameterValue::plain((*text).to_owned(), Origin::Set(name.to_owned()), parameter.secret);
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
        self.register_secrets(parameters, &scope);
        scope
    }

    /// Registers the values of secret parameters for masking.
    fn register_secrets(&mut self, parameters: &[Parameter], scope: &Scope) {
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

    /// Parameters of an included file, with values from `with`.
    pub(super) fn included_parameters(
        &mut self,
        parameters: &[Parameter],
        step: &StepFile,
        include: &Text,
        scope: &Scope,
        context: &StepContext,
    ) -> Scope {
        let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.text.as_str()).collect();
        let known: BTreeMap<&str, bool> =
            names.iter().copied().zip(parameters.iter().map(|parameter| parameter.secret)).collect();
        let mut reader = Reader::new(scope, context, None, &self.budget, &mut self.out);
        let mut inner = Scope::new();
        for (name, text) in &step.with {
            let Some(marked) = known.get(name.text.as_str()) else {
                let has = if names.is_empty() {
                    "it has no parameters".to_owned()
                } else {
                    format!("it has {}", quote_first(names.iter().copied()))
                };
                let message = format!("{} has no parameter {}", quote(&include.text), quote(&name.text));
                let few = reader.out.are_few();
                let label = if few { did_you_mean(&name.text, names.iter().copied(), &has) } else { has };
                reader.out.push(Diagnostic::at(message, &name.place).label(label));
                continue;
            };
            if let Some(resolved) = reader.resolve(text) {
                // A forwarded parameter keeps its origin, so that messages point to where the value was written.
                let origin = forwarded_origin(text, scope).unwrap_or_else(|| Origin::With(text.place.clone()));
                let secret = resolved.secret || *marked;
                inner.insert(name.text.clone(), ParameterValue { parts: resolved.parts, origin, secret });
            }
        }
        let given: BTreeSet<&str> = step.with.iter().map(|(name, _)| name.text.as_str()).collect();
        for parameter in parameters {
            let name = parameter.name.text.as_str();
            if inner.contains_key(name) || given.contains(name) {
                continue;
            }
            if let Some(value) = default(parameter) {
                if let Err(diagnostic) = self.budget.spend(name.len() + value.bytes(), &include.place) {
                    self.out.push_last(diagnostic);
                    break;
                }
                inner.insert(name.to_owned(), value);
            } else if !parameter.broken {
                self.out.push(
                    Diagnostic::at(format!("{} needs the parameter `{name}`", quote(&include.text)), &include.place)
                        .label(format!("expected `with: {{ {name}: … }}` on this step"))
                        .note(format!("it has no default at {}", parameter.name.place)),
                );
            }
        }
        self.register_secrets(parameters, &inner);
        inner
    }
}

fn default(parameter: &Parameter) -> Option<ParameterValue> {
    parameter.default.as_ref().map(|text| written(text, parameter))
}

fn short(parameter: &Parameter) -> Option<ParameterValue> {
    parameter.short.as_ref().map(|text| written(text, parameter))
}

/// A value written in the declaration.
fn written(text: &Text, parameter: &Parameter) -> ParameterValue {
    ParameterValue::plain(text.text.replace("$${", "${"), Origin::Default(text.place.clone()), parameter.secret)
}

/// Origin of a value that is a single parameter.
fn forwarded_origin(text: &Text, scope: &Scope) -> Option<Origin> {
    let name = text.text.strip_prefix("${")?.strip_suffix('}')?;
    scope.get(name).map(|value| value.origin.clone())
}
