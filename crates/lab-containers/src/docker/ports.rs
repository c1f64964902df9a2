//! Host ports: addresses for probes, and the holder of a port that is taken.

use super::Inner;
use super::client::{Client, Fault};
use lab_core::engine::{EngineError, port};
use lab_stack::Service;

impl Inner {
    /// Error that names the holder of a port that a container needs.
    pub(super) async fn port_taken(&self, client: &Client, service: &Service, id: &str, fault: Fault) -> EngineError {
        let wanted = client.inspect(id).await.ok().flatten().map(|found| found.ports).unwrap_or_default();
        let others = client.running_containers().await.unwrap_or_default();
        let error = fault.service(&service.name);
        let hint = if service.name == self.stack.lab.gateway.service {
            "use another port with --port 8081, or a free one with --port 0"
        } else {
            "use free ports with --port 0"
        };
        for port in wanted.into_values() {
            if let Some(other) = others.iter().find(|other| other.ports.contains(&port) && other.id != id) {
                let detail = format!("{}:{port} is in use by container {}", client.reach.bind(), other.name);
                return EngineError { detail, ..error }.hint(hint);
            }
            if client.reach.is_local()
                && let Err(taken) = port::require_free(port)
            {
                return taken.for_service(&service.name).hint(hint);
            }
        }
        error.hint(hint)
    }

    /// Host address of a running container, for services that are probed over HTTP.
    pub(super) async fn address_of(
        &self,
        client: &Client,
        service: &Service,
        id: &str,
    ) -> Result<Option<String>, EngineError> {
        let Some(target) = self.probed_port(&service.name) else { return Ok(None) };
        let found = client.inspect(id).await?;
        Ok(found.and_then(|found| found.ports.get(&target).map(|port| client.reach.address(*port))))
    }

    fn probed_port(&self, service: &str) -> Option<u16> {
        let lab = &self.stack.lab;
        match service {
            name if name == lab.app.service => Some(lab.app.port),
            name if name == lab.gateway.service => Some(lab.gateway.port),
            _ => None,
        }
    }
}
