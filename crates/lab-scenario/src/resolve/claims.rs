//! The steps of a scenario's claims, laid out like its own: a check may only look, and must be able to fail.

use std::sync::Arc;

use super::super::action::Reader;
use super::super::late::Around;
use super::super::lesson::{CheckFile, Claims, LessonFile, WrongFix};
use super::super::plan::{Action, Caller, Kind, Step};
use super::super::template::Scope;
use super::super::value;
use super::{EMPTY, Flat, Loader, StepFile, settle, steps};
use lab_core::event::Phase;
use lab_yaml::Diagnostic;

impl Loader {
    /// `callers`: the scenario's, who send in its checks as well.
    pub(super) fn claims(&mut self, file: &LessonFile, scope: &Arc<Scope>, callers: &[Caller], kind: Kind) -> Claims {
        if let (Kind::Practice, Some(place)) = (kind, &file.symptom_check.place) {
            let label = "nothing breaks in it: `resolved_check` is what passes at its end, and not before";
            self.out.push(Diagnostic::at("a practice has no `symptom_check`", place).label(label));
        }
        let symptom_check = self.check("symptom_check", &file.symptom_check, scope, callers);
        let resolved_check = self.check("resolved_check", &file.resolved_check, scope, callers);
        let mut wrong_fixes = Vec::new();
        for fix in &file.wrong_fixes {
            let mut reader = Reader::new(scope, EMPTY, None, &self.room, &mut self.out);
            let name = reader.open("name", &fix.name, value::step_name);
            let why = reader.open("why", &fix.why, value::paragraph);
            let steps = steps(self.settled(&fix.steps, scope, callers), Phase::Baseline);
            if let (Some(name), Some(why)) = (name, why) {
                wrong_fixes.push(WrongFix { name, why, steps });
            }
        }
        Claims { symptom_check, resolved_check, wrong_fixes }
    }

    fn check(&mut self, key: &str, check: &CheckFile, scope: &Arc<Scope>, callers: &[Caller]) -> Vec<Step> {
        let Some(place) = &check.place else { return Vec::new() };
        let before = self.out.len();
        let flats = self.settled(&check.steps, scope, callers);
        for flat in flats.iter().filter(|flat| flat.action.is_change()) {
            let message = format!("`{key}` would change the lab: `{}`", flat.action.name());
            let label = "a check only looks: `check`, `traffic` with `expect`, `wait_for`, `wait`";
            self.out.push(Diagnostic::at(message, &flat.here).label(label));
        }
        let judged =
            |flat: &Flat| !flat.expect.is_empty() || matches!(flat.action, Action::Check(_) | Action::WaitFor(_));
        if !check.broken && self.out.len() == before && !flats.iter().any(judged) {
            let label = "expected a `check`, or `traffic` with an `expect`";
            self.out.push(Diagnostic::at(format!("`{key}` can never fail"), place).label(label));
        }
        steps(flats, Phase::Baseline)
    }

    /// Steps of a list of their own: their names are free of the scenario's.
    fn settled(&mut self, files: &[Arc<StepFile>], scope: &Arc<Scope>, callers: &[Caller]) -> Vec<Flat> {
        let mut flats = self.list(files, scope, &mut Around { callers: callers.to_vec(), earlier: Vec::new() });
        self.duplicates(flats.iter());
        settle([&mut flats]);
        flats
    }
}
