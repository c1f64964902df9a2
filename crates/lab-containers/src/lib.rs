//! The Docker engine: runs a stack as containers through the Docker API. It is the only crate that uses bollard.

pub mod docker;
