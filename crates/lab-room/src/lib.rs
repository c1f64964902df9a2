//! Rooms: one lab per seat of a workshop, and a server with a page for each seat, a board for the projector and a desk for the
//! trainer. The only state of a room is its [`config`], written once, and its append-only [`log`] of [`event`]s. What is
//! shown is computed from them and from the logs of the seats' drills, so nothing is lost with the server's process.

#![warn(missing_docs)]

pub mod backend;
pub mod code;
pub mod config;
pub mod event;
pub mod export;
#[cfg(test)]
mod fixture;
pub mod fold;
pub mod host;
pub mod log;
pub mod page;
pub mod server;
pub mod state;
#[cfg(test)]
mod testing;
pub mod view;

/// Version of the formats of `room.json` and `events.ndjson`.
pub const VERSION: u32 = 1;
