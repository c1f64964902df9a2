//! State of the view: the observed lab, the page, the filter and the scroll position. Pure: [`Model::update`] applies snapshots,
//! [`Model::handle_key`] applies keys, and `view` draws the result.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, FixedOffset, Utc};

use super::line::Line;
use super::run_tracker::RunTracker;
use super::snapshot::{AlertView, LabState, Snapshot};
use lab_report::term::Key;
use lab_telemetry::live::Feed;

/// Maximum number of log lines in memory.
const LINES: usize = 2_000;
/// Lines that Page Up and Page Down scroll.
const PAGE: usize = 10;

/// Fixed settings of a view.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// The lab's name.
    pub(crate) lab: String,
    /// Interval between snapshots.
    pub(crate) refresh: Duration,
    /// Time zone of displayed times.
    pub(crate) offset: FixedOffset,
    /// Enables colours.
    pub(crate) colour: bool,
    /// ` --name NAME` for suggested commands; empty for the default lab.
    pub(crate) option: String,
}

/// State of the view.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(super) about: About,
    known: Known,
    /// State at the time of the pause, if the view is paused.
    paused: Option<Box<Known>>,
    pub(super) page: Page,
    pub(super) range: Range,
    /// Log filter: one service. `None` shows all.
    pub(super) only: Option<String>,
    /// Scroll position of the log: number of newer lines below the screen.
    pub(super) back: usize,
    pub(super) help: bool,
}

/// Observed state of the lab.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) now: DateTime<Utc>,
    pub(super) lab: LabState,
    pub(super) feed: Feed,
    pub(super) runs: RunTracker,
    pub(super) lines: VecDeque<Line>,
    pub(super) alerts: AlertView,
}

/// Page of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// Charts, steps and log.
    Overview,
    /// All charts.
    Charts,
    /// The steps of the run.
    Steps,
    /// The log.
    Logs,
}

impl Page {
    const ALL: [Self; 4] = [Self::Overview, Self::Charts, Self::Steps, Self::Logs];

    /// Label in the footer.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Charts => "charts",
            Self::Steps => "steps",
            Self::Logs => "log",
        }
    }

    /// Returns the page `by` places further.
    fn advance(self, by: usize) -> Self {
        let place = Self::ALL.iter().position(|page| *page == self).unwrap_or_default();
        Self::ALL[(place + by) % Self::ALL.len()]
    }
}

/// Time range of the charts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Two,
    Five,
    Fifteen,
    Hour,
}

impl Range {
    /// Label in the footer.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Two => "2m",
            Self::Five => "5m",
            Self::Fifteen => "15m",
            Self::Hour => "1h",
        }
    }

    pub(super) fn seconds(self) -> u32 {
        match self {
            Self::Two => 120,
            Self::Five => 300,
            Self::Fifteen => 900,
            Self::Hour => 3_600,
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Two => Self::Five,
            Self::Five => Self::Fifteen,
            Self::Fifteen => Self::Hour,
            Self::Hour => Self::Two,
        }
    }
}

/// Effect of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyOutcome {
    /// The view stays open.
    Continue,
    /// The view closes.
    Quit,
}

impl Model {
    /// Starts without a snapshot.
    pub(crate) fn new(about: About, now: DateTime<Utc>) -> Self {
        let known = Known {
            now,
            lab: LabState::Unknown,
            feed: Feed::default(),
            runs: RunTracker::default(),
            lines: VecDeque::new(),
            alerts: AlertView::NotEvaluated,
        };
        let (page, range) = (Page::Overview, Range::Two);
        Self { about, known, paused: None, page, range, only: None, back: 0, help: false }
    }

    /// Displayed state: the current one, or the one at the time of the pause.
    pub(super) fn shown(&self) -> &Known {
        self.paused.as_deref().unwrap_or(&self.known)
    }

    /// Returns true if the view is paused.
    pub(super) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Sets the current time.
    pub(super) fn tick(&mut self, now: DateTime<Utc>) {
        self.known.now = now;
    }

    /// Applies a snapshot.
    pub(super) fn update(&mut self, snapshot: Snapshot) {
        let known = &mut self.known;
        known.now = snapshot.at.wall;
        known.lab = snapshot.lab;
        known.feed.prepend(snapshot.history);
        known.feed.add_scrapes(snapshot.at, snapshot.app, snapshot.edge);
        snapshot.events.into_iter().for_each(|event| known.runs.update(event));
        known.alerts = snapshot.alerts;
        let before = known.lines.len();
        known.lines.extend(snapshot.lines.into_iter().filter_map(Line::from_log));
        // A user who has scrolled back stays at the same lines.
        if self.back > 0 && self.paused.is_none() {
            let fresh = known.lines.iter().skip(before);
            self.back += fresh.filter(|line| self.only.as_ref().is_none_or(|only| *only == line.service)).count();
        }
        let more = known.lines.len().saturating_sub(LINES);
        known.lines.drain(..more);
    }

    /// Applies a key.
    pub(super) fn handle_key(&mut self, key: Key) -> KeyOutcome {
        match key {
            Key::Char('q' | 'Q') => return KeyOutcome::Quit,
            Key::Char('?' | 'h') => self.help = !self.help,
            // Any key closes the help.
            _ if self.help => self.help = false,
            Key::Escape => (self.page, self.back) = (Page::Overview, 0),
            Key::Tab | Key::Right => self.turn(1),
            Key::BackTab | Key::Left => self.turn(Page::ALL.len() - 1),
            Key::Char('p' | ' ') => self.pause(),
            Key::Char('r') => self.range = self.range.next(),
            Key::Char('l') => self.next_service(),
            Key::Up => self.back += 1,
            Key::Down => self.back = self.back.saturating_sub(1),
            Key::PageUp => self.back += PAGE,
            Key::PageDown => self.back = self.back.saturating_sub(PAGE),
            Key::Home => self.back = LINES,
            Key::End => self.back = 0,
            _ => {}
        }
        self.back = self.back.min(self.lines().count().saturating_sub(1));
        KeyOutcome::Continue
    }

    fn turn(&mut self, by: usize) {
        self.page = self.page.advance(by);
    }

    fn pause(&mut self) {
        self.paused = match self.paused.take() {
            Some(_) => None,
            None => Some(Box::new(self.known.clone())),
        };
    }

    /// Filters the log by the next service. After the last one, all services are shown.
    fn next_service(&mut self) {
        let services = self.services();
        self.only = match &self.only {
            None => services.into_iter().next(),
            Some(only) => services.into_iter().skip_while(|service| service != only).nth(1),
        };
        self.back = 0;
    }

    /// Services with log lines, in the order of the request path.
    pub(super) fn services(&self) -> Vec<String> {
        let LabState::Up(up) = &self.shown().lab else { return self.only.iter().cloned().collect() };
        let wrote = |name: &String| self.shown().lines.iter().any(|line| line.service == *name);
        up.services.iter().map(|service| service.name.clone()).filter(wrote).collect()
    }

    /// Filtered lines of the log, newest first.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        let wanted = |line: &&Line| self.only.as_ref().is_none_or(|only| *only == line.service);
        self.shown().lines.iter().rev().filter(wanted)
    }

    /// Formats a time in the user's time zone.
    pub(super) fn clock(&self, at: DateTime<Utc>) -> String {
        at.with_timezone(&self.about.offset).format("%H:%M:%S").to_string()
    }
}
