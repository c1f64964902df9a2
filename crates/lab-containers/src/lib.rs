//! The engines that use the Docker API: Docker, which runs a stack as containers, and Swarm, which runs each lab as a service of a
//! Docker Swarm. The only crate that uses bollard.

#![warn(missing_docs)]

pub mod docker;
mod own_image;
pub mod swarm;
