//! Executes the steps of a plan, evaluates their expectations and keeps outputs for later steps.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::act::Facts;
use super::alerts::Watch;
use super::background::{Background, Beside, Slice};
use super::clock::{Reporter, rounded};
use super::context::Context;
use super::expect::{Observed, as_value, evaluate};
use super::logs::{self, Begun};
use super::observe::Known;
use super::step::{Done, perform, result};
use super::story::Story;
use lab_core::event::{Event, EventKind, ExpectationResult, Phase, Role, Secrets, Status, StepFinished, StepStarted};
use lab_scenario::plan::{Action, Expectation, Kind, Metric, Step};
use lab_scenario::{Output, OutputKind};

/// Time limit for `finally` after the run was asked to stop.
const FINALLY: Duration = Duration::from_secs(30);

/// One step list of a plan, with its role.
#[derive(Clone, Copy)]
pub(super) struct Part<'p> {
    pub(super) steps: &'p [Step],
    pub(super) role: Role,
}

/// Name of a step in reports. Steady-state steps run twice, so their names get a prefix.
pub(super) fn named(step: &Step, role: Role) -> String {
    match role {
        Role::Before => format!("before/{}", step.name),
        Role::After => format!("after/{}", step.name),
        Role::Step | Role::Finally => step.name.clone(),
    }
}

/// Output of a step that later steps may use.
struct Outcome {
    duration: f64,
    observed: Observed,
    facts: Facts,
}

pub(super) struct Runner {
    pub(super) context: Arc<Context>,
    pub(super) story: Story,
    /// Why the run did not pass, apart from its steps.
    pub(super) reason: Option<String>,
    known: Option<Known>,
    background: Vec<Background>,
    /// Requests of earlier background traffic that are still open.
    open: Vec<Slice>,
    pub(super) alerts: Watch,
    /// Steps that started, in order.
    begun: Vec<Begun>,
    /// Keyed by step id.
    results: BTreeMap<usize, Outcome>,
}

impl Runner {
    pub(super) fn new(context: Arc<Context>, kind: Kind) -> Self {
        let (background, open, results) = (Vec::new(), Vec::new(), BTreeMap::new());
        let story = Story::new(kind, context.clock);
        let alerts = Watch::start(&context);
        Self { context, story, reason: None, known: None, background, open, alerts, begun: Vec::new(), results }
    }

    pub(super) fn status(&self) -> Status {
        self.story.status()
    }

    /// Records a failure outside the steps. The first one is reported.
    pub(super) fn object(&mut self, status: Status, reason: String) {
        self.story.ended(status);
        self.reason.get_or_insert(reason);
    }

    /// Runs steps until one cannot be executed or the run is asked to stop. A failed expectation does not stop the run,
    /// because the later steps are still informative. Returns whether the last step was executed.
    pub(super) async fn steps<F>(&mut self, part: &Part<'_>, reporter: &mut Reporter<F>) -> bool
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        let first = self.story.steps();
        for step in part.steps {
            if self.is_over(reporter) {
                self.hush();
                return false;
            }
            self.step(step, part, first, reporter).await;
        }
        self.hush();
        !matches!(self.status(), Status::Error | Status::Interrupted)
    }

    /// Runs read-only steps. Returns whether all of them ran and passed.
    pub(super) async fn look<F>(&mut self, part: &Part<'_>, reporter: &mut Reporter<F>) -> bool
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        let first = self.story.steps();
        let mut held = true;
        for step in part.steps {
            if self.is_over(reporter) {
                return false;
            }
            held &= self.step(step, part, first, reporter).await == Status::Passed;
        }
        held
    }

    /// Runs steps even after an error or a first signal, which leaves them [`FINALLY_TIMEOUT`]. A failing step does not
    /// stop the others; a second signal does.
    pub(super) async fn finally<F>(&mut self, part: &Part<'_>, reporter: &mut Reporter<F>)
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        if part.steps.is_empty() {
            return;
        }
        self.hush();
        let stop = self.context.interrupt.give_up().child_token();
        let limit = tokio::spawn(limit(self.context.interrupt.stop().clone(), stop.clone()));
        let usual = Arc::clone(&self.context);
        self.context = Arc::new(Context { stop: stop.clone(), ..usual.as_ref().clone() });
        let first = self.story.steps();
        for step in part.steps.iter().take_while(|_| !stop.is_cancelled()) {
            self.step(step, part, first, reporter).await;
        }
        self.hush();
        self.context = usual;
        limit.abort();
    }

    /// Stops background traffic and abandons its open requests.
    fn hush(&mut self) {
        self.background.clear();
        self.open.clear();
    }

    fn is_over<F>(&self, reporter: &Reporter<F>) -> bool
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        self.context.stop.is_cancelled() || self.status() == Status::Error || reporter.error().is_some()
    }

    /// Executes and evaluates a step. `first` is the index of the list's first step in the run.
    async fn step<F>(&mut self, step: &Step, part: &Part<'_>, first: usize, reporter: &mut Reporter<F>) -> Status
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        let role = part.role;
        let last = part.steps.last().is_some_and(|last| std::ptr::eq(last, step));
        let begun = self.context.clock.elapsed();
        let started = StepStarted {
            index: self.story.steps(),
            name: named(step, role),
            phase: if role == Role::After { Phase::Verify } else { step.phase },
            role,
            action: step.action.name().to_owned(),
        };
        self.begun.push(Begun { step: started.name.clone(), at: begun });
        reporter.send(EventKind::StepStarted(started.clone()));
        let (action, expected) = match step.resolve_deferred(&|output| self.shown(output), &self.context.secrets) {
            Ok(settled) => settled,
            Err(why) => {
                let done = Done::failed(why);
                return self.over(step, started, begun, done, &[], first, reporter);
            }
        };
        let mut done = self.perform(&action, last, reporter).await;
        self.open = std::mem::take(&mut done.open);
        if expected.iter().any(|expected| matches!(expected.metric, Metric::Alert { .. })) && !done.interrupted {
            self.alerts.look(&self.context).await;
        }
        done.alerts = self.alerts.since(begun);
        self.tell_alerts(reporter);
        if done.acted.is_ok() && !done.interrupted {
            self.heed(step, action);
        }
        for message in self.notices(&done) {
            reporter.send(EventKind::Notice { message });
        }
        self.over(step, started, begun, done, &expected, first, reporter)
    }

    /// Executes an action and reports alert changes meanwhile. `last`: no step follows.
    async fn perform<F>(&mut self, action: &Action, last: bool, reporter: &mut Reporter<F>) -> Done
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        let (context, alerts) = (Arc::clone(&self.context), self.alerts.shared());
        let beside = Beside { all: self.background.clone(), open: std::mem::take(&mut self.open), last };
        let performing = perform(&context, &alerts, action.clone(), beside);
        let mut performing = std::pin::pin!(performing);
        loop {
            tokio::select! {
                biased;
                done = &mut performing => return done,
                change = self.alerts.next() => reporter.send(EventKind::Alert(change)),
            }
        }
    }

    /// Reports the alert changes observed so far.
    pub(super) fn tell_alerts<F>(&mut self, reporter: &mut Reporter<F>)
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        for change in self.alerts.ready() {
            reporter.send(EventKind::Alert(change));
        }
    }

    /// Reports relevant log lines. Skipped after a signal.
    pub(super) async fn tell_logs<F>(&mut self, reporter: &mut Reporter<F>)
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
        for line in logs::picked(&self.context, &self.begun, &keys).await {
            reporter.send(EventKind::Logged(line));
        }
    }

    /// Completes a step: evaluates, stores and reports its result.
    #[expect(clippy::too_many_arguments, reason = "all that is known of a step, in one place")]
    fn over<F>(
        &mut self,
        step: &Step,
        started: StepStarted,
        begun: f64,
        mut done: Done,
        expected: &[Expectation],
        first: usize,
        reporter: &mut Reporter<F>,
    ) -> Status
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        let facts = done.acted.as_ref().map(|acted| acted.facts.clone()).unwrap_or_default();
        let results = self.judge(step, begun, &mut done, expected, first);
        let index = started.index;
        let result = result(&self.context, started, begun, &done, results);
        let status = result.status;
        self.results.insert(step.id, Outcome { duration: result.duration, observed: done.observed(), facts });
        self.story.ended(status);
        reporter.send(EventKind::StepFinished(Box::new(StepFinished { index, result })));
        status
    }

    /// Starts or stops background traffic after a step that does so.
    fn heed(&mut self, step: &Step, action: Action) {
        match action {
            Action::Background(traffic) => {
                let begun = Instant::now();
                self.background.push(Background { id: step.id, name: step.name.clone(), traffic, begun });
            }
            Action::StopBackground { step, .. } => self.background.retain(|background| background.id != step),
            _ => {}
        }
    }

    fn notices(&mut self, done: &Done) -> Vec<String> {
        let (notices, known) = done.notices(self.known.as_ref());
        // Updated even for an interrupted step, because `finally` runs after it.
        self.known = known;
        if done.interrupted { Vec::new() } else { notices }
    }

    /// Adds a step to the tracker and evaluates its expectations. A step that was not executed is not evaluated.
    fn judge(
        &mut self,
        step: &Step,
        begun: f64,
        done: &mut Done,
        expected: &[Expectation],
        first: usize,
    ) -> Vec<ExpectationResult> {
        self.story.take(step, &done.deed(begun, &step.action), done.observed());
        match &mut done.acted {
            Ok(acted) if !done.interrupted => {
                let expected = expected.iter();
                let expected = expected.map(|expected| evaluate(expected, &self.story.since(first + expected.since)));
                std::mem::take(&mut acted.checks).into_iter().chain(expected).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Output of an earlier step, formatted as a value in a scenario file.
    fn shown(&self, output: &Output) -> Result<String, String> {
        let result = self.results.get(&output.step).ok_or("that step was not executed")?;
        let Facts { status, body, value, stdout, exit_code } = &result.facts;
        let text = match &output.what {
            OutputKind::Duration => Some(format!("{}ms", rounded(result.duration * 1000.0))),
            OutputKind::Measured(sender, metric) => return as_value(sender, metric, &result.observed),
            OutputKind::Status => status.map(|status| status.to_string()),
            OutputKind::Body => body.clone(),
            OutputKind::Value => value.clone(),
            OutputKind::Stdout => stdout.clone(),
            OutputKind::ExitCode => exit_code.map(|code| code.to_string()),
        };
        text.ok_or_else(|| "that step got no answer".to_owned())
    }
}

/// Cancels `stop` [`FINALLY_TIMEOUT`] after the run was asked to stop.
async fn limit(asked: CancellationToken, stop: CancellationToken) {
    asked.cancelled().await;
    tokio::time::sleep(FINALLY).await;
    stop.cancel();
}
