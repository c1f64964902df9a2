//! The Docker engine: runs a stack as containers through the Docker API. The only crate that uses bollard.

#![warn(missing_docs)]

pub mod docker;
