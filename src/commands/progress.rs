//! What a lab's coming up looks like: a live line a service on a terminal, with a bar for what is fetched. What stays is a
//! line for each service that is healthy; in a pipe there is one more for what takes minutes, when it begins.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use lab_core::engine::{Progress, ProgressFn};
use lab_report::report::human;
use lab_report::term::{Live, Plain, Term};

/// A service on its way.
struct Line {
    live: Live,
    begun: Instant,
    stage: String,
    /// Of a pull: since when, and how much of it is here.
    pull: Option<(Instant, u64)>,
}

/// Shows the services as they come up; what is drawn goes away with the last clone of the function.
pub(super) fn show(term: &Term) -> ProgressFn {
    let lines: Mutex<BTreeMap<String, Line>> = Mutex::new(BTreeMap::new());
    let term = term.clone();
    Arc::new(move |progress| step(&term, &mut lines.lock().unwrap_or_else(PoisonError::into_inner), &progress))
}

fn step(term: &Term, lines: &mut BTreeMap<String, Line>, progress: &Progress) {
    let line = lines.entry(progress.service.clone()).or_insert_with(|| Line {
        live: term.live(&progress.service, Plain::Silent),
        begun: Instant::now(),
        stage: String::new(),
        pull: None,
    });
    if term.stderr_is_terminal() {
        draw(term, line, progress);
    } else {
        announce(term, line, progress);
    }
    line.stage.clone_from(&progress.stage);
}

fn draw(term: &Term, line: &Line, progress: &Progress) {
    let Progress { service, stage, bytes } = progress;
    if let Some(bytes) = bytes {
        moved(&line.live, &format!("{service:<10} {stage}"), *bytes, "");
    } else if line.stage != *stage {
        line.live.label(&format!("{service:<10} {stage}"));
    }
    if stage == HEALTHY && line.stage != *stage {
        line.live.clear();
        term.note(&format!("  {service:<10} healthy {}", human::duration(line.begun.elapsed())));
    }
}

/// So many bytes of so many have come, or gone; `about` stands before the second where it is an estimate.
pub(super) fn moved(live: &Live, label: &str, (done, total): (u64, u64), about: &str) {
    live.share(label, done, total, &format!("{} of {about}{}", human::bytes(done), human::bytes(total)));
}

/// Who reads a log of it wants to know why nothing happens for minutes.
fn announce(term: &Term, line: &mut Line, progress: &Progress) {
    let Progress { service, stage, bytes } = progress;
    match (bytes, line.pull) {
        (Some(_), None) => {
            term.note(&format!("{service}: {stage} its image"));
            line.pull = Some((Instant::now(), 0));
        }
        (Some((done, _)), Some((begun, _))) => line.pull = Some((begun, *done)),
        (None, Some((begun, done))) => {
            let took = human::duration(begun.elapsed());
            term.note(&format!("{service}: its image is here, {} in {took}", human::bytes(done)));
            line.pull = None;
        }
        // A build tells each of its steps; one line for all of them.
        (None, None) if stage.starts_with(BUILDING) && !line.stage.starts_with(BUILDING) => {
            term.note(&format!("{service}: {BUILDING}"));
        }
        (None, None) if stage == HEALTHY && line.stage != *stage => {
            term.note(&format!("{service}: healthy after {}", human::duration(line.begun.elapsed())));
        }
        (None, None) => {}
    }
}

/// The last stage of a service that is waited for.
const HEALTHY: &str = "healthy";
/// How the stages of a build begin.
const BUILDING: &str = "building its image";
