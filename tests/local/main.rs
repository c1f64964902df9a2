//! Integration tests that need neither Docker nor root: one binary, a module for each part of the tool.

mod app;
mod app_keys;
mod app_load;
mod authoring;
mod callers;
mod checks;
#[path = "../shared/command.rs"]
mod command;
mod command_line;
mod completions;
mod conformance;
#[path = "../shared/conformance.rs"]
mod conformance_suite;
mod corruption;
mod crashes;
mod dashboard;
mod descriptors;
mod desk;
mod doctor;
#[path = "../shared/drill.rs"]
mod drill;
mod drill_blindness;
mod drill_ends;
mod drill_plays;
mod drills;
mod early_refusals;
mod edge;
mod engines;
mod gateway;
mod gateway_lifecycle;
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
mod loader_fuzz;
mod logs;
#[path = "../shared/mutate.rs"]
mod mutate;
mod own_stack;
mod participants;
mod probes;
mod proofs;
mod pty;
mod random_kills;
mod referee;
mod requests;
mod reset;
mod retries;
mod revisions;
mod room_trainer;
mod rooms;
#[path = "../shared/run_outcome.rs"]
mod run_outcome;
mod runbooks;
mod runs;
mod scenario_features;
mod scenario_files;
mod scenario_list;
mod schema;
mod secrets;
mod service_commands;
#[path = "../shared/spoilers.rs"]
mod spoilers;
mod stack;
#[path = "../shared/stack_copy.rs"]
mod stack_copy;
mod support;
mod traffic;
mod traffic_cli;
mod traffic_jobs;
mod traffic_views;
mod untrusted;
mod watch;
mod wire;
