//! Integration tests that need neither Docker nor root: one binary, a module for each part of the tool.

mod app;
mod conformance;
mod desk;
mod gateway;
mod gateway_life;
mod hosts;
mod http_server;
mod labs;
mod runs;
mod scenario_files;
mod support;
mod traffic;
mod wire;
