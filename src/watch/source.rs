//! [`Gatherer`]: looks at a lab once in every interval: through its engine, over its sockets, into its files. A lab that goes
//! away is waited for, and one that comes back, be it on another engine, is looked at again.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::model::About;
use super::seen::{Alarms, Seen, Sight, Up};
use crate::engines::observed_lab::ObservedLab;
use lab_core::engine::{Description, EngineError, Health, LogLine, LogRequest, RunState};
use lab_core::event::Keys;
use lab_report::report::pending_undo;
use lab_report::term::{mask_with, masked};
use lab_runner::lab::{Lab, Record};
use lab_runner::undo;
use lab_telemetry::alerts;
use lab_telemetry::live::{Alerts, Runs, Told};
use lab_telemetry::metrics::{Exposition, Moment};
use lab_telemetry::wire::{Probe, Wire};

/// How long the app may take to say what it has counted.
const PATIENCE: Duration = Duration::from_millis(800);
/// Lines of each service that are shown of the time before somebody watched.
const TAIL: usize = 50;
/// Lines between two looks; of more the last ones are shown.
const MOST: usize = 1_000;

type Lines = BoxStream<'static, Result<LogLine, EngineError>>;

/// Looks at a lab.
pub(crate) struct Gatherer {
    lab: ObservedLab,
    /// ` --name NAME`, where it needs one.
    option: String,
    wire: Arc<dyn Wire>,
    refresh: Duration,
    runs: Arc<Mutex<Runs>>,
    alerts: Alerts,
    log: Option<Lines>,
    lines: VecDeque<LogLine>,
    /// The last line that was seen: a log that is opened again begins behind it.
    last: Option<DateTime<Utc>>,
}

impl Gatherer {
    /// Of a lab.
    pub(crate) fn new(lab: &Lab, wire: Arc<dyn Wire>, about: &About) -> Self {
        let folder: &Path = lab.folder().root();
        let runs = Arc::new(Mutex::new(Runs::of(folder, Utc::now())));
        let (lab, refresh, option) = (ObservedLab::new(lab), about.refresh, about.option.clone());
        Self {
            lab,
            option,
            wire,
            refresh,
            runs,
            alerts: Alerts::default(),
            log: None,
            lines: VecDeque::new(),
            last: None,
        }
    }

    /// Looks until nobody takes it.
    pub(super) async fn run(mut self, looks: mpsc::Sender<Seen>) {
        let mut ticks = interval(self.refresh);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let seen = self.look().await;
                    if looks.send(seen).await.is_err() {
                        return;
                    }
                }
                line = next(&mut self.log) => self.take(line),
            }
        }
    }

    async fn look(&mut self) -> Seen {
        self.hide_secrets();
        let before = self.lab.created();
        let described = self.lab.describe().await;
        if before != self.lab.created() {
            // Another lab of this name has other alerts.
            self.alerts = Alerts::default();
        }
        let (said, alerts) = match &described {
            Ok((_, now)) => (self.said(now).await, self.alerts(now).await),
            Err(_) => (None, Alarms::Nobody),
        };
        let lab = match described {
            Ok((record, now)) => {
                self.follow().await;
                Sight::Up(Box::new(self.up(record, now)))
            }
            Err(why) => {
                self.log = None;
                Sight::Away(why)
            }
        };
        let (told, lines) = (self.told().await, std::mem::take(&mut self.lines).into());
        Seen { at: Moment::now(), lab, said, told, lines, alerts }
    }

    /// What the app says of itself. One that is frozen is not asked.
    async fn said(&mut self, now: &Description) -> Option<(String, Exposition)> {
        now.app().filter(|app| app.state == RunState::Running)?;
        let endpoint = now.endpoints.metrics.first()?;
        let said = timeout(PATIENCE, self.wire.scrape(&endpoint.url)).await.ok()?.ok()?;
        Some((endpoint.instance.clone(), said))
    }

    /// What the alerts are, as Prometheus says, or who stands in for it.
    async fn alerts(&mut self, now: &Description) -> Alarms {
        let Some(base) = now.endpoints.alerts() else { return Alarms::Nobody };
        let url = format!("{base}{}", alerts::PATH);
        let probe = Probe { url, method: "GET".to_owned(), headers: BTreeMap::new(), timeout: PATIENCE };
        let answer = self.wire.probe(&probe).await.ok().and_then(|response| alerts::read(&response.body).ok());
        let Some(answer) = answer else { return Alarms::Silent };
        self.alerts.take(Moment::now(), &answer);
        Alarms::Known(self.alerts.list())
    }

    fn up(&self, record: Record, now: Description) -> Up {
        let keys = now.server_key().map(|server| Keys {
            server: server.to_owned(),
            caller: record.caller_key,
            callers: record.callers,
        });
        let mut remarks: Vec<String> = self.pending_undo().into_iter().collect();
        let unwell = |service: &lab_core::engine::ServiceStatus| {
            service.detail.as_ref().map(|detail| format!("{}: {detail}", service.name))
        };
        remarks.extend(now.services.iter().filter(|service| service.health == Health::Unhealthy).filter_map(unwell));
        remarks.extend(now.notices);
        for remark in &mut remarks {
            *remark = masked(remark).into_owned();
        }
        Up { engine: record.engine, gateway: now.endpoints.gateway, services: now.services, keys, remarks }
    }

    /// A run may have put a secret into the lab since the last look.
    fn hide_secrets(&self) {
        if let Ok(Some(pending)) = undo::pending(self.lab.lab())
            && !pending.secrets.is_empty()
        {
            mask_with("watch", move |text| pending.secrets.mask(text));
        }
    }

    /// What a run that is over has not put back.
    fn pending_undo(&self) -> Option<String> {
        if self.lab.lab().running().is_some() {
            return None;
        }
        let pending = undo::pending(self.lab.lab()).ok()??;
        Some(pending_undo(&pending.run, &pending.scenario, pending.kept, &self.option))
    }

    /// What runs have told. Their files are read here, which may take its time.
    async fn told(&mut self) -> Vec<Told> {
        let runs = self.runs.clone();
        let look = move || runs.lock().unwrap_or_else(PoisonError::into_inner).look();
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }

    /// Opens the log where it is not open.
    async fn follow(&mut self) {
        let (None, Some(engine)) = (&self.log, self.lab.engine()) else { return };
        let tail = if self.last.is_none() { Some(TAIL) } else { None };
        // What was seen is not told again.
        let since = self.last.map(|last| last + TimeDelta::milliseconds(1));
        let request = LogRequest { tail, since, follow: true, ..LogRequest::default() };
        // A log that cannot be opened now is tried at the next look.
        self.log = engine.logs(&request).await.ok();
    }

    fn take(&mut self, line: Option<Result<LogLine, EngineError>>) {
        let mut line = match line {
            Some(Ok(line)) => line,
            // The log of one service cannot be read; those of the others go on.
            Some(Err(_)) => return,
            None => {
                self.log = None;
                return;
            }
        };
        line.text = masked(&line.text).into_owned();
        self.last = line.time.or(self.last).max(self.last);
        if self.lines.len() == MOST {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// The next line of a log; never one where none is open.
async fn next(log: &mut Option<Lines>) -> Option<Result<LogLine, EngineError>> {
    match log {
        Some(log) => log.next().await,
        None => std::future::pending().await,
    }
}
