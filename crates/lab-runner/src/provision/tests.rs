//! Labs on the mock engine: created side by side, refused, interrupted, and rolled back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;

use super::*;
use crate::lab::{StateFolder, run_holder};
use crate::runner::Signal;
use crate::undo::{Before, UndoLog, pending};
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
async fn bringing_a_lab_up_tells_what_was_necessary() {
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
