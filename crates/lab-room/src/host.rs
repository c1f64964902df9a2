//! [`Host`]: a room that is open in its server's process. It owns the room's log and the folds, and has one method per action of
//! participants and trainer. An action is checked, written to the log, and done only then; what has to be done with the
//! labs follows from the logs, so that it is continued after the process was killed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use chrono::Utc;
use lab_drill::log::Drills;
use lab_system::files::Folder;
use tokio::sync::{Notify, Semaphore, watch};

use crate::backend::Backend;
use crate::config::{RoomConfig, SeatConfig, SeatNumber};
use crate::event::{Entry, Event};
use crate::log::{LogError, RoomLog};
use crate::state::State;

mod console;
mod debrief;
mod desk;
mod drill;
mod feed;
mod job;
mod limits;
mod live;
mod pages;
mod record;
mod refusal;
mod run;
mod seat;
#[cfg(test)]
mod tests;

mod worker;

pub use console::Running;
pub use desk::DrillRequest;
pub use pages::{Fragments, Page};
pub use refusal::Refusal;
pub use seat::UpdateForm;

use feed::Feed;
use limits::{Rate, Rates};
use live::Live;
use pages::Pages;
use record::Pending;
use run::Lost;

/// Actions of a seat, without its console.
const ACTIONS: Rate = Rate { per_second: 5.0, burst: 20.0 };
/// Lines of a seat's console.
const LINES: Rate = Rate { per_second: 5.0, burst: 5.0 };
/// Bytes of output of a seat's console, so that one seat does not fill the log.
const OUTPUT: Rate = Rate { per_second: 1024.0, burst: 1024.0 * 1024.0 };
/// Lines of consoles that run at once.
const RUNNING_LINES: usize = 8;

/// Addresses of a room.
#[derive(Clone, Debug)]
pub struct Address {
    /// Address that the server listens on.
    pub listen: SocketAddr,
    /// Address that participants open, such as `http://192.168.1.7:7000`.
    pub url: String,
}

/// A room that is open in its server's process.
pub struct Host {
    config: RoomConfig,
    address: Address,
    scenarios: Vec<String>,
    backend: Arc<dyn Backend>,
    /// Logs of the seats' drills.
    drills: Drills,
    log: Arc<tokio::sync::Mutex<RoomLog>>,
    /// Events that wait to be written.
    pending: Mutex<Vec<Pending>>,
    live: RwLock<Live>,
    /// Open logs of the drills in progress.
    feeds: Mutex<BTreeMap<SeatNumber, Arc<Mutex<Feed>>>>,
    paused: watch::Sender<bool>,
    pages: Pages,
    /// Wakes the task of a seat.
    wakers: BTreeMap<SeatNumber, Arc<Notify>>,
    actions: Mutex<Rates>,
    lines: Mutex<Rates>,
    output: Mutex<Rates>,
    /// Limits how many labs are brought up, reset or restored at once.
    lab_work: Semaphore,
    running_lines: Semaphore,
    lost: Mutex<Lost>,
}

impl Host {
    /// Opens a room. `folder` is the room's folder in the state folder. Reads the logs, so it blocks.
    ///
    /// # Errors
    /// If the room's log cannot be read or written.
    pub fn open(
        config: RoomConfig,
        folder: &Folder,
        backend: Arc<dyn Backend>,
        address: Address,
    ) -> Result<Arc<Self>, LogError> {
        // STATE/rooms/NAME
        let state = folder.root().ancestors().nth(2).unwrap_or_else(|| Path::new("."));
        let drills = Drills::new(state);
        let (mut log, entries) = RoomLog::open(folder)?;
        let mut live = Live::new(&config, &entries, &drills);
        drop(entries);
        for event in opening(&live, &address) {
            live.apply(&log.append(event)?);
        }
        let mut feeds = BTreeMap::new();
        for seat in live.room.seats.values() {
            // A log that cannot be read makes the referee fail, which is shown to the trainer.
            if let Some(Ok((feed, _))) = seat.drill().map(|drill| Feed::open(&drills, &drill.id)) {
                feeds.insert(seat.number, Arc::new(Mutex::new(feed)));
            }
        }
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Arc::new(Self {
            paused: watch::Sender::new(live.room.paused.is_some()),
            pages: Pages::default(),
            wakers: config.seats.iter().map(|seat| (seat.number, Arc::default())).collect(),
            config,
            address,
            scenarios: backend.scenarios(),
            backend,
            drills,
            log: Arc::new(tokio::sync::Mutex::new(log)),
            pending: Mutex::default(),
            live: RwLock::new(live),
            feeds: Mutex::new(feeds),
            actions: Mutex::new(Rates::new(ACTIONS)),
            lines: Mutex::new(Rates::new(LINES)),
            output: Mutex::new(Rates::new(OUTPUT)),
            lab_work: Semaphore::new((cores * 2).clamp(4, 16)),
            running_lines: Semaphore::new(RUNNING_LINES),
            lost: Mutex::default(),
        }))
    }

    /// Configuration of the room.
    pub fn config(&self) -> &RoomConfig {
        &self.config
    }

    /// Addresses of the room.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Computes something from the current state.
    pub fn with_state<T>(&self, view: impl FnOnce(&State<'_>) -> T) -> T {
        let live = self.read_live();
        let Live { room, drills, snapshots, .. } = &*live;
        view(&State {
            config: &self.config,
            room,
            drills,
            snapshots,
            scenarios: &self.scenarios,
            address: &self.address.url,
            now: Utc::now(),
        })
    }

    /// Computes something from the state that the board shows: the current one, or that of the time when it was frozen.
    pub fn with_board_state<T>(&self, view: impl FnOnce(&State<'_>) -> T) -> T {
        let live = self.read_live();
        let Some(frozen) = &live.frozen else {
            drop(live);
            return self.with_state(view);
        };
        view(&State {
            config: &self.config,
            room: &frozen.room,
            drills: &frozen.drills,
            snapshots: &frozen.snapshots,
            scenarios: &self.scenarios,
            address: &self.address.url,
            now: frozen.at,
        })
    }

    fn seat_config(&self, seat: SeatNumber) -> Result<&SeatConfig, Refusal> {
        self.config.seat(seat).ok_or(Refusal::NoSeat(seat))
    }

    fn read_live(&self) -> std::sync::RwLockReadGuard<'_, Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_live(&self) -> std::sync::RwLockWriteGuard<'_, Live> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what follows from an entry within this process.
    fn follow(&self, entry: &Entry) {
        match &entry.event {
            Event::Paused => drop(self.paused.send_replace(true)),
            Event::Resumed => drop(self.paused.send_replace(false)),
            _ => {}
        }
        match entry.event.seat() {
            Some(seat) => self.changed(seat),
            None => self.changed_all(),
        }
    }

    /// A seat has changed: its pages are rendered again, and its task looks for work.
    fn changed(&self, seat: SeatNumber) {
        self.pages.mark(seat);
        if let Some(waker) = self.wakers.get(&seat) {
            waker.notify_one();
        }
    }

    fn changed_all(&self) {
        self.pages.mark_all();
        self.wakers.values().for_each(|waker| waker.notify_one());
    }
}

/// Entries that a new server begins with. Lines of consoles that the last server did not complete have no output.
fn opening(live: &Live, address: &Address) -> Vec<Event> {
    let mut events = vec![Event::Opened { pid: std::process::id(), address: address.listen }];
    for seat in live.room.seats.values() {
        let incomplete = seat.console.iter().filter(|command| command.output.is_none());
        events.extend(incomplete.map(|command| Event::Output {
            seat: seat.number,
            command: command.entry,
            exit: None,
            text: String::new(),
        }));
    }
    events
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
