//! Live pages: fragments are rendered once per change for all browsers that show a page, and at most every
//! [`Host::RENDER_INTERVAL`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::{Host, lock};
use crate::config::SeatNumber;
use crate::page::{self, Fragment};

/// Fragments of a page. They are shared by all browsers that show it.
pub type Fragments = Arc<Vec<Fragment>>;

/// Interval at which all pages are rendered even if nothing was written, because some of their content depends on the time.
const REFRESH: Duration = Duration::from_secs(5);

/// A page that is kept up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Page {
    /// Page of a participant.
    Seat(SeatNumber),
    /// Page for the projector.
    Board,
    /// Page of the trainer.
    Desk,
}

/// Open pages, and those that have to be rendered.
#[derive(Default)]
pub(super) struct Pages {
    open: Mutex<BTreeMap<Page, watch::Sender<Fragments>>>,
    changed: Mutex<Changed>,
    waker: Notify,
}

#[derive(Default)]
struct Changed {
    seats: BTreeSet<SeatNumber>,
    all: bool,
}

impl Changed {
    /// Board and desk show every seat.
    fn contains(&self, page: Page) -> bool {
        self.all
            || match page {
                Page::Seat(seat) => self.seats.contains(&seat),
                Page::Board | Page::Desk => !self.seats.is_empty(),
            }
    }
}

impl Pages {
    pub(super) fn mark(&self, seat: SeatNumber) {
        lock(&self.changed).seats.insert(seat);
        self.waker.notify_one();
    }

    pub(super) fn mark_all(&self) {
        lock(&self.changed).all = true;
        self.waker.notify_one();
    }

    /// Returns true if any page is open.
    pub(super) fn is_watched(&self) -> bool {
        lock(&self.open).values().any(|page| page.receiver_count() > 0)
    }

    /// Open pages. The others are forgotten.
    fn watched(&self) -> Vec<Page> {
        let mut open = lock(&self.open);
        open.retain(|_, page| page.receiver_count() > 0);
        open.keys().copied().collect()
    }
}

impl Host {
    /// Shortest time between two versions of a page.
    pub const RENDER_INTERVAL: Duration = Duration::from_millis(250);

    /// Follows the fragments of a page. The current ones can be seen at once.
    pub fn subscribe(&self, page: Page) -> watch::Receiver<Fragments> {
        if let Some(open) = lock(&self.pages.open).get(&page).filter(|open| open.receiver_count() > 0) {
            return open.subscribe();
        }
        let fragments = Arc::new(self.render(page));
        let mut open = lock(&self.pages.open);
        let sender = open.entry(page).or_insert_with(|| watch::Sender::new(Arc::default()));
        let receiver = sender.subscribe();
        // Something may have changed during the rendering.
        match page {
            Page::Seat(seat) => self.pages.mark(seat),
            Page::Board | Page::Desk => self.pages.mark_all(),
        }
        sender.send_replace(fragments);
        receiver
    }

    /// Renders the pages that have changed. Runs until it is dropped.
    pub(super) async fn render_pages(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.pages.waker.notified() => {}
                () = sleep(REFRESH) => lock(&self.pages.changed).all = true,
            }
            let changed = std::mem::take(&mut *lock(&self.pages.changed));
            for page in self.pages.watched().into_iter().filter(|page| changed.contains(*page)) {
                self.render_again(page);
                tokio::task::yield_now().await;
            }
            sleep(Self::RENDER_INTERVAL).await;
        }
    }

    /// Renders all open pages now.
    pub(super) fn render_all(&self) {
        self.pages.watched().into_iter().for_each(|page| self.render_again(page));
    }

    fn render_again(&self, page: Page) {
        let fragments = self.render(page);
        if let Some(sender) = lock(&self.pages.open).get(&page) {
            sender.send_if_modified(|current| {
                let is_new = **current != fragments;
                if is_new {
                    *current = Arc::new(fragments);
                }
                is_new
            });
        }
    }

    fn render(&self, page: Page) -> Vec<Fragment> {
        match page {
            Page::Seat(seat) => self.with_state(|state| page::seat::fragments(state, seat)),
            Page::Board => self.with_board_state(page::board::fragments),
            Page::Desk => self.with_state(page::desk::fragments),
        }
    }
}
