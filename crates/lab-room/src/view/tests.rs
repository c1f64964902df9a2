//! What the views are computed to.

use lab_drill::event::Event as DrillEvent;
use lab_drill::fold::Phase;

use super::board::{BoardView, SceneView};
use super::curve::Curve;
use super::desk::{DeskView, IDLE, Need, Pace, Stuck};
use super::seat::{SeatView, Stage};
use super::*;
use crate::event::{Event, Scene};
use crate::fixture::Fixture;

fn outside(fixture: &Fixture) -> Vec<Outside> {
    let state = fixture.state();
    (1..=8).map(|number| Outside::new(&state, &state.room.seats[&number])).collect()
}

#[test]
fn states_are_those_that_can_be_seen_from_outside() {
    use Outside::{Failing, Finished, Free, Problem, Served, Solved, Working};
    let mut fixture = Fixture::with_drill(8);
    // Masked and quiet look the same.
    assert_eq!(outside(&fixture), [Finished, Working, Failing, Served, Served, Finished, Problem, Free]);
    fixture.reveal();
    assert_eq!(outside(&fixture)[..6], [Solved, Finished, Finished, Finished, Finished, Finished]);
    fixture = Fixture::empty(8);
    assert_eq!(outside(&fixture)[0], Outside::Starting);
    fixture.event(Event::Ready { seat: 1 });
    assert_eq!(outside(&fixture)[0], Free);
}

#[test]
fn the_desk_begins_with_those_who_need_help() {
    let fixture = Fixture::with_drill(8);
    let state = fixture.state();
    let view = DeskView::new(&state);
    let numbers: Vec<u16> = view.rows.iter().map(|row| row.seat.number).collect();
    // A hand, two that are stuck, a lab problem, the others, nobody, and the reserve.
    assert_eq!(numbers, [2, 3, 4, 7, 5, 1, 6, 8, 9]);
    let needs: Vec<bool> = view.rows.iter().map(|row| row.need <= Need::Lab).collect();
    assert_eq!(needs, [true, true, true, true, false, false, false, false, false]);
    let progress = |index: usize| view.rows[index].progress.as_ref().unwrap();
    assert_eq!((progress(0).hints, progress(0).tries, progress(0).wrong_fixes.len()), ((1, 3), 1, 1));
    assert_eq!(progress(0).phase, Phase::Broken);
    // 45 s until the impact, and nothing done since then.
    let Some(Stuck::Idle(idle)) = progress(1).stuck else { panic!("{:?}", progress(1)) };
    assert!(idle >= IDLE && progress(1).pace.unwrap().time >= 550_000, "{:?}", progress(1));
    assert_eq!(progress(2).phase, Phase::Masked);
    assert_eq!(view.incident.as_ref().unwrap().scenario, "wrong-upstream");
}

#[test]
fn stuck_is_idle_for_three_minutes_or_past_par() {
    let mut fixture = Fixture::with_drill(8);
    let stuck = |fixture: &Fixture| {
        let state = fixture.state();
        desk::Row::new(&state, &state.room.seats[&3]).progress.unwrap().stuck
    };
    assert!(matches!(stuck(&fixture), Some(Stuck::Idle(_))));
    // An action ends the idle time, but not the par of noticing.
    fixture.event(Event::Command { seat: 3, line: "status".to_owned() });
    assert_eq!(stuck(&fixture), Some(Stuck::PastPar));
    // Acknowledged, the par is that of the mitigation, which is over as well.
    fixture.drill_event(3, DrillEvent::Acknowledged);
    assert_eq!(stuck(&fixture), Some(Stuck::PastPar));
    let pace = Pace { time: 90_000, par: 60_000 };
    assert_eq!(pace.permille(), 1500);
}

#[test]
fn a_quiet_seat_is_never_stuck() {
    let fixture = Fixture::with_drill(8);
    let state = fixture.state();
    let row = desk::Row::new(&state, &state.room.seats[&5]);
    let progress = row.progress.unwrap();
    assert_eq!((progress.stuck, progress.pace, progress.phase), (None, None, Phase::Quiet));
    assert_eq!(row.need, Need::Drill);
}

#[test]
fn the_best_are_at_most_half_of_the_seats() {
    let mut fixture = Fixture::with_drill(16);
    fixture.reveal();
    let state = fixture.scene(Scene::Top).state();
    let SceneView::Top(places) = BoardView::new(&state).scene else { panic!("no places") };
    // Twelve seats played. Two resolved it with the same points.
    assert!(places.len() <= 6, "{places:?}");
    assert_eq!(places.iter().take(3).map(|place| place.place).collect::<Vec<_>>(), [1, 1, 3]);
    assert!(places.iter().all(|place| place.points > 0.0));
    assert!(places.is_sorted_by(|one, other| one.points >= other.points));
}

#[test]
fn scenes_that_would_tell_too_much_show_tiles_until_the_reveal() {
    let mut fixture = Fixture::with_drill(8);
    for scene in [Scene::Top, Scene::Debrief, Scene::Seat { seat: 99 }] {
        let state = fixture.scene(scene).state();
        let SceneView::Tiles(tiles) = BoardView::new(&state).scene else { panic!("{scene:?}") };
        assert_eq!(tiles.len(), 8, "without the reserve");
    }
    let state = fixture.scene(Scene::Seat { seat: 2 }).state();
    assert!(matches!(BoardView::new(&state).scene, SceneView::Seat(detail) if detail.tile.hand));
}

#[test]
fn the_curve_counts_seats_whose_users_are_served() {
    let fixture = Fixture::with_drill(8);
    let curve = Curve::new(fixture.drills.values());
    let step = |second: u64| curve.steps[usize::try_from(second * 1000 / curve.step).unwrap()];
    assert_eq!((curve.seats, curve.step), (6, 5000));
    assert_eq!((step(20).served, step(20).failing), (6, 0));
    assert_eq!((step(150).served, step(150).failing), (1, 5));
    // One is resolved and over, one is masked, one is quiet.
    assert_eq!((step(560).served, step(560).failing), (3, 3));
    assert_eq!(Curve::new([]).steps, []);
    // A seat that began later has not come to the last step, but has a state.
    let mut late = fixture.drills.clone();
    late.values_mut().nth(1).unwrap().seconds.truncate(100);
    let curve = Curve::new(late.values());
    let last = curve.steps.last().unwrap();
    assert_eq!((last.served + last.failing, curve.now.served + curve.now.failing), (5, 6));
}

#[test]
fn a_clock_stands_still_when_it_should() {
    let mut fixture = Fixture::with_drill(8);
    let clock = |fixture: &Fixture, number: u16| {
        let state = fixture.state();
        Current::new(&state, &state.room.seats[&number]).unwrap().clock(&state).unwrap()
    };
    let running = clock(&fixture, 2);
    assert!(running.running && running.left == Some(1_200_000), "{running:?}");
    fixture.wait(1);
    assert_eq!(clock(&fixture, 2).at, running.at + 1000);
    assert!(!clock(&fixture, 1).running, "it is over");
    // A server that was killed writes no entries.
    fixture.wait(60);
    assert_eq!(clock(&fixture, 2), Clock { running: false, ..running });
    fixture.event(Event::Extended { seat: 2, seconds: 300 });
    assert_eq!(clock(&fixture, 2).left, Some(1_500_000));
}

#[test]
fn a_drill_that_the_room_has_left_behind_is_not_shown() {
    let mut fixture = Fixture::with_drill(8);
    fixture.reveal();
    let drill_state = |fixture: &Fixture| SeatView::new(&fixture.state(), 1).unwrap().drill_stage;
    assert_eq!(drill_state(&fixture), Stage::Revealed);
    let order = fixture.room.drills[0].order.clone();
    fixture.event(Event::DrillStarted(order));
    assert_eq!(drill_state(&fixture), Stage::Starting);
    assert!(SeatView::new(&fixture.state(), 1).unwrap().drill.is_none());
}

#[test]
fn the_console_on_the_page_is_limited() {
    let mut fixture = Fixture::with_drill(8);
    for _ in 0..40 {
        fixture.line(2, "logs app", Some(0), &"x".repeat(10_000));
    }
    let state = fixture.state();
    let view = SeatView::new(&state, 2).unwrap();
    assert_eq!(view.console().len(), 9);
    fixture.line(2, "logs app", Some(0), &"x".repeat(200_000));
    let state = fixture.state();
    assert_eq!(SeatView::new(&state, 2).unwrap().console().len(), 1, "the last one is always shown");
}
