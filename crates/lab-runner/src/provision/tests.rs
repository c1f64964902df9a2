//! Labs on the mock engine: created side by side, refused, interrupted, and rolled back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;

use super::*;
use crate::lab::revisions::Author;
use crate::lab::{StateFolder, run_holder};
use crate::runner::Signal;
use crate::undo::{self, Before, UndoLog, pending};
use lab_core::engine::{APP, RunState, ServiceChange};
use lab_scenario::{LoadOptions, Plan, Source, load};
use lab_testkit::engine::{MockEngine, Script};

/// One mock engine per lab.
#[derive(Default)]
struct MockConnector {
    engines: Mutex<BTreeMap<String, MockEngine>>,
}

impl MockConnector {
    fn engine(&self, lab: &str) -> MockEngine {
        self.engines.lock().unwrap().entry(lab.to_owned()).or_default().clone()
    }
}

impl Connector for MockConnector {
    fn connect(&self, lab: &Lab, _: &Record, _: Option<Stack>) -> Result<Arc<dyn Engine>, ConnectError> {
        Ok(Arc::new(self.engine(lab.name())))
    }

    fn connect_for_removal(&self, lab: &Lab, record: &Record) -> Result<Arc<dyn Engine>, ConnectError> {
        self.connect(lab, record, None)
    }

    fn read_stack(&self, _: &Record) -> Result<Option<Reading>, ConnectError> {
        Ok(None)
    }
}

struct Fixture {
    _folder: tempfile::TempDir,
    state: StateFolder,
    connector: Arc<MockConnector>,
    provisioner: Provisioner,
    plan: Plan,
    template: Record,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(&folder.path().join("state")).unwrap();
        let connector = Arc::new(MockConnector::default());
        let provisioner = Provisioner {
            connector: Arc::clone(&connector) as Arc<dyn Connector>,
            progress: Arc::new(|_| {}),
            interrupt: Interrupt::new(),
        };
        let plan = load(&Source::Library("rotate-key".into()), &LoadOptions::default()).unwrap();
        Self { _folder: folder, state, connector, provisioner, plan, template: Record::new("mock", 0) }
    }

    async fn create(&self, id: &str) -> Result<ProvisionedLab, CreateError> {
        let Self { state, plan, template, .. } = self;
        self.provisioner.create(TemporaryLab { state, template, plan, id, tied: true }).await
    }

    fn labs(&self) -> usize {
        self.state.labs().unwrap().len()
    }

    fn lab(&self) -> (Lab, MockEngine) {
        let lab = self.state.lab("room").unwrap();
        let engine = self.connector.engine("room");
        (lab, engine)
    }

    async fn up(&self, lab: &Lab, port: Option<u16>) -> Result<RunningLab, ProvisionError> {
        let transaction = self.provisioner.begin_up(lab, "lab up").await?;
        let record = transaction.previous().record.clone().unwrap_or_else(|| self.template.clone());
        transaction.start(record, None, port).await
    }
}

fn broken() -> EngineError {
    EngineError::new(EngineErrorKind::Unhealthy, "no answer")
}

#[tokio::test(start_paused = true)]
async fn thirty_labs_exist_side_by_side_in_one_process() {
    let fixture = Fixture::new();
    let ids = fixture.state.new_run_ids(30).unwrap();
    let created = join_all(ids.iter().map(|id| fixture.create(id))).await;
    let labs: Vec<ProvisionedLab> = created.into_iter().map(Result::unwrap).collect();
    assert_eq!(fixture.labs(), 30);
    for (provisioned, id) in labs.iter().zip(&ids) {
        assert!(fixture.connector.engine(provisioned.lab.name()).is_up());
        assert_eq!(provisioned.lab.running(), Some(run_holder(id)));
        assert_eq!(provisioned.lab.existing().unwrap().owner.as_ref(), Some(id));
        assert_eq!(pending(&provisioned.lab).unwrap().unwrap().records, [Before::NoLab]);
    }
    for removed in join_all(labs.into_iter().map(|lab| fixture.provisioner.remove(lab))).await {
        removed.unwrap();
    }
    assert_eq!(fixture.labs(), 0);
    assert!(fixture.connector.engines.lock().unwrap().values().all(|engine| !engine.is_up()));
}

#[tokio::test(start_paused = true)]
async fn a_temporary_lab_that_cannot_start_is_removed() {
    let fixture = Fixture::new();
    let engine = fixture.connector.engine("run-7f3a");
    engine.script("up", Script::FailAfter(broken()));
    let failed = fixture.create("20261124T101530.123Z-7f3a").await.unwrap_err();
    assert!(matches!(failed, CreateError { error: ProvisionError::Engine(_), leftover: None }), "{failed:?}");
    assert!(!engine.is_up());
    assert_eq!(fixture.labs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_temporary_lab_that_cannot_be_removed_is_left_to_recover() {
    let fixture = Fixture::new();
    let engine = fixture.connector.engine("run-7f3a");
    engine.script("up", Script::FailAfter(broken()));
    // The removal is tried twice.
    engine.script("down", Script::Fail(broken()));
    engine.script("down", Script::Fail(broken()));
    let failed = fixture.create("20261124T101530.123Z-7f3a").await.unwrap_err();
    assert!(matches!(failed.leftover, Some(ProvisionError::NotRemoved { .. })), "{failed:?}");
    let lab = fixture.state.lab("run-7f3a").unwrap();
    assert!(pending(&lab).unwrap().is_some_and(|pending| !pending.kept));
}

#[tokio::test(start_paused = true)]
async fn a_lab_of_another_owner_is_not_touched() {
    let fixture = Fixture::new();
    let engine = MockEngine::running("v1");
    engine.set_hidden(Some(EngineError::new(EngineErrorKind::Foreign, "another state folder")));
    fixture.connector.engines.lock().unwrap().insert("run-7f3a".to_owned(), engine.clone());
    let failed = fixture.create("20261124T101530.123Z-7f3a").await.unwrap_err();
    assert!(matches!(failed, CreateError { error: ProvisionError::Engine(_), leftover: None }), "{failed:?}");
    assert_eq!((engine.calls(), engine.is_up(), fixture.labs()), (Vec::new(), true, 0));
}

#[tokio::test(start_paused = true)]
async fn a_signal_stops_a_start_and_removes_what_there_is() {
    let fixture = Fixture::new();
    let engine = fixture.connector.engine("run-7f3a");
    engine.script("up", Script::Slow(Duration::from_mins(1)));
    let interrupt = fixture.provisioner.interrupt.clone();
    let signal = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        interrupt.raise(Signal::Interrupt);
    };
    let (created, ()) = tokio::join!(fixture.create("20261124T101530.123Z-7f3a"), signal);
    let failed = created.unwrap_err();
    assert!(matches!(failed, CreateError { error: ProvisionError::Interrupted, leftover: None }), "{failed:?}");
    assert_eq!((engine.calls(), fixture.labs()), (vec!["up".to_owned(), "down".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn an_existing_lab_is_locked_if_it_is_up_and_free() {
    let fixture = Fixture::new();
    let (lab, engine) = fixture.lab();
    let (plan, provisioner) = (&fixture.plan, &fixture.provisioner);
    lab.save(&fixture.template).unwrap();
    let attach = async || provisioner.attach(&lab, &fixture.template, plan, "x-7f3a").await;
    assert!(matches!(attach().await, Err(ProvisionError::Engine(error)) if error.kind == EngineErrorKind::NotUp));

    fixture.up(&lab, None).await.unwrap();
    let attached = attach().await.unwrap();
    assert!(!attached.temporary && lab.running() == Some("run 7f3a".to_owned()));
    assert!(matches!(attach().await, Err(ProvisionError::Lab(LabError::Lock(_)))));
    drop(attached);

    let key = Before::CallerKey { key: "v1".to_owned() };
    UndoLog::begin(&lab, "run-1", "rotate-key").unwrap().record(key).unwrap();
    assert!(matches!(attach().await, Err(ProvisionError::Undo(UndoError::Pending { .. }))));
    assert!(engine.is_up());
}

#[tokio::test(start_paused = true)]
async fn bringing_a_lab_up_reports_the_necessary_work() {
    let fixture = Fixture::new();
    let (lab, engine) = fixture.lab();
    assert_eq!(fixture.up(&lab, None).await.unwrap().outcome, UpOutcome::Created);
    assert_eq!(fixture.up(&lab, None).await.unwrap().outcome, UpOutcome::AlreadyUp);
    engine.alter(APP, &ServiceChange::run(RunState::Stopped)).unwrap();
    let UpOutcome::Restarted(repairs) = fixture.up(&lab, None).await.unwrap().outcome else { panic!("it was down") };
    assert!(!repairs.is_empty() && repairs.to_string().contains(APP), "{repairs}");
    engine.down().await.unwrap();
    assert_eq!(fixture.up(&lab, None).await.unwrap().outcome, UpOutcome::Restarted(Repairs::default()));
    assert!(matches!(fixture.up(&lab, Some(1)).await, Err(ProvisionError::OtherPort { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_roll_back_removes_a_new_lab_and_restores_the_record_of_another() {
    let fixture = Fixture::new();
    let (lab, engine) = fixture.lab();
    let start = async |record: Record| {
        let transaction = fixture.provisioner.begin_up(&lab, "lab up").await.unwrap();
        engine.script("up", Script::FailAfter(broken()));
        assert!(transaction.start(record, None, None).await.is_err());
        transaction.roll_back().await.unwrap();
    };
    start(fixture.template.clone()).await;
    assert!(!engine.is_up());
    assert_eq!(fixture.labs(), 0);

    fixture.up(&lab, None).await.unwrap();
    let before = lab.existing().unwrap();
    start(Record { gateway_port: 4711, ..before.clone() }).await;
    assert_eq!(lab.existing().unwrap(), before);
    assert!(engine.is_up());
}

/// A lab with a run that stopped the app and changed a caller's key, and kept both.
async fn lab_with_kept_fault(fixture: &Fixture) -> (Lab, MockEngine) {
    let (lab, engine) = fixture.lab();
    fixture.up(&lab, None).await.unwrap();
    let mut log = UndoLog::begin(&lab, "run-1", "app-down").unwrap();
    let state = ServiceChange::run(RunState::Running);
    log.record(Before::Service { service: APP.to_owned(), state }).unwrap();
    log.record(Before::Caller { name: "web".to_owned(), key: None }).unwrap();
    log.keep().unwrap();
    engine.alter(APP, &ServiceChange::run(RunState::Stopped)).unwrap();
    lab.set_named_key("web", Some("apikey-v9"), &Author::hand("lab key set")).unwrap();
    (lab, engine)
}

#[tokio::test(start_paused = true)]
async fn a_fault_fixed_by_hand_no_longer_blocks_a_run() {
    let fixture = Fixture::new();
    let (lab, engine) = lab_with_kept_fault(&fixture).await;
    let attach = async || fixture.provisioner.attach(&lab, &lab.existing().unwrap(), &fixture.plan, "x-7f3a").await;
    let refused = |result: Result<ProvisionedLab, ProvisionError>| matches!(result, Err(ProvisionError::Unexpected { problems, .. }) if problems[0].what.contains("kept fault"));
    assert!(refused(attach().await));
    engine.alter(APP, &ServiceChange::run(RunState::Running)).unwrap();
    assert!(refused(attach().await), "the caller's key is still there");
    assert!(matches!(fixture.up(&lab, None).await.unwrap().outcome, UpOutcome::KeptFault(_)));
    lab.set_named_key("web", None, &Author::hand("lab key set")).unwrap();
    assert_eq!(fixture.up(&lab, None).await.unwrap().outcome, UpOutcome::AlreadyUp);
    let attached = attach().await.unwrap();
    assert_eq!(attached.fixed.as_ref().map(|fault| fault.scenario.as_str()), Some("app-down"));
    assert_eq!(pending(&lab).unwrap(), None, "the log is settled");
    drop(attached);
    // Breaking it again is not the fault of that run.
    engine.alter(APP, &ServiceChange::run(RunState::Stopped)).unwrap();
    assert_eq!(pending(&lab).unwrap(), None);
    engine.alter(APP, &ServiceChange::run(RunState::Running)).unwrap();
    assert!(attach().await.unwrap().fixed.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_temporary_lab_whose_fault_was_fixed_must_still_not_exist() {
    let fixture = Fixture::new();
    let (lab, engine) = fixture.lab();
    fixture.up(&lab, None).await.unwrap();
    undo::record_new_lab(&lab, "run-1", "app-down").unwrap();
    let mut log = UndoLog::begin(&lab, "run-1", "app-down").unwrap();
    let state = ServiceChange::run(RunState::Running);
    log.record(Before::Service { service: APP.to_owned(), state }).unwrap();
    let attach = async || fixture.provisioner.attach(&lab, &lab.existing().unwrap(), &fixture.plan, "x-7f3a").await;
    assert!(matches!(attach().await, Err(ProvisionError::Undo(UndoError::Pending { .. }))), "it was not kept");
    log.keep().unwrap();
    for _ in 0..2 {
        drop(attach().await.unwrap());
        let left = pending(&lab).unwrap().unwrap();
        assert_eq!((left.records, left.kept), (vec![Before::NoLab], true));
    }
    let shared: Arc<dyn Engine> = Arc::new(engine.clone());
    undo::recover(&lab, &shared, fixture.provisioner.interrupt.give_up(), |_| {}).await.unwrap();
    assert!(!engine.is_up());
    assert_eq!(fixture.labs(), 0);
}
