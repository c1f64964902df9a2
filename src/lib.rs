//! `lab` rehearses incidents. The flow of one run: `cli` turns what was typed into options; a verb in `commands` picks the
//! lab and the reporters; `scenario` reads a file into a plan; the `runner` takes the plan step by step, changing the stack
//! through an `engine` (each change first recorded by `undo`), sending and measuring over a `wire`; what happens goes as
//! `event`s to the sinks in `report`; `alerts` is what monitoring would say meanwhile; at the end the `undo` puts back what
//! was changed. `app` and `gateway` are the system under test.

pub mod alerts;
pub mod app;
pub mod background;
pub mod board;
pub mod cli;
pub mod commands;
pub mod deadline;
pub mod engine;
pub mod error;
pub mod event;
pub mod files;
pub mod gateway;
pub mod http;
pub mod lab;
pub mod live;
pub mod metrics;
pub mod process;
pub mod proof;
pub mod report;
pub mod runner;
pub mod scenario;
mod server;
mod service;
pub mod stack;
pub mod term;
pub mod traffic;
pub mod undo;
pub mod watch;
pub mod wire;
pub mod yaml;
