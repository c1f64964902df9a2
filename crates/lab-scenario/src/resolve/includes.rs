//! The steps of another file, in its own parameters; no file leads back to itself.

use std::sync::Arc;

use super::{Flat, Frame, Loader, MOST};
use crate::action::Reader;
use crate::file::StepFile;
use crate::late::Around;
use crate::source::Source;
use crate::template::Scope;
use crate::value;
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, shown};

/// How deep scenarios may include each other.
const DEEPEST: usize = 16;

impl Loader {
    pub(super) fn include(&mut self, step: &StepFile, text: &Text, scope: &Arc<Scope>, around: &Around) -> Vec<Flat> {
        let mut reader = Reader::new(scope, around, None, &self.room, &mut self.out);
        let Some(name) = reader.fixed("scenario", text, value::scenario_name) else { return Vec::new() };
        let Some(source) = self.stack.last().map(|frame| frame.source.included(&name)) else { return Vec::new() };
        if !self.may_include(&source, text) {
            return Vec::new();
        }
        let Some(file) = self.file(&source, Some(&text.place)) else { return Vec::new() };
        let inner = Arc::new(self.handed(&file.parameters, step, text, scope, around));
        self.stack.push(Frame { source, place: Some(text.place.clone()) });
        let lists = self.lay_out(&file, &inner, &around.callers);
        self.stack.pop();
        for (key, list) in [("steady_state", &lists.steady_state), ("finally", &lists.finally)] {
            if !list.is_empty() {
                let message = format!("{} has a `{key}`, which belongs to a whole run", shown(&name));
                self.out.push(
                    Diagnostic::at(message, &text.place)
                        .label("expected a scenario without one")
                        .help(format!("move its steps into a file of their own, and include that under `{key}`")),
                );
            }
        }
        lists.steps
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
}
