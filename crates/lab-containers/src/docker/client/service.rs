//! [`ServiceLaunch`]: the definition of a service, and its form in the daemon's API.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    EndpointPortConfig, EndpointPortConfigProtocolEnum, EndpointPortConfigPublishModeEnum, EndpointSpec, Limit, Mount,
    MountTmpfsOptions, MountType, ResourceObject, ServiceSpec, ServiceSpecMode, ServiceSpecModeReplicated, TaskSpec,
    TaskSpecContainerSpec, TaskSpecContainerSpecFile, TaskSpecContainerSpecPrivileges, TaskSpecContainerSpecSecrets,
    TaskSpecPlacement, TaskSpecPlacementPreferences, TaskSpecPlacementSpread, TaskSpecResources, TaskSpecRestartPolicy,
    TaskSpecRestartPolicyConditionEnum,
};

use super::Platform;

/// Delay before Swarm starts a failed task again, in nanoseconds.
const RESTART_DELAY: i64 = 1_000_000_000;
/// Time for a container to stop before it is killed, in nanoseconds.
const STOP_GRACE: i64 = 5_000_000_000;

/// A service with one task, or with one on each node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceLaunch {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// Image by id, or by the digest of a registry.
    pub(crate) image: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    /// `UID:GID`.
    pub(crate) user: String,
    /// Secret that is mounted as `/run/secrets/NAME`.
    pub(crate) secret: Option<SecretUse>,
    /// Path of a tmpfs, and its size in bytes.
    pub(crate) tmpfs: Option<(String, u64)>,
    /// Pairs of a published port and a port of the container.
    pub(crate) ports: Vec<(u16, u16)>,
    /// Memory in bytes: reserved, and at most.
    pub(crate) memory: (u64, u64),
    /// Maximum number of processes and threads.
    pub(crate) pids: u64,
    /// Such as `node.id!=X`.
    pub(crate) constraints: Vec<String>,
    pub(crate) platform: Platform,
    /// One task on each node that is not started again, instead of one that is.
    pub(crate) everywhere: bool,
}

/// Use of a secret by a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SecretUse {
    pub(crate) id: String,
    pub(crate) name: String,
    /// File name in `/run/secrets`.
    pub(crate) file: String,
}

impl ServiceLaunch {
    #[expect(clippy::zero_sized_map_values, reason = "a type of the client library")]
    pub(super) fn spec(&self) -> ServiceSpec {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mode = if self.everywhere {
            ServiceSpecMode { global: Some(HashMap::new()), ..ServiceSpecMode::default() }
        } else {
            let one = ServiceSpecModeReplicated { replicas: Some(1) };
            ServiceSpecMode { replicated: Some(one), ..ServiceSpecMode::default() }
        };
        let condition = if self.everywhere {
            TaskSpecRestartPolicyConditionEnum::NONE
        } else {
            // Also after a clean end: a daemon that restarts ends its containers with SIGTERM.
            TaskSpecRestartPolicyConditionEnum::ANY
        };
        let (reserved, limit) = self.memory;
        let spread = TaskSpecPlacementSpread { spread_descriptor: Some("node.id".to_owned()) };
        let task = TaskSpec {
            container_spec: Some(self.container()),
            resources: Some(TaskSpecResources {
                limits: Some(Limit {
                    memory_bytes: Some(signed(limit)),
                    pids: Some(signed(self.pids)),
                    ..Limit::default()
                }),
                reservations: Some(ResourceObject {
                    memory_bytes: Some(signed(reserved)),
                    ..ResourceObject::default()
                }),
                ..TaskSpecResources::default()
            }),
            restart_policy: Some(TaskSpecRestartPolicy {
                condition: Some(condition),
                delay: Some(RESTART_DELAY),
                ..TaskSpecRestartPolicy::default()
            }),
            placement: Some(TaskSpecPlacement {
                constraints: Some(self.constraints.clone()),
                preferences: Some(vec![TaskSpecPlacementPreferences { spread: Some(spread) }]),
                // Swarm would start the image on any platform.
                platforms: Some(vec![bollard::models::Platform {
                    architecture: Some(self.platform.arch.clone()),
                    os: Some(self.platform.os.clone()),
                }]),
                ..TaskSpecPlacement::default()
            }),
            ..TaskSpec::default()
        };
        ServiceSpec {
            name: Some(self.name.clone()),
            labels: Some(self.labels.clone().into_iter().collect()),
            task_template: Some(task),
            mode: Some(mode),
            endpoint_spec: Some(EndpointSpec { ports: Some(self.published()), ..EndpointSpec::default() }),
            ..ServiceSpec::default()
        }
    }

    fn published(&self) -> Vec<EndpointPortConfig> {
        let port = |(published, target): &(u16, u16)| EndpointPortConfig {
            protocol: Some(EndpointPortConfigProtocolEnum::TCP),
            target_port: Some(i64::from(*target)),
            published_port: Some(i64::from(*published)),
            publish_mode: Some(EndpointPortConfigPublishModeEnum::HOST),
            ..EndpointPortConfig::default()
        };
        self.ports.iter().map(port).collect()
    }

    fn container(&self) -> TaskSpecContainerSpec {
        let (uid, gid) = self.user.split_once(':').unwrap_or((&self.user, &self.user));
        // 20.10 refuses a secret whose file lacks one of the fields.
        let secret = |secret: &SecretUse| TaskSpecContainerSpecSecrets {
            secret_id: Some(secret.id.clone()),
            secret_name: Some(secret.name.clone()),
            file: Some(TaskSpecContainerSpecFile {
                name: Some(secret.file.clone()),
                uid: Some(uid.to_owned()),
                gid: Some(gid.to_owned()),
                mode: Some(0o400),
            }),
        };
        let tmpfs = |(path, size): &(String, u64)| Mount {
            target: Some(path.clone()),
            typ: Some(MountType::TMPFS),
            tmpfs_options: Some(MountTmpfsOptions {
                size_bytes: i64::try_from(*size).ok(),
                mode: Some(0o1777),
                ..MountTmpfsOptions::default()
            }),
            ..Mount::default()
        };
        TaskSpecContainerSpec {
            image: Some(self.image.clone()),
            args: Some(self.args.clone()),
            env: Some(self.env.clone()),
            user: Some(self.user.clone()),
            read_only: Some(true),
            capability_drop: Some(vec!["ALL".to_owned()]),
            // Docker before version 25 ignores it. Nothing in the image is setuid.
            privileges: Some(TaskSpecContainerSpecPrivileges {
                no_new_privileges: Some(true),
                ..TaskSpecContainerSpecPrivileges::default()
            }),
            secrets: self.secret.as_ref().map(|used| vec![secret(used)]),
            mounts: self.tmpfs.as_ref().map(|mount| vec![tmpfs(mount)]),
            stop_grace_period: Some(STOP_GRACE),
            ..TaskSpecContainerSpec::default()
        }
    }
}
