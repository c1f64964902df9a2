//! [`BoardView`]: what the projector shows. Before the reveal, it has neither points nor anything about the incident; it never
//! shows a last place.

use chrono::{DateTime, Utc};
use lab_core::diagnosis::Diagnosis;
use lab_drill::fold::{Drill, PublicSecond};
use lab_drill::score::Score;

use super::curve::Curve;
use super::statistics::Statistics;
use super::{Clock, Current, Outside};
use crate::backend::Snapshot;
use crate::config::SeatNumber;
use crate::event::Scene;
use crate::fold::Seat;
use crate::state::State;

/// Maximum number of places, ties aside.
const PLACES: usize = 5;
/// Maximum number of rows with ties.
const ROWS: usize = 8;

/// A tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The seat.
    pub number: SeatNumber,
    /// The participant's name, or `Seat 7`.
    pub label: String,
    /// The label is a name.
    pub named: bool,
    /// State of the seat.
    pub outside: Outside,
    /// A hand is up.
    pub hand: bool,
}

/// A place among the best.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// From 1. Ties share a place.
    pub place: usize,
    /// The participant's name, or `Seat 7`.
    pub label: String,
    /// Points.
    pub points: f64,
}

/// One seat in detail.
#[derive(Clone, Debug)]
pub struct Detail<'a> {
    /// Its tile.
    pub tile: Tile,
    /// Its clock.
    pub clock: Option<Clock>,
    /// Requests of its callers in the last two minutes.
    pub seconds: Vec<PublicSecond>,
    /// What can be seen of its lab.
    pub snapshot: Option<&'a Snapshot>,
}

/// What the incident was.
#[derive(Clone, Debug)]
pub struct Revealed {
    /// Its title.
    pub title: String,
    /// Visible effect.
    pub symptom: String,
    /// Cause and fix.
    pub solution: String,
    /// The right diagnosis. Without a fault in some seats' drills, that of the others.
    pub diagnosis: Diagnosis,
    /// Lessons learned.
    pub lessons: Vec<String>,
    /// How the room did.
    pub statistics: Statistics,
}

/// What the projector shows.
#[derive(Clone, Debug)]
pub struct BoardView<'a> {
    /// Content of the scene.
    pub scene: SceneView<'a>,
    /// Seats with a participant, and all of them.
    pub joined: (usize, usize),
    /// The clock of the seat whose drill began first.
    pub clock: Option<Clock>,
    /// Every clock stands still.
    pub paused: bool,
    /// The board shows the state of this time.
    pub frozen: Option<DateTime<Utc>>,
    /// The room is closed.
    pub closed: bool,
}

/// Content of a scene.
#[derive(Clone, Debug)]
pub enum SceneView<'a> {
    /// Address and QR code to join.
    Join,
    /// A tile per seat.
    Tiles(Vec<Tile>),
    /// How many seats' users are served over time.
    Outage(Curve),
    /// The best.
    Top(Vec<Place>),
    /// One seat.
    Seat(Box<Detail<'a>>),
    /// What the incident was.
    Debrief(Box<Revealed>),
}

impl<'a> BoardView<'a> {
    /// The board. Scenes that are not allowed before the reveal, and those of seats that do not exist, show the tiles.
    pub fn new(state: &State<'a>) -> Self {
        let room = state.room;
        let joined = room.taken().filter(|seat| seat.joined.is_some()).count();
        let first =
            room.taken().filter_map(|seat| Current::new(state, seat)?.clock(state)).max_by_key(|clock| clock.at);
        Self {
            scene: SceneView::new(state),
            joined: (joined, room.taken().count()),
            clock: first,
            paused: room.paused.is_some(),
            frozen: room.frozen,
            closed: room.closed.is_some(),
        }
    }
}

impl<'a> SceneView<'a> {
    fn new(state: &State<'a>) -> Self {
        let revealed = state.room.is_revealed();
        let scene = match state.room.scene {
            Scene::Join => Some(Self::Join),
            Scene::Outage => Some(Self::Outage(Curve::new(drills(state)))),
            Scene::Top if revealed => Some(Self::Top(places(state))),
            Scene::Debrief if revealed => Revealed::new(state).map(|revealed| Self::Debrief(Box::new(revealed))),
            Scene::Seat { seat } => Detail::new(state, seat).map(|detail| Self::Seat(Box::new(detail))),
            Scene::Tiles | Scene::Top | Scene::Debrief => None,
        };
        scene.unwrap_or_else(|| Self::Tiles(state.room.taken().map(|seat| Tile::new(state, seat)).collect()))
    }
}

impl Tile {
    fn new(state: &State<'_>, seat: &Seat) -> Self {
        let (label, outside) = (seat.label(), Outside::new(state, seat));
        Self { number: seat.number, label, named: seat.name.is_some(), outside, hand: seat.hand.is_some() }
    }
}

impl<'a> Detail<'a> {
    fn new(state: &State<'a>, number: SeatNumber) -> Option<Self> {
        let seat = state.room.seats.get(&number)?;
        let current = Current::new(state, seat);
        let seconds = current.and_then(|current| current.drill).map(|drill| drill.public().seconds);
        Some(Self {
            tile: Tile::new(state, seat),
            clock: current.and_then(|current| current.clock(state)),
            seconds: seconds.unwrap_or_default(),
            snapshot: state.snapshots.get(&number),
        })
    }
}

/// The drills of the room's last drill.
fn drills<'a>(state: &State<'a>) -> impl Iterator<Item = &'a Drill> {
    let room = state.room;
    room.taken().filter_map(move |seat| Current::new(state, seat)?.drill)
}

/// The best, at most half of the seats, so that there is no last place. Seats with the same points share a place; if there are too many
/// of them for the board, they are one row with their number.
fn places(state: &State<'_>) -> Vec<Place> {
    let scored = state.room.taken().filter_map(|seat| {
        let drill = Current::new(state, seat)?.drill?;
        Some((seat.label(), Score::new(drill).ok()?.points))
    });
    let mut scored: Vec<(String, f64)> = scored.collect();
    scored.sort_by(|one, other| other.1.total_cmp(&one.1));
    let limit = PLACES.min(scored.len().div_ceil(2));
    let mut places = Vec::new();
    let mut better = 0;
    for ties in scored.chunk_by(|one, other| one.1.total_cmp(&other.1).is_eq()) {
        let points = ties[0].1;
        if better >= limit || points <= 0.0 {
            break;
        }
        let place = |label: String| Place { place: better + 1, label, points };
        if places.len() + ties.len() > ROWS {
            places.push(place(format!("{} seats", ties.len())));
        } else {
            places.extend(ties.iter().map(|(label, _)| place(label.clone())));
        }
        better += ties.len();
    }
    places
}

impl Revealed {
    fn new(state: &State<'_>) -> Option<Self> {
        let drills: Vec<&Drill> = drills(state).collect();
        let typical = drills.iter().find(|drill| drill.started.fault).or(drills.first())?;
        let brief = &typical.started.brief;
        let statistics = Statistics::new(state, state.room.drills.len().checked_sub(1)?);
        Some(Self {
            title: brief.title.clone(),
            symptom: brief.symptom.clone(),
            solution: brief.solution.clone(),
            diagnosis: typical.diagnosis(),
            lessons: brief.lessons.clone(),
            statistics,
        })
    }
}
