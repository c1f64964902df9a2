//! `lab drill watch`: a live full-screen view of a drill. [`DrillSource`] reads the drill's log and looks at the services;
//! `view::drill` draws its snapshots. `lab drill status` prints the same snapshot.

use std::io;
use std::time::Duration;

use lab_core::engine::{Description, ServiceStatus};
use lab_drill::event::{Entry, Known};
use lab_drill::fold::{Drill, PublicSecond, PublicView};
use lab_drill::log::{Log, LogError};
use lab_drill::messages::{Message, messages};
use lab_drill::updates::{Due, next_due};
use lab_report::report::drill::phase_name;
use lab_report::report::human;
use lab_report::term::{FullScreen, Input, Key, Tone};
use lab_runner::drill::DrillProcess;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::EndReason;
use super::view::drill as view;
use crate::engines::observed_lab::ObservedLab;

/// Interval between snapshots.
const REFRESH: Duration = Duration::from_secs(1);
/// Time for a look at the services.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a participant may see of a drill at one time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DrillSnapshot {
    /// Fold of the log.
    #[serde(flatten)]
    pub(crate) view: PublicView,
    /// The referee is watching. Otherwise drill time stands still.
    pub(crate) watched: bool,
    /// Messages and the participant's own updates, oldest first.
    pub(crate) messages: Vec<Message>,
    /// The update that is due next.
    pub(crate) due: Option<Due>,
    /// Services in the order of the request path. Empty if they cannot be observed.
    pub(crate) services: Vec<ServiceState>,
    /// Reason why the services cannot be observed.
    pub(crate) error: Option<String>,
}

impl DrillSnapshot {
    /// Acknowledgement of the participant, or why drill time stands still. `option` is the `--name` option of suggested commands.
    pub(crate) fn state(&self, option: &str) -> (Tone, String) {
        let view = &self.view;
        if view.ended.is_some() {
            return (Tone::Warn, format!("the drill is over: lab drill finish{option} restores the lab"));
        }
        if !self.watched {
            return (Tone::Warn, format!("nobody watches, and the clock stands still: lab drill resume{option}"));
        }
        if view.unknown {
            return (Tone::Warn, "the referee cannot look at the lab, and the clock stands still".to_owned());
        }
        let acknowledged = view.acknowledged.map_or_else(
            || "nothing is acknowledged".to_owned(),
            |at| format!("acknowledged at {}", human::drill_time(at)),
        );
        let phase = view.phase.map(|phase| format!(" · {}", phase_name(phase))).unwrap_or_default();
        (Tone::Plain, format!("{acknowledged}{phase}"))
    }

    /// What sets it apart from a blind drill, as a suffix of its name.
    pub(crate) fn kind(&self) -> &'static str {
        match self.view.known {
            Known::Nothing => "",
            Known::Seed => " · not blind",
            Known::Incident => " · practice",
        }
    }

    /// What is due next.
    pub(crate) fn due(&self, option: &str) -> (Tone, String) {
        let now = self.view.clock;
        match &self.due {
            None => (Tone::Dim, "nothing".to_owned()),
            Some(due) if due.at <= now => {
                let since = human::drill_time(now - due.at);
                (Tone::Warn, format!("an update, for {since}: lab drill update{option}"))
            }
            Some(due) => {
                let time = human::drill_time(due.at - now);
                (Tone::Plain, format!("an update in {time}: lab drill update{option}"))
            }
        }
    }

    /// Share of successful requests in each of the last seconds, at most `most`. NaN if there were no requests.
    pub(crate) fn success(&self, most: usize) -> Vec<f64> {
        let seconds = &self.view.seconds;
        let share = |second: &PublicSecond| match second.sent {
            0 => f64::NAN,
            sent => f64::from(second.succeeded) / f64::from(sent),
        };
        seconds[seconds.len().saturating_sub(most)..].iter().map(share).collect()
    }
}

/// A service as it can be seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ServiceState {
    pub(crate) name: String,
    /// Such as `healthy`, `running` or `stopped`.
    pub(crate) state: &'static str,
    /// It runs and is not unhealthy.
    pub(crate) is_good: bool,
}

impl From<&ServiceStatus> for ServiceState {
    fn from(service: &ServiceStatus) -> Self {
        use lab_core::engine::{Health, RunState};
        let is_good = service.state == RunState::Running && service.health != Health::Unhealthy;
        Self { name: service.name.clone(), state: service.word(), is_good }
    }
}

/// A drill that is followed.
pub(crate) struct DrillSource {
    log: Log,
    drill: Drill,
    lab: ObservedLab,
}

impl DrillSource {
    /// Follows a drill after the entries that were read from its log.
    pub(crate) fn new(log: Log, drill: Drill, lab: ObservedLab) -> Self {
        Self { log, drill, lab }
    }

    /// State of the drill now. Fails if the log cannot be read.
    pub(crate) async fn snapshot(&mut self) -> Result<DrillSnapshot, LogError> {
        self.log.read()?.iter().for_each(|entry: &Entry| self.drill.apply(entry));
        let (services, error) = match tokio::time::timeout(PATIENCE, self.lab.describe()).await {
            Ok(Ok((_, Description { services, .. }))) => (services.iter().map(ServiceState::from).collect(), None),
            Ok(Err(error)) => (Vec::new(), Some(error.to_string())),
            Err(_) => (Vec::new(), Some("the lab does not answer".to_owned())),
        };
        let clock = self.log.now();
        let view = PublicView { clock, ..self.drill.public() };
        let (messages, due) = (messages(&self.drill, clock), next_due(&self.drill, clock));
        // A killed referee is noticed at once, and one that hangs after a few seconds.
        let watched = self.log.is_watched() && DrillProcess::new(self.lab.lab()).is_running();
        Ok(DrillSnapshot { view, watched, messages, due, services, error })
    }

    /// Sends snapshots until the receiver is dropped.
    async fn run(mut self, snapshots: mpsc::Sender<Result<DrillSnapshot, LogError>>) {
        let mut ticks = tokio::time::interval(REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let snapshot = self.snapshot().await;
            let is_last = snapshot.is_err();
            if snapshots.send(snapshot).await.is_err() || is_last {
                return;
            }
        }
    }
}

/// How the view of a drill ended.
pub(crate) enum DrillEnd {
    /// By the user or the terminal.
    View(EndReason),
    /// The log cannot be read any more: the drill is over.
    Log(LogError),
}

/// Shows a drill until the user quits, the terminal is closed, the drill is over or `stop` is cancelled.
pub(crate) async fn watch_drill(
    mut screen: FullScreen,
    source: DrillSource,
    colour: bool,
    option: &str,
    stop: &CancellationToken,
) -> io::Result<DrillEnd> {
    let (sender, mut snapshots) = mpsc::channel(1);
    let reading = tokio::spawn(source.run(sender));
    let mut snapshot: Option<DrillSnapshot> = None;
    let ended = loop {
        screen.draw(|frame| view::draw(frame, snapshot.as_ref(), colour, option))?;
        tokio::select! {
            () = stop.cancelled() => break DrillEnd::View(EndReason::Stopped),
            input = screen.next() => match input {
                Input::Gone => break DrillEnd::View(EndReason::Gone),
                Input::Key(Key::Ctrl('c')) => break DrillEnd::View(EndReason::Interrupted),
                Input::Key(Key::Ctrl('z')) => screen.suspend(),
                Input::Key(Key::Char('q' | 'Q')) => break DrillEnd::View(EndReason::Quit),
                Input::Redraw | Input::Key(_) => {}
            },
            next = snapshots.recv() => match next {
                Some(Ok(next)) => snapshot = Some(next),
                Some(Err(error)) => break DrillEnd::Log(error),
                // The task panicked. The panic hook printed the message and restored the terminal.
                None => return Err(io::Error::other("lab drill watch stopped taking snapshots; this is a bug in lab")),
            },
        }
    };
    reading.abort();
    drop(screen);
    Ok(ended)
}

#[cfg(test)]
mod tests;
