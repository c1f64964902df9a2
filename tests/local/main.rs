//! Integration tests that need neither Docker nor root: one binary, a module for each part of the tool.

mod app;
mod app_keys;
mod app_load;
mod authoring;
mod callers;
mod checks;
mod conformance;
#[path = "../shared/copied.rs"]
mod copied;
mod corruption;
mod crashes;
mod dashboard;
mod descriptors;
mod desk;
mod doctor;
mod drills;
mod edge;
mod engines;
mod entry;
mod gateway;
mod gateway_life;
mod gateway_responses;
mod gateway_rules;
mod hosts;
mod http_server;
#[path = "../shared/incident.rs"]
mod incident;
mod incidents;
mod interruptions;
mod journals;
mod kills;
mod labs;
mod language;
mod loader_fuzz;
mod logs;
#[path = "../shared/mutate.rs"]
mod mutate;
mod own_stack;
mod proofs;
mod pty;
#[path = "../shared/ran.rs"]
mod ran;
mod random_kills;
mod requests;
mod reset;
mod retries;
mod revisions;
mod runbooks;
mod runs;
#[path = "../shared/same.rs"]
mod same;
mod scenario_files;
mod schema;
mod secrets;
mod service_commands;
#[path = "../shared/conformance.rs"]
mod shared;
mod shelf;
mod stack;
mod support;
mod traffic;
mod traffic_cli;
mod traffic_jobs;
mod traffic_views;
mod unread;
mod untrusted;
mod watch;
mod wire;
