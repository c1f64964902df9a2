//! Integration tests that need neither Docker nor root: one binary, a module for each part of the tool.

mod app;
mod conformance;
mod desk;
mod gateway;
mod gateway_life;
mod hosts;
mod http_server;
mod interruptions;
mod labs;
mod runs;
mod scenario_files;
#[path = "../shared/conformance.rs"]
mod shared;
mod stack;
mod support;
mod traffic;
mod wire;
