//! [`Client`]: the calls to a Docker daemon, in the engine's terms. Only this folder uses bollard. Every call has a time limit, and
//! every error names its subject ([`Fault`]).

mod build;
mod connect;
mod container;
mod create;
mod exec;
mod fault;
mod image;
mod lines;
mod network;
mod reach;
pub(crate) mod service;
mod ssh;
mod store;
mod stream;
pub(crate) mod swarm;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

#[cfg(test)]
pub(super) use connect::refused;
pub(super) use container::{Health, Inspected, State};
pub(super) use create::{Launch, PublishedPort, VolumeUse};
pub(super) use exec::{PreparedCommand, Streams};
pub(crate) use fault::{Fault, FaultKind};
pub(super) use image::{BuiltImage, Image, PullProgress, familiar, whole_name};
pub(super) use network::Named;
use reach::Reach;
use ssh::Tunnel;
pub(super) use store::Stored;
pub(super) use stream::{Event, Line};

use lab_system::deadline::timeout;

/// Limit of a call, unless it waits for something.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to a daemon. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    docker: Docker,
    host: String,
    /// True for Podman with its Docker-compatible socket.
    pub(crate) podman: bool,
    /// Platform of its containers.
    pub(crate) platform: Platform,
    pub(crate) version: String,
    /// Address of its published ports.
    pub(super) reach: Reach,
    /// Keeps an ssh connection open.
    _tunnel: Option<Arc<Tunnel>>,
}

/// Operating system and processor in Docker's terms, such as `linux` and `amd64`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) arch: String,
}

impl Client {
    /// Address in the form of `DOCKER_HOST`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

/// Runs a call with a time limit, and adds the subject to its error.
async fn call<T>(subject: &str, limit: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Fault> {
    match timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Fault::from_error(subject, &error)),
        Err(_) => Err(Fault::timeout(subject)),
    }
}

/// Ends a stream with an error if it is idle for too long.
fn with_idle_timeout<T: Send + 'static>(
    idle: Duration,
    subject: impl Into<String>,
    stream: BoxStream<'static, Result<T, Fault>>,
) -> BoxStream<'static, Result<T, Fault>> {
    let subject = subject.into();
    futures_util::stream::unfold(Some(stream), move |stream| {
        let subject = subject.clone();
        async move {
            let mut stream = stream?;
            match timeout(idle, stream.next()).await {
                Ok(item) => Some((item?, Some(stream))),
                Err(_) => Some((Err(Fault::timeout(subject)), None)),
            }
        }
    })
    .boxed()
}

/// Filter by one label.
fn by_label(label: &str) -> std::collections::HashMap<&'static str, Vec<String>> {
    std::collections::HashMap::from([("label", vec![label.to_owned()])])
}
