//! Progress of `lab traffic`: two live lines on a terminal, a line every few seconds in a pipe, and the rows of `--csv`.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lab_core::error::Failure;
use lab_report::report::traffic::csv::Csv;
use lab_report::report::traffic::progress::{RateHistory, Window};
use lab_report::term::{Fallback, ProgressLine, Term};
use lab_system::files;
use lab_traffic::{Amount, Interval, Job, Pace, TrafficProgress, Update};

/// Interval of the lines if stderr is not a terminal.
const LINES: Duration = Duration::from_secs(5);

/// Consumes the updates of a traffic job.
pub(super) struct Watch {
    term: Term,
    bar: ProgressLine,
    figures: ProgressLine,
    /// Length of a job in the closed model, which has no planned number of requests.
    length: Option<Duration>,
    state: Mutex<State>,
}

struct State {
    warming_up: bool,
    history: RateHistory,
    /// Intervals since the last line.
    unreported: Option<Window>,
    csv: Option<Csv<Box<dyn Write + Send>>>,
    failed: Option<io::Error>,
}

/// Returns true if `--csv` is standard output.
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
        let (bar, figures) = (term.progress_line(label, Fallback::Silent), term.progress_line("", Fallback::Silent));
        let state = State { warming_up, history: RateHistory::default(), unreported: None, csv, failed: None };
        Ok(Self { term: term.clone(), bar, figures, length, state: Mutex::new(state) })
    }

    pub(super) fn update(&self, update: &Update<'_>) {
        match update {
            Update::Progress(now) => self.progress(*now),
            Update::Interval(interval) => self.interval(interval),
        }
    }

    /// Not called before the end of the warm-up.
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
        let State { history, unreported, csv, failed, .. } = &mut *state;
        let now = Window::new(interval);
        history.add(interval);
        self.figures.label(&format!("{} {}", now.figures(), history.sparkline()));
        if let Some(length) = self.length {
            let end = interval.start + interval.length;
            self.bar.label(&format!("traffic {:.0}s of {:.0}s", end.as_secs_f64().floor(), length.as_secs_f64()));
        }
        if let Some(rows) = csv
            && let Err(error) = rows.row(interval)
        {
            // The job continues: its result matters more than the remaining rows.
            *failed = Some(error);
            *csv = None;
        }
        match unreported {
            Some(window) => window.add(interval),
            None => *unreported = Some(now),
        }
        if let Some(window) = unreported.take_if(|window| window.length() >= LINES)
            && !self.term.stderr_is_terminal()
        {
            self.term.note(&window.line());
        }
    }

    /// Clears the live lines. Returns the error that stopped the CSV rows, if any.
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
