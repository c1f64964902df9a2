//! [`Runner`]: takes the steps of a plan, one part after the other, judges what they show, and remembers what later ones use.

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
use super::step::{Done, finished, perform};
use super::story::Story;
use lab_core::event::{Event, EventKind, ExpectationResult, Phase, Role, Secrets, Status, StepStarted};
use lab_scenario::plan::{Action, Expectation, Kind, Metric, Step};
use lab_scenario::{Output, Shown};

/// How long `finally` may go on once the run was asked to stop.
const FINALLY: Duration = Duration::from_secs(30);

/// Steps of one list of the plan.
#[derive(Clone, Copy)]
pub(super) struct Part<'p> {
    pub(super) steps: &'p [Step],
    pub(super) role: Role,
}

/// A step's name as reports have it: one that is taken twice is told apart by when.
pub(super) fn named(step: &Step, role: Role) -> String {
    match role {
        Role::Before => format!("before/{}", step.name),
        Role::After => format!("after/{}", step.name),
        Role::Step | Role::Finally => step.name.clone(),
    }
}

/// What a step showed, for later ones.
struct Outcome {
    duration: f64,
    observed: Observed,
    facts: Facts,
}

pub(super) struct Runner {
    pub(super) context: Arc<Context>,
    pub(super) story: Story,
    /// Why the run is not held, beyond its steps.
    pub(super) reason: Option<String>,
    known: Option<Known>,
    background: Vec<Background>,
    /// What it sent beside earlier steps and is still open.
    open: Vec<Slice>,
    pub(super) alerts: Watch,
    /// The steps that began, in order.
    begun: Vec<Begun>,
    /// By the steps' ids.
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

    /// Something beyond the steps is wrong; the first such thing is told.
    pub(super) fn object(&mut self, status: Status, reason: String) {
        self.story.ended(status);
        self.reason.get_or_insert(reason);
    }

    /// Runs the steps until one cannot be carried out or the run is asked to stop. A failed expectation stops nothing: the
    /// rest of the story is worth seeing. Returns whether the last of the steps was carried out.
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

    /// Runs steps that only look. Returns whether all of them were taken and hold.
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
            held &= self.step(step, part, first, reporter).await == Status::Held;
        }
        held
    }

    /// Runs steps in every case: also after an error, and after the first signal, which leaves them [`FINALLY`] to go on. A
    /// step that cannot be carried out stops none of the others; the second signal does.
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

    /// Ends the traffic in the background, and gives up what of it is still open.
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

    /// Carries a step of a part out and judges it. `first`: where the steps of the part begin in the story.
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
        let (action, expected) = match step.settled(&|output| self.shown(output), &self.context.secrets) {
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

    /// Carries an action out, and tells meanwhile how the alerts change. `last`: no step comes after it.
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

    /// Tells what has become of the alerts, as far as it is known.
    pub(super) fn tell_alerts<F>(&mut self, reporter: &mut Reporter<F>)
    where
        F: FnMut(&Event) -> io::Result<()>,
    {
        for change in self.alerts.ready() {
            reporter.send(EventKind::Alert(change));
        }
    }

    /// Tells the lines of the services' logs that tell the story. Who is in a hurry does without.
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

    /// A step is over: it becomes part of the story, is judged, and told.
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
        let event = finished(&self.context, started, begun, &done, results);
        let status = event.status;
        self.results.insert(step.id, Outcome { duration: event.duration, observed: done.observed(), facts });
        self.story.ended(status);
        reporter.send(EventKind::StepFinished(Box::new(event)));
        status
    }

    /// Background traffic begins or ends with the step that says so.
    fn heed(&mut self, step: &Step, action: Action) {
        match action {
            Action::Background(traffic) => {
                let begun = Instant::now();
                self.background.push(Background { id: step.id, name: step.name.clone(), traffic, begun });
            }
            Action::StopBackground { of, .. } => self.background.retain(|background| background.id != of),
            _ => {}
        }
    }

    fn notices(&mut self, done: &Done) -> Vec<String> {
        let (notices, known) = done.notices(self.known.as_ref());
        // Also of a step that was interrupted: `finally` comes after it.
        self.known = known;
        if done.interrupted { Vec::new() } else { notices }
    }

    /// Adds a step to the story, and judges what it expects. A step that was not carried out is not judged.
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

    /// What an earlier step showed, as a value of a scenario file.
    fn shown(&self, output: &Output) -> Result<String, String> {
        let result = self.results.get(&output.step).ok_or("that step was not carried out")?;
        let Facts { status, body, value, stdout, exit_code } = &result.facts;
        let text = match &output.what {
            Shown::Duration => Some(format!("{}ms", rounded(result.duration * 1000.0))),
            Shown::Measured(of, metric) => return as_value(of, metric, &result.observed),
            Shown::Status => status.map(|status| status.to_string()),
            Shown::Body => body.clone(),
            Shown::Value => value.clone(),
            Shown::Stdout => stdout.clone(),
            Shown::ExitCode => exit_code.map(|code| code.to_string()),
        };
        text.ok_or_else(|| "that step got no answer".to_owned())
    }
}

/// Cancels `stop` some time after the run was asked to stop.
async fn limit(asked: CancellationToken, stop: CancellationToken) {
    asked.cancelled().await;
    tokio::time::sleep(FINALLY).await;
    stop.cancel();
}
