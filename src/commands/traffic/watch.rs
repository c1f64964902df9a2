//! [`Watch`]: what `lab traffic` shows while it runs: two live lines on a terminal, a line every few seconds in a pipe, and
//! the rows of `--csv`.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lab_core::error::Failure;
use lab_report::report::traffic::csv::Csv;
use lab_report::report::traffic::live::{Recent, Window};
use lab_report::term::{Live, Plain, Term};
use lab_system::files;
use lab_traffic::{Amount, Interval, Job, Pace, TrafficProgress, Update};

/// How far lines are apart where stderr is no terminal.
const LINES: Duration = Duration::from_secs(5);

/// Takes the updates of a run.
pub(super) struct Watch {
    term: Term,
    bar: Live,
    figures: Live,
    /// Where only the time is known: in the closed model.
    length: Option<Duration>,
    state: Mutex<State>,
}

struct State {
    warming_up: bool,
    recent: Recent,
    /// What no line has told yet.
    untold: Option<Window>,
    csv: Option<Csv<Box<dyn Write + Send>>>,
    failed: Option<io::Error>,
}

/// Whether `--csv` means standard output.
pub(super) fn is_stdout(csv: Option<&Path>) -> bool {
    csv == Some(Path::new("-"))
}

impl Watch {
    pub(super) fn new(term: &Term, job: &Job, csv: Option<&Path>) -> anyhow::Result<Self> {
        let csv = match csv {
            None => None,
            Some(_) if is_stdout(csv) => Some(Csv::new(Box::new(term.data()) as Box<dyn Write + Send>)?),
            Some(path) => {
                let wrong = |error| Failure::usage(format!("--csv: cannot write {}: {error}", path.display()));
                let rows = files::create_stream(path).map_err(wrong)?;
                Some(Csv::new(rows).map_err(wrong)?)
            }
        };
        let length = match (&job.pace, job.amount) {
            (Pace::Closed, Amount::Duration(length)) => Some(length),
            _ => None,
        };
        let warming_up = !job.warmup.is_zero();
        let label = if warming_up { "warming up" } else { "traffic" };
        let (bar, figures) = (term.live(label, Plain::Silent), term.live("", Plain::Silent));
        let state = State { warming_up, recent: Recent::default(), untold: None, csv, failed: None };
        Ok(Self { term: term.clone(), bar, figures, length, state: Mutex::new(state) })
    }

    pub(super) fn update(&self, update: &Update<'_>) {
        match update {
            Update::Progress(now) => self.progress(*now),
            Update::Interval(interval) => self.interval(interval),
        }
    }

    /// There is none before the end of the warm-up.
    fn progress(&self, now: TrafficProgress) {
        if std::mem::take(&mut self.state().warming_up) {
            self.bar.label("traffic");
        }
        if now.planned > 0 {
            self.bar.progress(now.done, now.planned);
        }
    }

    fn interval(&self, interval: &Interval) {
        let mut state = self.state();
        let State { recent, untold, csv, failed, .. } = &mut *state;
        let now = Window::new(interval);
        recent.add(interval);
        self.figures.label(&format!("{} {}", now.figures(), recent.sparkline()));
        if let Some(length) = self.length {
            let end = interval.start + interval.length;
            self.bar.label(&format!("traffic {:.0}s of {:.0}s", end.as_secs_f64().floor(), length.as_secs_f64()));
        }
        if let Some(rows) = csv
            && let Err(error) = rows.row(interval)
        {
            // The run goes on: what it shows at the end is worth more than the rest of the rows.
            *failed = Some(error);
            *csv = None;
        }
        match untold {
            Some(window) => window.add(interval),
            None => *untold = Some(now),
        }
        if let Some(window) = untold.take_if(|window| window.length() >= LINES)
            && !self.term.stderr_is_terminal()
        {
            self.term.note(&window.line());
        }
    }

    /// Takes the live lines away. The error is what kept rows from being written.
    pub(super) fn end(&self) -> Result<(), Failure> {
        self.bar.clear();
        self.figures.clear();
        let failed = self.state().failed.take();
        failed.map_or(Ok(()), |error| Err(Failure::failed(format!("--csv: cannot write: {error}"))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
