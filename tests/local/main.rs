//! Integration tests that need neither Docker nor root: one binary, a module for each part of the tool.

mod http_server;
mod stack;
mod traffic;
mod wire;
