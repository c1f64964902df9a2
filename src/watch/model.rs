//! [`Model`]: what is known of a lab, and how somebody looks at it. Pure: [`Model::take`] takes what was seen, [`Model::key`]
//! what was typed, and `view` draws what it says.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, FixedOffset, Utc};

use super::line::Line;
use super::seen::{Alarms, Seen, Sight};
use super::story::Story;
use lab_report::term::Key;
use lab_telemetry::live::Feed;

/// Log lines that are kept.
const LINES: usize = 2_000;
/// How far a page of the log is turned.
const PAGE: usize = 10;

/// What does not change while somebody watches.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// The lab's name.
    pub(crate) lab: String,
    /// How often the lab is looked at.
    pub(crate) refresh: Duration,
    /// Where clocks are told.
    pub(crate) offset: FixedOffset,
    /// Whether colours are shown.
    pub(crate) colour: bool,
    /// ` --name NAME`, for commands that somebody may copy; empty for the lab that needs none.
    pub(crate) option: String,
}

/// What is known, and how it is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(super) about: About,
    known: Known,
    /// As it was when somebody said that it shall stand still.
    paused: Option<Box<Known>>,
    pub(super) page: Page,
    pub(super) range: Range,
    /// The service whose lines alone are shown.
    pub(super) only: Option<String>,
    /// Lines of the log that are below the last one shown.
    pub(super) back: usize,
    pub(super) help: bool,
}

/// What is known of the lab.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) now: DateTime<Utc>,
    pub(super) lab: Sight,
    pub(super) feed: Feed,
    pub(super) story: Story,
    pub(super) lines: VecDeque<Line>,
    pub(super) alerts: Alarms,
}

/// What fills the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// Some of everything.
    Overview,
    /// More charts, and larger ones.
    Charts,
    /// The steps of the run.
    Steps,
    /// The log.
    Logs,
}

impl Page {
    const ALL: [Self; 4] = [Self::Overview, Self::Charts, Self::Steps, Self::Logs];

    /// As it stands at the bottom.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Charts => "charts",
            Self::Steps => "steps",
            Self::Logs => "log",
        }
    }

    /// The one so many places further on.
    fn turned(self, by: usize) -> Self {
        let place = Self::ALL.iter().position(|page| *page == self).unwrap_or_default();
        Self::ALL[(place + by) % Self::ALL.len()]
    }
}

/// How far back the charts go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Two,
    Five,
    Fifteen,
    Hour,
}

impl Range {
    /// As it stands at the bottom.
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

/// What follows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It goes on.
    Stay,
    /// It ends.
    Quit,
}

impl Model {
    /// Nothing is known yet.
    pub(crate) fn new(about: About, now: DateTime<Utc>) -> Self {
        let known = Known {
            now,
            lab: Sight::Unseen,
            feed: Feed::default(),
            story: Story::default(),
            lines: VecDeque::new(),
            alerts: Alarms::Nobody,
        };
        let (page, range) = (Page::Overview, Range::Two);
        Self { about, known, paused: None, page, range, only: None, back: 0, help: false }
    }

    /// What is shown: what is known, or was when it was made to stand still.
    pub(super) fn shown(&self) -> &Known {
        self.paused.as_deref().unwrap_or(&self.known)
    }

    /// Whether it stands still.
    pub(super) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// It is this late.
    pub(super) fn tick(&mut self, now: DateTime<Utc>) {
        self.known.now = now;
    }

    /// Takes a look at the lab.
    pub(super) fn take(&mut self, seen: Seen) {
        let known = &mut self.known;
        known.now = seen.at.wall;
        known.lab = seen.lab;
        known.feed.take(seen.at, seen.said);
        seen.told.into_iter().for_each(|told| known.story.take(told));
        known.alerts = seen.alerts;
        let before = known.lines.len();
        known.lines.extend(seen.lines.into_iter().filter_map(Line::of));
        // Who has turned back reads on where they were.
        if self.back > 0 && self.paused.is_none() {
            let fresh = known.lines.iter().skip(before);
            self.back += fresh.filter(|line| self.only.as_ref().is_none_or(|only| *only == line.service)).count();
        }
        let more = known.lines.len().saturating_sub(LINES);
        known.lines.drain(..more);
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: Key) -> After {
        match key {
            Key::Char('q' | 'Q') => return After::Quit,
            Key::Char('?' | 'h') => self.help = !self.help,
            // Whatever else is typed, somebody has read it.
            _ if self.help => self.help = false,
            Key::Escape => (self.page, self.back) = (Page::Overview, 0),
            Key::Tab | Key::Right => self.turn(1),
            Key::BackTab | Key::Left => self.turn(Page::ALL.len() - 1),
            Key::Char('p' | ' ') => self.pause(),
            Key::Char('r') => self.range = self.range.next(),
            Key::Char('l') => self.narrow(),
            Key::Up => self.back += 1,
            Key::Down => self.back = self.back.saturating_sub(1),
            Key::PageUp => self.back += PAGE,
            Key::PageDown => self.back = self.back.saturating_sub(PAGE),
            Key::Home => self.back = LINES,
            Key::End => self.back = 0,
            _ => {}
        }
        self.back = self.back.min(self.lines().count().saturating_sub(1));
        After::Stay
    }

    fn turn(&mut self, by: usize) {
        self.page = self.page.turned(by);
    }

    fn pause(&mut self) {
        self.paused = match self.paused.take() {
            Some(_) => None,
            None => Some(Box::new(self.known.clone())),
        };
    }

    /// The log of the next service alone, after the last one of all of them.
    fn narrow(&mut self) {
        let services = self.services();
        self.only = match &self.only {
            None => services.into_iter().next(),
            Some(only) => services.into_iter().skip_while(|service| service != only).nth(1),
        };
        self.back = 0;
    }

    /// Those that have a log, in the order of the request path.
    pub(super) fn services(&self) -> Vec<String> {
        let Sight::Up(up) = &self.shown().lab else { return self.only.iter().cloned().collect() };
        let wrote = |name: &String| self.shown().lines.iter().any(|line| line.service == *name);
        up.services.iter().map(|service| service.name.clone()).filter(wrote).collect()
    }

    /// The lines of the log that are wanted, the newest first.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        let wanted = |line: &&Line| self.only.as_ref().is_none_or(|only| *only == line.service);
        self.shown().lines.iter().rev().filter(wanted)
    }

    /// A time as a clock on the wall tells it.
    pub(super) fn clock(&self, at: DateTime<Utc>) -> String {
        at.with_timezone(&self.about.offset).format("%H:%M:%S").to_string()
    }
}
