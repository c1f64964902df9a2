//! The Docker engine: runs a stack as containers through the Docker API. The only crate that uses bollard.

pub mod docker;
