//! [`Entry`]: one line of a room's log. Only the room's server writes it; an action is on disk before it is acknowledged.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use lab_drill::event::Ending;
use serde::{Deserialize, Serialize};

use crate::code::TokenHash;
use crate::config::SeatNumber;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was written.
    pub at: DateTime<Utc>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A server's process begins: when the room is opened, and after a gap.
    Opened {
        /// Its process id.
        pid: u32,
        /// Address that it listens on.
        address: SocketAddr,
    },
    /// The room was closed by the trainer.
    Closed,
    /// The lab of a seat is up.
    Ready {
        /// The seat.
        seat: SeatNumber,
    },
    /// The lab of a seat could not be brought up, or does not work any more.
    Failed {
        /// The seat.
        seat: SeatNumber,
        /// Why.
        reason: String,
    },
    /// A participant joined with the code of a seat, from one device.
    Joined {
        /// The seat.
        seat: SeatNumber,
        /// Hash of the token in the device's cookie.
        token: TokenHash,
    },
    /// A participant chose another name.
    Named {
        /// The seat.
        seat: SeatNumber,
        /// The name.
        name: String,
    },
    /// A participant raised or lowered a hand.
    Hand {
        /// The seat.
        seat: SeatNumber,
        /// True if it is up.
        up: bool,
    },
    /// A line of a seat's console was accepted and is going to be run.
    Command {
        /// The seat.
        seat: SeatNumber,
        /// The line, with secrets masked.
        line: String,
    },
    /// A line of a seat's console was run.
    Output {
        /// The seat.
        seat: SeatNumber,
        /// Number of the entry with the line.
        command: u64,
        /// Exit code. `None` if it was ended, because it took too long or the server's process ended.
        exit: Option<u8>,
        /// Its output, cut to the console's limit.
        text: String,
    },
    /// A message of the trainer to a seat, or to all.
    Said {
        /// The seat. `None` is all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seat: Option<SeatNumber>,
        /// The message.
        text: String,
    },
    /// A message of a person in the drill, such as a customer, to one seat or to all.
    Injected {
        /// The seat. `None` is all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seat: Option<SeatNumber>,
        /// The sender, such as `a customer`.
        from: String,
        /// The message.
        text: String,
    },
    /// A drill of the whole room began. Each seat's own drill begins as soon as a participant has joined.
    DrillStarted(DrillOrder),
    /// The drill of the whole room is over.
    DrillEnded,
    /// A seat's drill began.
    SeatStarted {
        /// The seat.
        seat: SeatNumber,
        /// Id of the drill.
        drill: String,
    },
    /// A seat's drill is over, and its lab was restored.
    SeatEnded {
        /// The seat.
        seat: SeatNumber,
        /// Id of the drill.
        drill: String,
        /// How it ended.
        by: Ending,
    },
    /// The time limit of a seat's drill was extended.
    Extended {
        /// The seat.
        seat: SeatNumber,
        /// By how much, in seconds.
        seconds: u64,
    },
    /// A seat's lab was taken back to how it was first brought up. A drill in it was given up.
    Reset {
        /// The seat.
        seat: SeatNumber,
    },
    /// Every clock stands still.
    Paused,
    /// The clocks go on.
    Resumed,
    /// The board shows the state of this moment until it is thawed.
    Frozen {
        /// True if it is frozen.
        frozen: bool,
    },
    /// Incident, points and debriefs are shown to all. A frozen board is thawed.
    Revealed,
    /// The board shows another scene.
    Scene(Scene),
}

impl Event {
    /// The seat that it is about. `None` is the room, or all seats.
    pub fn seat(&self) -> Option<SeatNumber> {
        match self {
            Self::Ready { seat }
            | Self::Failed { seat, .. }
            | Self::Joined { seat, .. }
            | Self::Named { seat, .. }
            | Self::Hand { seat, .. }
            | Self::Command { seat, .. }
            | Self::Output { seat, .. }
            | Self::SeatStarted { seat, .. }
            | Self::SeatEnded { seat, .. }
            | Self::Extended { seat, .. }
            | Self::Reset { seat } => Some(*seat),
            Self::Said { seat, .. } | Self::Injected { seat, .. } => *seat,
            Self::Opened { .. }
            | Self::Closed
            | Self::DrillStarted(_)
            | Self::DrillEnded
            | Self::Paused
            | Self::Resumed
            | Self::Frozen { .. }
            | Self::Revealed
            | Self::Scene(_) => None,
        }
    }
}

/// A drill of the whole room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillOrder {
    /// The scenario: a name of the library, or the path of a file.
    pub scenario: String,
    /// Secret of the room's drill, as 64 hexadecimal digits. The secrets of the seats' drills follow from it.
    pub secret: String,
    /// Longest drill time, in seconds. `None` lasts until the trainer ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Wrong fixes and verdicts are shown at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub coach: bool,
    /// Time until the fault, in seconds. `None` draws it for each seat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<u64>,
}

/// Scene of the board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scene", rename_all = "snake_case")]
pub enum Scene {
    /// Address and QR code to join.
    #[default]
    Join,
    /// A tile per seat.
    Tiles,
    /// How many seats work over time.
    Outage,
    /// The five best, once revealed.
    Top,
    /// One seat in detail.
    Seat {
        /// The seat.
        seat: SeatNumber,
    },
    /// The incident, once revealed.
    Debrief,
}
