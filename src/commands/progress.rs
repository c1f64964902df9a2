//! Progress of a starting lab. On a terminal: one progress line per service, with a bar for downloads. A line stays for each
//! healthy service; in a pipe, slow operations are also announced when they begin.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use lab_core::engine::{Progress, ProgressFn};
use lab_report::report::human;
use lab_report::term::{Fallback, ProgressLine, Term};

/// Progress line of one service.
struct Line {
    progress: ProgressLine,
    begun: Instant,
    stage: String,
    /// Start time and downloaded bytes of a pull.
    pull: Option<(Instant, u64)>,
}

/// Shows the services as they start. The progress lines are cleared with the last clone of the function.
pub(super) fn show(term: &Term) -> ProgressFn {
    let lines: Mutex<BTreeMap<String, Line>> = Mutex::new(BTreeMap::new());
    let term = term.clone();
    Arc::new(move |progress| step(&term, &mut lines.lock().unwrap_or_else(PoisonError::into_inner), &progress))
}

fn step(term: &Term, lines: &mut BTreeMap<String, Line>, progress: &Progress) {
    let line = lines.entry(progress.service.clone()).or_insert_with(|| Line {
        progress: term.progress_line(&progress.service, Fallback::Silent),
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
        transferred(&line.progress, &format!("{service:<10} {stage}"), *bytes, "");
    } else if line.stage != *stage {
        line.progress.label(&format!("{service:<10} {stage}"));
    }
    if stage == HEALTHY && line.stage != *stage {
        line.progress.clear();
        term.note(&format!("  {service:<10} healthy {}", human::duration(line.begun.elapsed())));
    }
}

/// Shows the transferred bytes; `about` precedes the total if it is an estimate.
pub(super) fn transferred(line: &ProgressLine, label: &str, (done, total): (u64, u64), about: &str) {
    line.share(label, done, total, &format!("{} of {about}{}", human::bytes(done), human::bytes(total)));
}

/// Writes to a log: announces slow operations, so that a long silence is explained.
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
            term.note(&format!("{service}: image pulled, {} in {took}", human::bytes(done)));
            line.pull = None;
        }
        // A build reports every step; announce it once.
        (None, None) if stage.starts_with(BUILDING) && !line.stage.starts_with(BUILDING) => {
            term.note(&format!("{service}: {BUILDING}"));
        }
        (None, None) if stage == HEALTHY && line.stage != *stage => {
            term.note(&format!("{service}: healthy after {}", human::duration(line.begun.elapsed())));
        }
        (None, None) => {}
    }
}

/// Last stage of a service that `up` waits for.
const HEALTHY: &str = "healthy";
/// Prefix of the stages of a build.
const BUILDING: &str = "building its image";
