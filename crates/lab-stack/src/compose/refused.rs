//! Unsupported keys of a service, each with the reason.

use super::reader::Refused;

const ONE_NETWORK: &str = "all services share one network and are reachable by their names";
const NO_RIGHTS: &str = "a lab gets no rights on its host";
const NO_HOST_NETWORK: &str = "services can only resolve the names of the lab's own services";
const STACK_FOLDER: &str = "mount a folder of the stack under `volumes`";

/// Includes every key of the Compose Specification that would give a service privileges on its host.
pub(super) const SERVICE: Refused = &[
    ("annotations", NO_RIGHTS),
    ("blkio_config", NO_RIGHTS),
    ("cgroup", NO_RIGHTS),
    ("cgroup_parent", NO_RIGHTS),
    ("configs", STACK_FOLDER),
    ("container_name", "lab names the containers, so that several labs can run side by side"),
    ("credential_spec", NO_RIGHTS),
    ("device_cgroup_rules", NO_RIGHTS),
    ("devices", NO_RIGHTS),
    ("dns", NO_HOST_NETWORK),
    ("dns_opt", NO_HOST_NETWORK),
    ("dns_search", NO_HOST_NETWORK),
    ("env_file", "write the variables under `environment`"),
    ("expose", "not needed: services can reach each other on every port"),
    ("extends", "use a YAML alias"),
    ("external_links", "a lab cannot use other containers"),
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
    ("post_start", "lab does not run commands when a service starts"),
    ("pre_stop", "lab does not run commands when a service stops"),
    ("privileged", NO_RIGHTS),
    ("profiles", "name services that may be missing under `x-lab.optional`"),
    ("provider", "lab does not run programs on its host"),
    ("restart", "lab stops and kills services, so they must not restart on their own"),
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
