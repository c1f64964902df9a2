//! Executes the steps of a plan, evaluates their expectations and keeps outputs for later steps.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::actions::StepOutputs;
use super::alerts::AlertWatch;
use super::background::{Background, Slice, StepBackground};
use super::clock::{Reporter, rounded};
use super::context::Context;
use super::error::StepError;
use super::expectation::{Measurements, evaluate, format_value};
use super::logs::{self, StepStart};
use super::manual_changes::ManualChanges;
use super::observation::KnownState;
use super::outage::OutageTracker;
use super::step::{StepExecution, execute, result};
use lab_core::event::{Event, EventKind, ExpectationResult, Phase, Role, Secrets, Status, StepFinished, StepStarted};
use lab_scenario::plan::{Action, Expectation, Kind, Metric, Step};
use lab_scenario::{Output, OutputKind, UnknownOutput};

/// Time limit for `finally` after the run was asked to stop.
const FINALLY_TIMEOUT: Duration = Duration::from_secs(30);

/// One step list of a plan, with its role.
#[derive(Clone, Copy)]
pub(super) struct StepList<'p> {
    pub(super) steps: &'p [Step],
    pub(super) role: Role,
}

/// Name of a step in reports. Steady-state steps run twice, so their names get a prefix.
pub(super) fn reported_name(step: &Step, role: Role) -> String {
    match role {
        Role::Before => format!("before/{}", step.name),
        Role::After => format!("after/{}", step.name),
        Role::Step | Role::Finally => step.name.clone(),
    }
}

/// Output of a step that later steps may use.
struct StepOutput {
    duration: f64,
    observed: Measurements,
    outputs: StepOutputs,
}

pub(super) struct Executor {
    pub(super) context: Arc<Context>,
    pub(super) tracker: OutageTracker,
    /// Why the run did not pass, apart from its steps.
    pub(super) reason: Option<String>,
    known: Option<KnownState>,
    background: Vec<Background>,
    /// Requests of earlier background traffic that are still open.
    open: Vec<Slice>,
    pub(super) alerts: AlertWatch,
    /// Changes by hand during the run.
    by_hand: ManualChanges,
    /// Steps that started, in order.
    begun: Vec<StepStart>,
    /// Keyed by step id.
    results: BTreeMap<usize, StepOutput>,
}

impl Executor {
    pub(super) fn new(context: Arc<Context>, kind: Kind) -> Self {
        let alerts = AlertWatch::start(&context);
        Self::with_alerts(context, kind, alerts)
    }

    pub(super) fn with_alerts(context: Arc<Context>, kind: Kind, alerts: AlertWatch) -> Self {
        let (background, open, results) = (Vec::new(), Vec::new(), BTreeMap::new());
        let tracker = OutageTracker::new(kind, context.clock);
        let by_hand = ManualChanges::start(&context);
        Self {
            context,
            tracker,
            reason: None,
            known: None,
            background,
            open,
            alerts,
            by_hand,
            begun: Vec::new(),
            results,
        }
    }

    pub(super) fn status(&self) -> Status {
        self.tracker.status()
    }

    /// Records a failure outside the steps. The first one is reported.
    pub(super) fn record_failure(&mut self, status: Status, reason: String) {
        self.tracker.record_status(status);
        self.reason.get_or_insert(reason);
    }

    /// Runs steps until one cannot be executed or the run is asked to stop. A failed expectation does not stop the run,
    /// because the later steps are still informative. Returns whether the last step was executed.
    pub(super) async fn run_steps<F>(&mut self, list: &StepList<'_>, reporter: &mut Reporter<F>) -> bool
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        let first = self.tracker.steps();
        let mut failed_baseline = None;
        for step in list.steps {
            if let Some(name) = failed_baseline
                && step.phase == Phase::Inject
                && step.action.is_change()
            {
                let reason = format!("the baseline step {name} failed: nothing was injected");
                self.record_failure(Status::Failed, reason);
                self.stop_background();
                return false;
            }
            if self.should_stop(reporter) {
                self.stop_background();
                return false;
            }
            let status = self.step(step, list, first, reporter).await;
            if step.phase == Phase::Baseline && status == Status::Failed {
                failed_baseline = Some(&step.name);
            }
        }
        self.stop_background();
        !matches!(self.status(), Status::Error | Status::Interrupted)
    }

    /// Runs read-only steps. Returns whether all of them ran and passed.
    pub(super) async fn run_checks<F>(&mut self, list: &StepList<'_>, reporter: &mut Reporter<F>) -> bool
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        let first = self.tracker.steps();
        let mut passed = true;
        for step in list.steps {
            if self.should_stop(reporter) {
                return false;
            }
            passed &= self.step(step, list, first, reporter).await == Status::Passed;
        }
        passed
    }

    /// Runs steps even after an error or a first signal, which leaves them [`FINALLY_TIMEOUT`]. A failing step does not
    /// stop the others; a second signal does.
    pub(super) async fn run_finally<F>(&mut self, list: &StepList<'_>, reporter: &mut Reporter<F>)
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        if list.steps.is_empty() {
            return;
        }
        self.stop_background();
        let stop = self.context.interrupt.give_up().child_token();
        let limit = tokio::spawn(limit(self.context.interrupt.stop().clone(), stop.clone()));
        let usual = Arc::clone(&self.context);
        self.context = Arc::new(Context { stop: stop.clone(), ..usual.as_ref().clone() });
        let first = self.tracker.steps();
        for step in list.steps.iter().take_while(|_| !stop.is_cancelled()) {
            self.step(step, list, first, reporter).await;
        }
        self.stop_background();
        self.context = usual;
        limit.abort();
    }

    /// Stops background traffic and abandons its open requests.
    fn stop_background(&mut self) {
        self.background.clear();
        self.open.clear();
    }

    fn should_stop<F>(&self, reporter: &Reporter<F>) -> bool
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        self.context.stop.is_cancelled() || self.status() == Status::Error || reporter.error().is_some()
    }

    /// Executes and evaluates a step. `first` is the index of the list's first step in the run.
    async fn step<F>(&mut self, step: &Step, list: &StepList<'_>, first: usize, reporter: &mut Reporter<F>) -> Status
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        let role = list.role;
        let is_last = list.steps.last().is_some_and(|last| std::ptr::eq(last, step));
        let begun = self.context.clock.elapsed();
        let started = StepStarted {
            index: self.tracker.steps(),
            name: reported_name(step, role),
            phase: if role == Role::After { Phase::Verify } else { step.phase },
            role,
            action: step.action.name().to_owned(),
        };
        self.begun.push(StepStart { step: started.name.clone(), at: begun });
        reporter.send(EventKind::StepStarted(started.clone()));
        let (action, expected) = match step.resolve_deferred(&|output| self.output_value(output), &self.context.secrets)
        {
            Ok(resolved) => resolved,
            Err(error) => {
                let done = StepExecution::failed(StepError::Deferred(error));
                return self.finish_step(step, started, begun, done, &[], first, reporter);
            }
        };
        let mut done = self.execute(&action, is_last, reporter).await;
        self.open = std::mem::take(&mut done.open);
        if expected.iter().any(|expected| matches!(expected.metric, Metric::Alert { .. })) && !done.interrupted {
            self.alerts.poll(&self.context).await;
        }
        done.alerts = self.alerts.since(begun);
        self.report_alerts(reporter);
        let is_command = matches!(action, Action::Run(_));
        if done.action.is_ok() && !done.interrupted {
            self.update_background(step, action);
        }
        let by_hand = self.by_hand.ready();
        // A command of the run may change the lab as a user does.
        if !is_command {
            for message in by_hand {
                reporter.send(EventKind::Notice { message });
            }
        }
        // Changes through lab were reported with their author; the others are reported by their effect.
        let mut notices = self.notices(&done);
        notices.retain(|notice| !self.by_hand.explain(notice));
        for message in notices {
            reporter.send(EventKind::Notice { message });
        }
        self.finish_step(step, started, begun, done, &expected, first, reporter)
    }

    /// Executes an action and reports alert changes meanwhile. `last`: no step follows.
    async fn execute<F>(&mut self, action: &Action, last: bool, reporter: &mut Reporter<F>) -> StepExecution
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        let (context, alerts) = (Arc::clone(&self.context), self.alerts.shared());
        let background = StepBackground { all: self.background.clone(), open: std::mem::take(&mut self.open), last };
        // Only these steps wait for a person. Changes during others are reported at their end.
        let is_waiting = matches!(action, Action::WaitFor(_));
        let executing = execute(&context, &alerts, action.clone(), background);
        let mut executing = std::pin::pin!(executing);
        loop {
            tokio::select! {
                biased;
                done = &mut executing => return done,
                change = self.alerts.next() => reporter.send(EventKind::Alert(change)),
                message = self.by_hand.next(), if is_waiting => reporter.send(EventKind::Notice { message }),
            }
        }
    }

    /// Reports the alert changes observed so far.
    pub(super) fn report_alerts<F>(&mut self, reporter: &mut Reporter<F>)
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        for change in self.alerts.ready() {
            reporter.send(EventKind::Alert(change));
        }
    }

    /// Reports relevant log lines. Skipped after a signal.
    pub(super) async fn report_logs<F>(&mut self, reporter: &mut Reporter<F>)
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        if self.context.interrupt.signal().is_some() || reporter.error().is_some() {
            return;
        }
        let mut keys = Secrets::default();
        if let Some(known) = &self.known {
            for key in known.keys() {
                keys.add(key);
            }
        }
        for line in logs::select(&self.context, &self.begun, &keys).await {
            reporter.send(EventKind::Logged(line));
        }
    }

    /// Completes a step: evaluates, stores and reports its result.
    #[expect(clippy::too_many_arguments, reason = "all that is known of a step, in one place")]
    fn finish_step<F>(
        &mut self,
        step: &Step,
        started: StepStarted,
        begun: f64,
        mut done: StepExecution,
        expected: &[Expectation],
        first: usize,
        reporter: &mut Reporter<F>,
    ) -> Status
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        let outputs = done.action.as_ref().map(|action_result| action_result.outputs.clone()).unwrap_or_default();
        let results = self.evaluate_step(step, begun, &mut done, expected, first);
        let index = started.index;
        let result = result(&self.context, started, begun, &done, results);
        let status = result.status;
        self.results.insert(step.id, StepOutput { duration: result.duration, observed: done.observed(), outputs });
        self.tracker.record_status(status);
        reporter.send(EventKind::StepFinished(Box::new(StepFinished { index, result })));
        status
    }

    /// Starts or stops background traffic after a step that does so.
    fn update_background(&mut self, step: &Step, action: Action) {
        match action {
            Action::Background(traffic) => {
                let begun = Instant::now();
                self.background.push(Background { id: step.id, name: step.name.clone(), traffic, begun });
            }
            Action::StopBackground { step, .. } => self.background.retain(|background| background.id != step),
            _ => {}
        }
    }

    fn notices(&mut self, done: &StepExecution) -> Vec<String> {
        let (notices, known) = done.notices(self.known.as_ref());
        // Updated even for an interrupted step, because `finally` runs after it.
        self.known = known;
        if done.interrupted { Vec::new() } else { notices }
    }

    /// Adds a step to the tracker and evaluates its expectations. A step that was not executed is not evaluated.
    fn evaluate_step(
        &mut self,
        step: &Step,
        begun: f64,
        done: &mut StepExecution,
        expected: &[Expectation],
        first: usize,
    ) -> Vec<ExpectationResult> {
        self.tracker.add(step, &done.attempted_change(begun, &step.action), done.observed());
        match &mut done.action {
            Ok(action_result) if !done.interrupted => {
                let expected = expected.iter();
                let expected = expected.map(|expected| evaluate(expected, &self.tracker.since(first + expected.since)));
                std::mem::take(&mut action_result.checks).into_iter().chain(expected).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Output of an earlier step, formatted as a value in a scenario file.
    fn output_value(&self, output: &Output) -> Result<String, UnknownOutput> {
        let result = self.results.get(&output.step).ok_or_else(|| UnknownOutput::new("that step was not executed"))?;
        let StepOutputs { status, body, value, stdout, exit_code } = &result.outputs;
        let text = match &output.what {
            OutputKind::Duration => Some(format!("{}ms", rounded(result.duration * 1000.0))),
            OutputKind::Measured(sender, metric) => {
                return format_value(sender, metric, &result.observed)
                    .map_err(|error| UnknownOutput::new(error.to_string()));
            }
            OutputKind::Status => status.map(|status| status.to_string()),
            OutputKind::Body => body.clone(),
            OutputKind::Value => value.clone(),
            OutputKind::Stdout => stdout.clone(),
            OutputKind::ExitCode => exit_code.map(|code| code.to_string()),
        };
        text.ok_or_else(|| UnknownOutput::new("that step got no answer"))
    }
}

/// Cancels `stop` [`FINALLY_TIMEOUT`] after the run was asked to stop.
async fn limit(asked: CancellationToken, stop: CancellationToken) {
    asked.cancelled().await;
    tokio::time::sleep(FINALLY_TIMEOUT).await;
    stop.cancel();
}
