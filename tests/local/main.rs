//! Integration tests that need neither Docker nor root: one binary, a module for each part of the tool.

mod scenario_files;
