//! Flattens the steps of a scenario's claims. A check must not change the lab, and must be able to fail.

use std::sync::Arc;

use super::super::deferred::StepContext;
use super::super::lesson::{CheckFile, Claims, FixFile, LessonFile, OtherFix, WrongFix};
use super::super::plan::{Action, Caller, Condition, Kind, Step};
use super::super::reader::Reader;
use super::super::template::Scope;
use super::super::value;
use super::{EMPTY, FlatStep, Loader, StepFile, StepLists, assign_names, steps};
use lab_core::event::Phase;
use lab_yaml::Diagnostic;

impl Loader {
    /// `callers` are those of the scenario; the checks use them too.
    pub(super) fn claims(&mut self, file: &LessonFile, scope: &Arc<Scope>, callers: &[Caller], kind: Kind) -> Claims {
        if let (Kind::Practice, Some(place)) = (kind, &file.symptom_check.place) {
            let label = "nothing breaks in a practice; use `resolved_check`, which passes only at the end";
            self.out.push(Diagnostic::at("a practice cannot have a `symptom_check`", place).label(label));
        }
        let symptom_check = self.check("symptom_check", &file.symptom_check, scope, callers);
        let resolved_check = self.check("resolved_check", &file.resolved_check, scope, callers);
        let wrong_fixes = file.fixes.wrong.iter().filter_map(|fix| {
            let (name, steps) = self.fix(fix, scope, callers)?;
            let mut reader = Reader::new(scope, EMPTY, None, &self.budget, &mut self.out);
            let why = reader.open("why", fix.why.as_ref()?, value::paragraph)?;
            Some(WrongFix { name, why, steps })
        });
        let wrong_fixes = wrong_fixes.collect();
        let other_fixes = file.fixes.other.iter().filter_map(|fix| {
            let (name, steps) = self.fix(fix, scope, callers)?;
            Some(OtherFix { name, steps })
        });
        let other_fixes = other_fixes.collect();
        Claims { symptom_check, resolved_check, wrong_fixes, other_fixes }
    }

    /// Name and steps of a fix.
    fn fix(&mut self, fix: &FixFile, scope: &Arc<Scope>, callers: &[Caller]) -> Option<(String, Vec<Step>)> {
        let mut reader = Reader::new(scope, EMPTY, None, &self.budget, &mut self.out);
        let name = reader.open("name", &fix.name, value::step_name);
        let steps = steps(self.flatten_named(&fix.steps, scope, callers), Phase::Baseline);
        Some((name?, steps))
    }

    fn check(&mut self, key: &str, check: &CheckFile, scope: &Arc<Scope>, callers: &[Caller]) -> Vec<Step> {
        let Some(place) = &check.place else { return Vec::new() };
        let before = self.out.len();
        let flats = self.flatten_named(&check.steps, scope, callers);
        for flat in flats.iter().filter(|flat| flat.action.is_change()) {
            let message = format!("`{key}` would change the lab: `{}`", flat.action.name());
            let label = "a check must be read-only: `check`, `traffic` with `expect`, `wait_for`, `wait`";
            self.out.push(Diagnostic::at(message, &flat.here).label(label));
        }
        let judged = |flat: &FlatStep| !flat.expect.is_empty() || flat.action.profile().asserts;
        if !check.broken && self.out.len() == before && !flats.iter().any(judged) {
            let label = "expected a `check`, or `traffic` with an `expect`";
            self.out.push(Diagnostic::at(format!("`{key}` can never fail"), place).label(label));
        }
        steps(flats, Phase::Baseline)
    }

    /// Reports steps that wait for a resolved check if there is none, and those within the claims, which would wait for
    /// themselves.
    pub(super) fn check_waits(&mut self, lists: &StepLists, claims: &Claims) {
        if claims.resolved_check.is_empty() {
            let all = lists.steady_state.iter().chain(&lists.steps).chain(&lists.finally);
            for flat in all.filter(|flat| waits_for_person(&flat.action)) {
                let message = "`wait_for` has nothing to wait for: the scenario has no `resolved_check`";
                self.out.push(Diagnostic::at(message, &flat.here).label("expected another condition"));
            }
        }
    }

    /// Flattens a separate list of steps, whose names are independent of the scenario's.
    fn flatten_named(&mut self, files: &[Arc<StepFile>], scope: &Arc<Scope>, callers: &[Caller]) -> Vec<FlatStep> {
        let mut flats =
            self.flatten_list(files, scope, &mut StepContext { callers: callers.to_vec(), earlier: Vec::new() });
        self.report_duplicate_names(flats.iter());
        for flat in flats.iter().filter(|flat| waits_for_person(&flat.action)) {
            let message = "`wait_for: { resolved: true }` is only allowed in `steps` and `finally`";
            self.out.push(Diagnostic::at(message, &flat.here).label("this list is part of the claims"));
        }
        assign_names([&mut flats]);
        flats
    }
}

fn waits_for_person(action: &Action) -> bool {
    matches!(action, Action::WaitFor(wait) if wait.what == Condition::Resolved)
}
