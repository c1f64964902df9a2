//! Keys of a service that lab does not take, with the reason.

use super::reader::Refused;

const ONE_NETWORK: &str = "all services share one network, on which each has its name";
const NO_RIGHTS: &str = "a lab gets no rights on its host";
const NO_HOST_NETWORK: &str = "a lab reaches its own services by their names, and nothing else by a name of its file";
const STACK_FOLDER: &str = "mount a folder of the stack under `volumes`";

/// Of those that would give a service rights on its host, all that the Compose Specification has.
pub(super) const SERVICE: Refused = &[
    ("annotations", NO_RIGHTS),
    ("blkio_config", NO_RIGHTS),
    ("cgroup", NO_RIGHTS),
    ("cgroup_parent", NO_RIGHTS),
    ("configs", STACK_FOLDER),
    ("container_name", "lab names containers after the lab, so that several live side by side"),
    ("credential_spec", NO_RIGHTS),
    ("device_cgroup_rules", NO_RIGHTS),
    ("devices", NO_RIGHTS),
    ("dns", NO_HOST_NETWORK),
    ("dns_opt", NO_HOST_NETWORK),
    ("dns_search", NO_HOST_NETWORK),
    ("env_file", "write the variables under `environment`"),
    ("expose", "services reach each other on every port: remove it"),
    ("extends", "use an alias of YAML"),
    ("external_links", "a lab has no part in other containers"),
    ("extra_hosts", NO_HOST_NETWORK),
    ("gpus", NO_RIGHTS),
    ("group_add", NO_RIGHTS),
    ("ipc", NO_RIGHTS),
    ("isolation", NO_RIGHTS),
    ("links", ONE_NETWORK),
    ("mac_address", ONE_NETWORK),
    ("network_mode", ONE_NETWORK),
    ("networks", ONE_NETWORK),
    ("oom_kill_disable", NO_RIGHTS),
    ("oom_score_adj", NO_RIGHTS),
    ("pid", NO_RIGHTS),
    ("post_start", "a lab runs no commands at the start of a service"),
    ("pre_stop", "a lab runs no commands at the end of a service"),
    ("privileged", NO_RIGHTS),
    ("profiles", "name services that may be missing under `x-lab.optional`"),
    ("provider", "a lab runs no programs of its host"),
    ("restart", "lab stops and kills services: none may come back by itself"),
    ("runtime", NO_RIGHTS),
    ("scale", "each service is one container"),
    ("secrets", STACK_FOLDER),
    ("storage_opt", NO_RIGHTS),
    ("sysctls", NO_RIGHTS),
    ("ulimits", NO_RIGHTS),
    ("use_api_socket", NO_RIGHTS),
    ("userns_mode", NO_RIGHTS),
    ("uts", NO_RIGHTS),
    ("volumes_from", "mount the volume or the folder itself under `volumes`"),
];
