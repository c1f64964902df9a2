//! Addresses of a lab as its clients see them. The host describes its processes with their loopback addresses.

use super::record::Record;
use lab_core::engine::{Description, GATEWAY, MetricsEndpoint};

/// Replaces the addresses of the container by those of its node.
pub(super) fn from_outside(mut now: Description, record: &Record) -> Description {
    let Some(placement) = &record.placement else { return now };
    let at = |port: u16| format!("{}:{port}", bracketed(&placement.address));
    let page = |endpoint: MetricsEndpoint| {
        let url = format!("http://{}/metrics/{}", at(record.ports.metrics), endpoint.instance);
        MetricsEndpoint { url, ..endpoint }
    };
    now.endpoints.gateway = format!("http://{}", at(record.ports.gateway));
    now.endpoints.metrics = now.endpoints.metrics.into_iter().map(page).collect();
    now.endpoints.edge = now.endpoints.edge.map(page);
    now.endpoints.dashboard = None;
    for service in &mut now.services {
        // Its processes are not on this machine, and only the gateway is reached at an address of its own.
        service.pid = None;
        service.address = (service.name == GATEWAY).then(|| at(record.ports.gateway));
    }
    now
}

/// An IPv6 address needs brackets before a port.
pub(super) fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}
