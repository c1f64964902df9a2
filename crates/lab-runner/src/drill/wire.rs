//! [`ProbeWire`]: requests that the system under test neither counts nor logs.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use lab_core::PROBE_HEADER;
use lab_telemetry::metrics::{Exposition, ScrapeError};
use lab_telemetry::wire::{Probe, ProbeError, ProbeResponse, TrafficProgressFn, Wire};
use lab_traffic::{Load, Summary, TrafficCommands};

/// Marks every request with [`PROBE_HEADER`].
pub struct ProbeWire(pub Arc<dyn Wire>);

fn marked(load: &Load) -> Load {
    let mut load = load.clone();
    load.headers.push((PROBE_HEADER.to_owned(), "1".to_owned()));
    load
}

#[async_trait]
impl Wire for ProbeWire {
    async fn traffic(&self, load: &Load, progress: TrafficProgressFn, cancel: &CancellationToken) -> Summary {
        self.0.traffic(&marked(load), progress, cancel).await
    }

    async fn background_traffic(&self, load: &Load, commands: TrafficCommands, cancel: &CancellationToken) -> Summary {
        self.0.background_traffic(&marked(load), commands, cancel).await
    }

    async fn scrape(&self, url: &str) -> Result<Exposition, ScrapeError> {
        self.0.scrape(url).await
    }

    async fn probe(&self, probe: &Probe) -> Result<ProbeResponse, ProbeError> {
        let mut probe = probe.clone();
        probe.headers.insert(PROBE_HEADER.to_owned(), "1".to_owned());
        self.0.probe(&probe).await
    }
}
