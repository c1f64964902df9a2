//! [`Client`]: the calls to a Docker daemon that the engine makes, in the engine's own words. Nothing outside this folder
//! knows bollard. Each call has a limit in time; each error names the thing that it is about ([`Fault`]).

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
mod ssh;
mod store;
mod stream;

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
pub(super) use exec::Armed;
pub(super) use fault::{Fault, FaultKind};
pub(super) use image::{Image, Made, PullProgress, familiar, whole_name};
pub(super) use network::Named;
use reach::Reach;
use ssh::Tunnel;
pub(super) use store::Stored;
pub(super) use stream::{Event, Line};

use lab_system::deadline::timeout;

/// For one call, but for those that wait for something.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to a daemon; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Client {
    docker: Docker,
    host: String,
    /// It is Podman behind its Docker-compatible socket.
    pub(super) podman: bool,
    /// What its containers run on.
    pub(super) platform: Platform,
    /// The daemon's version.
    pub(super) version: String,
    /// Where its ports are.
    pub(super) reach: Reach,
    /// What leads to it, where that takes a connection of its own.
    _tunnel: Option<Arc<Tunnel>>,
}

/// An operating system and a processor, in Docker's words: `linux`, `amd64`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Platform {
    pub(super) os: String,
    pub(super) arch: String,
}

impl Client {
    /// Where it is, as `DOCKER_HOST` would have it.
    pub(super) fn host(&self) -> &str {
        &self.host
    }
}

/// Gives a call its limit, and its error the thing that it is about.
async fn call<T>(subject: &str, limit: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Fault> {
    match timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Fault::of(subject, &error)),
        Err(_) => Err(Fault::timeout(subject)),
    }
}

/// Ends a stream with an error if nothing comes for `idle`.
fn within<T: Send + 'static>(
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

/// A filter by one label.
fn by_label(label: &str) -> std::collections::HashMap<&'static str, Vec<String>> {
    std::collections::HashMap::from([("label", vec![label.to_owned()])])
}
