use std::sync::Arc;

use super::*;
use crate::lab::testing::mock_lab;
use lab_drill::choice::Secret;
use lab_drill::event::Entry;
use lab_drill::fold::Phase;
use lab_drill::score::Score;
use lab_scenario::{LoadOptions, Source, load};
use lab_testkit::sample_drills;
use lab_testkit::wire::MockWire;

const ID: &str = "20261130T101500.000Z-7f3a";

/// A referee that watches a lab on the mock, and the folder that the lab is in. The drill has the callers `web` with 15 requests
/// per second and `batch` with 5.
async fn referee() -> (tempfile::TempDir, Referee) {
    let (folder, lab, engine) = mock_lab("apikey-v1").await;
    let options = LoadOptions::default();
    let plan = load(&Source::Library("wrong-upstream".to_owned()), &options).unwrap_or_else(|found| panic!("{found}"));
    let folder_of_drill = crate::drill::folder(&lab, ID);
    let started: Entry = sample_drills::running(ID).swap_remove(0);
    Log::create(&folder_of_drill, &Secret::from_seed(7)).unwrap().append(Some(0), started.event).unwrap();
    let wire = Arc::new(MockWire::new(engine.clone()));
    let watch = Watch { lab, engine: Arc::new(engine), wire, plan: Arc::new(plan) };
    (folder, Referee::begin(watch, Log::open(&folder_of_drill).unwrap()).await.unwrap())
}

fn counts(web: (u64, u64, u64), batch: (u64, u64, u64)) -> Vec<SecondCounts> {
    [web, batch].map(|(sent, succeeded, unsent)| SecondCounts { sent, succeeded, unsent }).to_vec()
}

#[tokio::test]
async fn callers_that_cannot_send_stop_the_clock_and_cost_nothing() {
    let (_folder, mut referee) = referee().await;
    let good = counts((15, 15, 0), (5, 5, 0));
    referee.add_second(&good).unwrap();
    referee.write(Event::Injecting).unwrap();
    let overloaded = [counts((9, 9, 6), (5, 5, 0)), counts((0, 0, 15), (0, 0, 5))];
    for second in &overloaded {
        referee.add_second(second).unwrap();
    }
    assert!(referee.drill.is_unknown());
    let stopped = referee.clock.now();
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(referee.clock.now(), stopped, "the clock stands still");
    referee.add_second(&good).unwrap();
    assert!(!referee.drill.is_unknown());
    referee.add_second(&good).unwrap();
    let drill = &referee.drill;
    assert_eq!((drill.impact, drill.seconds.len(), drill.gaps().len()), (None, 2, 1), "no second of the gap counts");
    assert!(drill.gaps()[0].reason.contains("this machine is overloaded"), "{:?}", drill.gaps());
    // Failures are failures, also if the callers cannot keep up because of them.
    referee.add_second(&counts((9, 2, 6), (5, 5, 0))).unwrap();
    assert_eq!((referee.drill.is_unknown(), referee.drill.phase()), (false, Phase::Broken));
    referee.sending.end().await;
}

#[tokio::test]
async fn a_drill_ends_at_its_time_limit_with_its_score() {
    let (_folder, mut referee) = referee().await;
    assert_eq!(referee.limit, 2 * 60 * 60 * 1000);
    referee.tick().unwrap();
    assert_eq!(referee.drill.ended, None);
    referee.limit = referee.clock.now();
    referee.tick().unwrap();
    assert_eq!(referee.drill.ended.map(|end| end.by), Some(Ending::TimeLimit));
    assert!(Score::new(&referee.drill).is_ok());
    let ended = referee.run(CancellationToken::new(), Pause::default(), || false).await;
    assert!(matches!(ended, Ok(Some(Ending::TimeLimit) | None)), "{ended:?}");
}
