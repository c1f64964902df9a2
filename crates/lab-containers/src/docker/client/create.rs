//! [`Launch`]: the definition of a container, and its form in the daemon's API.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions, NetworkingConfig, PortBinding, PortMap,
};
use bollard::query_parameters::CreateContainerOptionsBuilder;

use super::{CALL_TIMEOUT, Client, Fault, call};
use lab_stack::{HealthCheck, HealthSetting, Service};

/// Minimum interval of the daemon's own health checks. Each starts a process in the container, and nothing waits for them.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Definition of a container.
#[derive(Clone, Debug)]
pub(in crate::docker) struct Launch {
    pub(in crate::docker) name: String,
    /// Image by id or name.
    pub(in crate::docker) image: String,
    /// Definition in the stack. Environment, ports and mounts are taken from the fields below.
    pub(in crate::docker) service: Service,
    pub(in crate::docker) env: BTreeMap<String, String>,
    pub(in crate::docker) labels: BTreeMap<String, String>,
    pub(in crate::docker) ports: Vec<PublishedPort>,
    /// Address of the daemon's machine on which the ports are published.
    pub(in crate::docker) bind: IpAddr,
    pub(in crate::docker) volumes: Vec<VolumeUse>,
    /// Id of the lab's network, or its name with Podman. `None` for a carrier of files.
    pub(in crate::docker) network: Option<String>,
    /// Names on the network.
    pub(in crate::docker) aliases: Vec<String>,
    /// Links as `container:name`, resolved on each lookup.
    pub(in crate::docker) links: Vec<String>,
    /// Search domain for names.
    pub(in crate::docker) search: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::docker) struct PublishedPort {
    /// `None` lets the daemon choose a free port at each start.
    pub(in crate::docker) host: Option<u16>,
    pub(in crate::docker) target: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::docker) struct VolumeUse {
    pub(in crate::docker) volume: String,
    pub(in crate::docker) target: String,
    pub(in crate::docker) read_only: bool,
    /// Starts empty, instead of with the image's content at this path.
    pub(in crate::docker) starts_empty: bool,
}

impl Client {
    /// Creates a container without starting it, and returns its id.
    pub(in crate::docker) async fn create(&self, launch: &Launch) -> Result<String, Fault> {
        let options = CreateContainerOptionsBuilder::default().name(&launch.name).build();
        let creating = self.docker.create_container(Some(options), body(launch, self.podman));
        call(&format!("container {}", launch.name), CALL_TIMEOUT, creating).await.map(|created| created.id)
    }
}

fn body(launch: &Launch, podman: bool) -> ContainerCreateBody {
    let service = &launch.service;
    ContainerCreateBody {
        image: Some(launch.image.clone()),
        entrypoint: service.entrypoint.clone(),
        cmd: service.command.clone(),
        env: Some(launch.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        user: service.user.clone(),
        labels: Some(map(&launch.labels)),
        exposed_ports: Some(launch.ports.iter().map(|port| format!("{}/tcp", port.target)).collect()),
        healthcheck: health(&service.health),
        stop_signal: service.stop_signal.clone(),
        stop_timeout: service.stop_grace.map(|grace| i64::try_from(grace.as_secs()).unwrap_or(i64::MAX)),
        host_config: Some(host(launch, podman)),
        networking_config: launch.network.as_ref().map(|network| endpoints(launch, network)),
        ..ContainerCreateBody::default()
    }
}

fn endpoints(launch: &Launch, network: &str) -> NetworkingConfig {
    let endpoint = EndpointSettings {
        aliases: Some(launch.aliases.clone()),
        links: (!launch.links.is_empty()).then(|| launch.links.clone()),
        // Otherwise Docker would store the name and look it up again when the container starts.
        network_id: Some(network.to_owned()),
        ..EndpointSettings::default()
    };
    NetworkingConfig { endpoints_config: Some(HashMap::from([(network.to_owned(), endpoint)])) }
}

fn host(launch: &Launch, podman: bool) -> HostConfig {
    let service = &launch.service;
    let limits = service.limits;
    let (owned, in_memory): (Vec<&String>, Vec<&String>) =
        service.tmpfs.iter().partition(|entry| podman && is_owned(entry));
    let mounts = launch.volumes.iter().map(mount).chain(owned.into_iter().map(|entry| anonymous_volume(entry)));
    HostConfig {
        network_mode: Some(launch.network.clone().unwrap_or_else(|| "none".to_owned())),
        port_bindings: Some(ports(&launch.ports, launch.bind)),
        mounts: Some(mounts.collect()),
        tmpfs: Some(in_memory.iter().map(|entry| tmpfs(entry)).collect()),
        readonly_rootfs: Some(service.read_only),
        cap_drop: list(&service.cap_drop),
        cap_add: list(&service.cap_add),
        security_opt: list(&service.security_opt),
        init: service.init.then_some(true),
        memory: limits.memory.and_then(|bytes| i64::try_from(bytes).ok()),
        // No swap beyond the memory limit.
        memory_swap: limits.memory.and_then(|bytes| i64::try_from(bytes).ok()),
        nano_cpus: limits.cpus.map(nano),
        pids_limit: limits.pids,
        shm_size: service.shm_size.and_then(|bytes| i64::try_from(bytes).ok()),
        log_config: service
            .logging
            .as_ref()
            .map(|(driver, options)| HostConfigLogConfig { typ: Some(driver.clone()), config: Some(map(options)) }),
        dns_search: launch.search.clone().map(|domain| vec![domain]),
        // An explicit value keeps the daemon from asking other servers for names without a dot.
        dns_options: launch.search.is_some().then(|| vec!["ndots:0".to_owned()]),
        ..HostConfig::default()
    }
}

fn list(entries: &[String]) -> Option<Vec<String>> {
    (!entries.is_empty()).then(|| entries.to_vec())
}

fn map(entries: &BTreeMap<String, String>) -> HashMap<String, String> {
    entries.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a number of cores, in billionths, is far below the limit")]
fn nano(cpus: f64) -> i64 {
    (cpus * 1e9) as i64
}

fn ports(published: &[PublishedPort], bind: IpAddr) -> PortMap {
    let binding = |port: &PublishedPort| PortBinding {
        host_ip: Some(bind.to_string()),
        host_port: Some(port.host.map(|host| host.to_string()).unwrap_or_default()),
    };
    published.iter().map(|port| (format!("{}/tcp", port.target), Some(vec![binding(port)]))).collect()
}

fn mount(volume: &VolumeUse) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume.volume.clone()),
        target: Some(volume.target.clone()),
        read_only: Some(volume.read_only),
        volume_options: volume
            .starts_empty
            .then(|| MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        ..Mount::default()
    }
}

/// Splits `/run:mode=1777,size=16m` into path and options.
fn tmpfs(entry: &str) -> (String, String) {
    let (path, options) = entry.split_once(':').unwrap_or((entry, ""));
    (path.to_owned(), options.to_owned())
}

/// Returns true if a tmpfs has an owner. Podman does not support that, so an anonymous volume is used there: it has the owner of
/// the image's folder and is removed with the container.
fn is_owned(entry: &str) -> bool {
    tmpfs(entry).1.split(',').any(|option| option.starts_with("uid=") || option.starts_with("gid="))
}

fn anonymous_volume(entry: &str) -> Mount {
    Mount { typ: Some(MountType::VOLUME), target: Some(tmpfs(entry).0), ..Mount::default() }
}

/// Returns `None` to use the check of the image.
fn health(setting: &HealthSetting) -> Option<HealthConfig> {
    match setting {
        HealthSetting::Inherited => None,
        HealthSetting::Off => Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        HealthSetting::Own(check) => Some(own_health(check)),
    }
}

fn own_health(check: &HealthCheck) -> HealthConfig {
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    HealthConfig {
        test: Some(std::iter::once("CMD".to_owned()).chain(check.test.iter().cloned()).collect()),
        interval: Some(nanos(check.interval.max(CHECK_INTERVAL))),
        timeout: Some(nanos(check.timeout)),
        retries: Some(i64::from(check.retries)),
        start_period: Some(nanos(check.start_period)),
        ..HealthConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_on_one_address_alone() {
        let published = [PublishedPort { host: Some(8080), target: 80 }, PublishedPort { host: None, target: 81 }];
        let map = ports(&published, std::net::Ipv4Addr::LOCALHOST.into());
        for bindings in map.values() {
            assert_eq!(bindings.as_ref().unwrap()[0].host_ip.as_deref(), Some("127.0.0.1"));
        }
        assert_eq!(map["80/tcp"].as_ref().unwrap()[0].host_port.as_deref(), Some("8080"));
        assert_eq!(map["81/tcp"].as_ref().unwrap()[0].host_port.as_deref(), Some(""));
    }

    #[test]
    fn a_health_check_comes_from_the_image_or_the_file_or_is_disabled() {
        let test = |setting: &HealthSetting| health(setting).map(|config| config.test.unwrap_or_default());
        assert_eq!(test(&HealthSetting::Inherited), None);
        assert_eq!(test(&HealthSetting::Off), Some(vec!["NONE".to_owned()]));
        let second = Duration::from_secs(1);
        let check = HealthCheck {
            test: vec!["true".to_owned()],
            interval: second,
            timeout: second,
            retries: 1,
            start_period: Duration::ZERO,
        };
        assert_eq!(test(&HealthSetting::Own(check)), Some(vec!["CMD".to_owned(), "true".to_owned()]));
    }

    #[test]
    fn a_tmpfs_has_options() {
        assert_eq!(tmpfs("/tmp"), ("/tmp".to_owned(), String::new()));
        assert_eq!(tmpfs("/run:mode=1777,size=16m"), ("/run".to_owned(), "mode=1777,size=16m".to_owned()));
        assert!(is_owned("/run:mode=700,uid=999") && !is_owned("/run:mode=700") && !is_owned("/uid=1"));
    }
}
