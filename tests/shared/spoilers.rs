//! Texts that would give an incident away, and the search for them.

use std::path::Path;
use std::time::{Duration, Instant};

use lab_drill::fold::Drill;
use lab_drill::log::{Drills, Log};
use lab_scenario::{LoadOptions, Plan, Source, Step, load};

/// Longest wait for the first failed request.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Texts of an incident that must not be readable.
pub(crate) struct Spoilers(Vec<String>);

impl Spoilers {
    pub(crate) fn new(plan: &Plan) -> Self {
        let lesson = &plan.lesson;
        let mut texts = vec![plan.title.clone(), plan.description.clone()];
        texts.extend([&lesson.symptom, &lesson.solution].into_iter().flatten().cloned());
        texts.extend(lesson.lessons.iter().cloned());
        texts.extend(lesson.hints.iter().map(|hint| hint.text.clone()));
        texts.extend(plan.claims.wrong_fixes.iter().map(|fix| fix.why.clone()));
        let sentences = texts.iter().flat_map(|text| text.split_inclusive(". "));
        // Shorter ones could be said by anyone.
        let mut all: Vec<String> =
            sentences.map(collapsed).filter(|text| text.len() > 20 || text == &collapsed(&plan.title)).collect();
        let mut names = vec![plan.name.clone()];
        names.extend(plan.claims.wrong_fixes.iter().map(|fix| fix.name.clone()));
        names.extend(plan.claims.other_fixes.iter().map(|fix| fix.name.clone()));
        let steps = plan.steps.iter().chain(&plan.finally);
        names.extend(steps.map(|step: &Step| step.name.clone()));
        // A single word, such as `release`, is no name that could be recognized.
        all.extend(names.into_iter().filter(|name| name.contains('-')));
        Self(all)
    }

    /// Asserts that none of them is in a text.
    #[track_caller]
    pub(crate) fn are_not_in(&self, what: &str, text: &str) {
        self.are_not_new_in(what, text, "");
    }

    /// Asserts that none of them is in a text, unless it is also there without a drill.
    #[track_caller]
    pub(crate) fn are_not_new_in(&self, what: &str, text: &str, before: &str) {
        let (text, before) = (collapsed(text), collapsed(before));
        for spoiler in self.0.iter().filter(|spoiler| !before.contains(spoiler.as_str())) {
            if let Some(at) = text.find(spoiler.as_str()) {
                let around: String = text[..at].chars().rev().take(60).collect();
                let around: String = around.chars().rev().collect();
                let after: String = text[at..].chars().take(spoiler.len() + 60).collect();
                panic!("{what} has {spoiler:?}: …{around}{after}…");
            }
        }
    }
}

fn collapsed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Waits until the fault has its effect. Returns the scenario with the values of the drill.
pub(crate) fn plan_of_drill(state: &Path, incident: &str) -> Plan {
    let drills = Drills::new(state);
    let id = drills.ids().expect("it can be read").pop().expect("a drill");
    let mut log = Log::open(&drills.folder(&id)).expect("the state folder is ours");
    let mut drill = Drill::from_entries(&log.read().expect("it can be read")).expect("it has started");
    assert!(drill.started.fault, "seed 1 draws a fault");
    let begun = Instant::now();
    while drill.impact.is_none() || drill.broken.is_none() {
        assert!(begun.elapsed() < LONGEST_WAIT, "{incident}: no request failed");
        std::thread::sleep(std::time::Duration::from_millis(100));
        log.read().expect("it can be read").iter().for_each(|entry| drill.apply(entry));
    }
    let set = drill.started.brief.parameters.iter().filter(|(_, value)| !value.contains("***"));
    let set = set.map(|(name, value)| (name.clone(), value.clone())).collect();
    load(&Source::Library(incident.to_owned()), &LoadOptions { set, ..LoadOptions::default() }).expect("it was loaded")
}
