//! Takes snapshots of a lab at an interval, through its engine, its metrics and its files. A lab that disappears is awaited,
//! even if it returns on another engine.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::history;
use super::model::About;
use super::snapshot::{AlertView, LabState, RunningLab, Snapshot};
use crate::engines::observed_lab::ObservedLab;
use lab_core::engine::{Description, EngineError, Health, LogLine, LogRequest, MetricsEndpoint, RunState};
use lab_core::event::Keys;
use lab_http::{Http, Limit, Request};
use lab_report::report::pending_undo;
use lab_report::term::{mask_with, masked};
use lab_runner::lab::{Lab, Record, previous_key};
use lab_runner::undo;
use lab_telemetry::alerts::{self, RulesResponse};
use lab_telemetry::live::{Alerts, Point, RunEvent, Runs};
use lab_telemetry::metrics::{Exposition, Moment};
use lab_telemetry::wire::{Probe, Wire};

/// Timeout of requests for metrics and alerts.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(800);
/// Attempts to read the points from before the first snapshot: the dashboard of a new lab may not answer yet.
const HISTORY_ATTEMPTS: u32 = 3;
/// Maximum size of a metrics page, in bytes.
const MAX_RESPONSE: usize = 8 << 20;
/// Initial log lines per service.
const TAIL: usize = 50;
/// Maximum number of log lines per snapshot. Older ones are dropped.
const MAX_LINES: usize = 1_000;

type Lines = BoxStream<'static, Result<LogLine, EngineError>>;

/// Source of snapshots.
pub(crate) struct Collector {
    lab: ObservedLab,
    /// ` --name NAME` for suggested commands; empty for the default lab.
    option: String,
    wire: Arc<dyn Wire>,
    http: Http,
    /// Points from before the first snapshot that the view does not have yet.
    history: Vec<Point>,
    /// Remaining attempts to read them.
    history_attempts: u32,
    refresh: Duration,
    runs: Arc<Mutex<Runs>>,
    alerts: Alerts,
    log: Option<Lines>,
    lines: VecDeque<LogLine>,
    /// Time of the last log line. A reopened log starts after it.
    last: Option<DateTime<Utc>>,
}

impl Collector {
    /// Creates a collector for a lab, which need not exist.
    pub(crate) fn new(lab: &Lab, wire: Arc<dyn Wire>, about: &About) -> Self {
        let folder: &Path = lab.folder().root();
        let runs = Arc::new(Mutex::new(Runs::new(folder, Utc::now())));
        let (lab, refresh, option) = (ObservedLab::new(lab), about.refresh, about.option.clone());
        Self {
            lab,
            option,
            wire,
            http: Http::new(),
            history: Vec::new(),
            history_attempts: HISTORY_ATTEMPTS,
            refresh,
            runs,
            alerts: Alerts::default(),
            log: None,
            lines: VecDeque::new(),
            last: None,
        }
    }

    /// Sends snapshots until the receiver is dropped.
    pub(super) async fn run(mut self, snapshots: mpsc::Sender<Snapshot>) {
        let mut ticks = interval(self.refresh);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let snapshot = self.snapshot().await;
                    if snapshots.send(snapshot).await.is_err() {
                        return;
                    }
                }
                line = next(&mut self.log) => self.push_line(line),
            }
        }
    }

    async fn snapshot(&mut self) -> Snapshot {
        self.hide_secrets();
        let before = self.lab.created();
        let described = self.lab.describe().await;
        if before != self.lab.created() {
            // A recreated lab has its own alerts.
            self.alerts = Alerts::default();
        }
        let (app, edge, alerts) = match &described {
            Ok((_, now)) => {
                let http = self.http.clone();
                let edge = scrape_edge(&http, now.endpoints.edge.as_ref());
                let (app, edge) = tokio::join!(self.scrape_app(now), edge);
                if self.history_attempts > 0 {
                    self.history_attempts -= 1;
                    if let Some(history) = history::fetch(&http, &now.endpoints).await {
                        (self.history, self.history_attempts) = (history, 0);
                    }
                }
                (app, edge, self.alerts(now).await)
            }
            Err(_) => (None, None, AlertView::NotEvaluated),
        };
        let lab = match described {
            Ok((record, now)) => {
                self.follow().await;
                LabState::Up(Box::new(self.up(record, now)))
            }
            Err(why) => {
                self.log = None;
                LabState::Unavailable(why.to_string())
            }
        };
        let history = std::mem::take(&mut self.history);
        let (events, lines) = (self.run_events().await, std::mem::take(&mut self.lines).into());
        Snapshot { at: Moment::now(), lab, app, edge, history, events, lines, alerts }
    }

    /// Scrapes the app's metrics. A paused app is skipped.
    async fn scrape_app(&mut self, now: &Description) -> Option<(String, Exposition)> {
        now.app().filter(|app| app.state == RunState::Running)?;
        let endpoint = now.endpoints.metrics.first()?;
        let app = timeout(REQUEST_TIMEOUT, self.wire.scrape(&endpoint.url)).await.ok()?.ok()?;
        Some((endpoint.instance.clone(), app))
    }

    /// Reads the alerts from Prometheus, or from lab's dashboard if there is none.
    async fn alerts(&mut self, now: &Description) -> AlertView {
        let Some(base) = now.endpoints.alerts() else { return AlertView::NotEvaluated };
        let url = format!("{base}{}", alerts::PATH);
        let probe = Probe { url, method: "GET".to_owned(), headers: BTreeMap::new(), timeout: REQUEST_TIMEOUT };
        let answer = self.wire.probe(&probe).await.ok().and_then(|response| RulesResponse::parse(&response.body).ok());
        let Some(answer) = answer else { return AlertView::Unavailable };
        self.alerts.update(Moment::now(), &answer);
        AlertView::Known(self.alerts.list())
    }

    fn up(&self, record: Record, now: Description) -> RunningLab {
        let is_drill = self.is_drill();
        let mut remarks: Vec<String> = if is_drill {
            vec![format!("a drill is in progress: lab drill status{}", self.option)]
        } else {
            self.pending_undo(&record, &now).into_iter().collect()
        };
        // In a drill, comparing them is part of the diagnosis.
        let keys = now.server_key().filter(|_| !is_drill).map(|server| Keys {
            server: server.to_owned(),
            previous: now.app().and_then(|app| previous_key(app, &now.roles, chrono::Utc::now())),
            caller: record.caller_key,
            callers: record.callers,
        });
        let problem = |service: &lab_core::engine::ServiceStatus| {
            service.detail.as_ref().map(|detail| format!("{}: {detail}", service.name))
        };
        let unhealthy = now.services.iter().filter(|service| service.health == Health::Unhealthy && !is_drill);
        remarks.extend(unhealthy.filter_map(problem));
        remarks.extend(now.notices);
        for remark in &mut remarks {
            *remark = masked(remark).into_owned();
        }
        RunningLab {
            engine: record.engine,
            gateway: now.endpoints.gateway,
            roles: now.roles,
            services: now.services,
            keys,
            is_drill,
            remarks,
        }
    }

    /// Masks the secrets of a run, which may have started since the last snapshot.
    fn hide_secrets(&self) {
        if let Ok(Some(pending)) = undo::pending(self.lab.lab())
            && !pending.secrets.is_empty()
        {
            mask_with("watch", move |text| pending.secrets.mask(text));
        }
    }

    /// Whether a drill is in progress. Then the view has what can be observed from outside.
    fn is_drill(&self) -> bool {
        self.lab.lab().drill().is_ok_and(|drill| drill.is_some())
    }

    /// Describes the pending undo or the kept fault of a finished run.
    fn pending_undo(&self, record: &Record, now: &Description) -> Option<String> {
        if self.lab.lab().running().is_some() {
            return None;
        }
        let pending = undo::pending(self.lab.lab()).ok()??;
        Some(pending_undo(&pending.run, &pending.scenario, pending.state(Some(now), record), &self.option))
    }

    /// Reads new events of runs. Reading files blocks, so it has its own thread.
    async fn run_events(&mut self) -> Vec<RunEvent> {
        let runs = self.runs.clone();
        let poll = move || runs.lock().unwrap_or_else(PoisonError::into_inner).poll();
        tokio::task::spawn_blocking(poll).await.unwrap_or_default()
    }

    /// Opens the log, if it is not open.
    async fn follow(&mut self) {
        let (None, Some(engine)) = (&self.log, self.lab.engine()) else { return };
        let tail = if self.last.is_none() { Some(TAIL) } else { None };
        // Lines that were already read are skipped.
        let since = self.last.map(|last| last + TimeDelta::milliseconds(1));
        let request = LogRequest { tail, since, follow: true, ..LogRequest::default() };
        // If opening fails, the next snapshot retries.
        self.log = engine.logs(&request).await.ok();
    }

    fn push_line(&mut self, line: Option<Result<LogLine, EngineError>>) {
        let mut line = match line {
            Some(Ok(line)) => line,
            // The log of one service failed; the others continue.
            Some(Err(_)) => return,
            None => {
                self.log = None;
                return;
            }
        };
        line.text = masked(&line.text).into_owned();
        self.last = line.time.or(self.last).max(self.last);
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// Scrapes what callers get at the gateway.
async fn scrape_edge(http: &Http, endpoint: Option<&MetricsEndpoint>) -> Option<(String, Exposition)> {
    let MetricsEndpoint { instance, url } = endpoint?;
    let request = Request::get(url).timeout(REQUEST_TIMEOUT).limit(Limit::Fail(MAX_RESPONSE));
    let page = http.request(&request).await.ok().filter(|page| page.status == 200)?;
    Some((instance.clone(), Exposition::parse(&page.text(), None).ok()?))
}

/// Next line of the log. Never resolves if the log is not open.
async fn next(log: &mut Option<Lines>) -> Option<Result<LogLine, EngineError>> {
    match log {
        Some(log) => log.next().await,
        None => std::future::pending().await,
    }
}
