//! What a lab's coming up looks like: a live line a service on a terminal, plain lines in a pipe.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::engine::{Progress, ProgressFn};
use crate::report::human;
use crate::term::{Live, Plain, Term};

/// A service on its way.
struct Line {
    live: Live,
    begun: Instant,
    stage: String,
}

/// Shows the services as they come up; what is drawn goes away with the last clone of the function.
pub(super) fn show(term: &Term) -> ProgressFn {
    let lines: Mutex<BTreeMap<String, Line>> = Mutex::new(BTreeMap::new());
    let term = term.clone();
    Arc::new(move |progress| step(&term, &mut lines.lock().unwrap_or_else(PoisonError::into_inner), &progress))
}

fn step(term: &Term, lines: &mut BTreeMap<String, Line>, progress: &Progress) {
    let Progress { service, stage, bytes } = progress;
    let line = lines.entry(service.clone()).or_insert_with(|| Line {
        live: term.live(service, Plain::Silent),
        begun: Instant::now(),
        stage: String::new(),
    });
    if let Some((done, total)) = bytes {
        line.live.label(&format!("{service:<10} {stage} {} of {}", size(*done), size(*total)));
    }
    if line.stage == *stage {
        return;
    }
    line.stage.clone_from(stage);
    let took = human::duration(line.begun.elapsed());
    if bytes.is_none() {
        line.live.label(&format!("{service:<10} {stage}"));
    }
    if !term.stderr_is_terminal() {
        term.note(&format!("{service}: {stage} ({took})"));
    } else if stage == "healthy" {
        line.live.clear();
        term.note(&format!("  {service:<10} healthy {took}"));
    }
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "images are far below 2^52 bytes")]
    let mib = bytes as f64 / f64::from(1 << 20);
    format!("{mib:.1} MB")
}
