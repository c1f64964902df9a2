//! Flattens included files. Detects cycles.

use std::sync::Arc;

use super::{FlatStep, IncludeFrame, Loader, MAX_STEPS};
use crate::deferred::StepContext;
use crate::file::StepFile;
use crate::reader::Reader;
use crate::source::Source;
use crate::template::Scope;
use crate::value;
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, quote};

/// Maximum depth of includes.
const MAX_DEPTH: usize = 16;

impl Loader {
    pub(super) fn include(
        &mut self,
        step: &StepFile,
        text: &Text,
        scope: &Arc<Scope>,
        context: &StepContext,
    ) -> Vec<FlatStep> {
        let mut reader = Reader::new(scope, context, None, &self.budget, &mut self.out);
        let Some(name) = reader.fixed("scenario", text, value::scenario_name) else { return Vec::new() };
        let Some(source) = self.stack.last().map(|frame| frame.source.included(&name)) else { return Vec::new() };
        if !self.check_include(&source, text) {
            return Vec::new();
        }
        let Some(file) = self.load_file(&source, Some(&text.place)) else { return Vec::new() };
        let inner = Arc::new(self.included_parameters(&file.parameters, step, text, scope, context));
        self.stack.push(IncludeFrame { source, place: Some(text.place.clone()) });
        let lists = self.flatten(&file, &inner, &context.callers);
        self.stack.pop();
        for (key, list) in [("steady_state", &lists.steady_state), ("finally", &lists.finally)] {
            if !list.is_empty() {
                let message = format!("{} has a `{key}`, which is only allowed at the top level", quote(&name));
                self.out.push(
                    Diagnostic::at(message, &text.place)
                        .label("expected a scenario without it")
                        .help(format!("move its steps to another file, and include that file under `{key}`")),
                );
            }
        }
        lists.steps
    }

    /// Reports cycles and exceeded limits. Returns true if the include is allowed.
    fn check_include(&mut self, source: &Source, text: &Text) -> bool {
        self.includes += 1;
        if let Some(first) = self.stack.iter().position(|frame| frame.source.is_same(source)) {
            let name = source.name();
            let mut diagnostic = Diagnostic::at(format!("{} includes itself", quote(&name)), &text.place);
            diagnostic = diagnostic.label("this would never end");
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
        if self.stack.len() > MAX_DEPTH {
            let limit = format!("the limit is {MAX_DEPTH}");
            self.out.push(Diagnostic::at("scenarios are included too deeply", &text.place).label(limit));
            return false;
        }
        if self.includes > MAX_STEPS && self.includes == MAX_STEPS + 1 {
            let limit = format!("the limit is {MAX_STEPS}");
            self.out.push(Diagnostic::at("the scenario has too many includes", &text.place).label(limit));
        }
        self.includes <= MAX_STEPS
    }
}
