//! Privileges of a stack's services: at most those of every container, regardless of the key and its origin.

use super::{SHORT, read};

/// Errors of a stack whose service `api` has additional lines.
fn refused(lines: &str) -> String {
    let text = SHORT.replace("    tmpfs: /tmp\n", &format!("    tmpfs: /tmp\n    {lines}\n"));
    assert_ne!(text, SHORT);
    read(&text).err().unwrap_or_else(|| panic!("{lines} was accepted")).to_string()
}

#[test]
fn a_right_on_the_host_is_refused_with_the_reason() {
    let reason = "a lab gets no rights on its host";
    for lines in [
        "privileged: true",
        "cap_add: [SYS_ADMIN]",
        "cap_add: [cap_sys_module]",
        "cap_add: [ALL]",
        "security_opt: [\"seccomp:unconfined\"]",
        "security_opt: [\"no-new-privileges:true\", \"apparmor=unconfined\"]",
        "security_opt: [\"label:disable\"]",
        "devices: [\"/dev/sda:/dev/sda\"]",
        "device_cgroup_rules: [\"b *:* rwm\"]",
        "gpus: all",
        "pid: host",
        "ipc: host",
        "uts: host",
        "userns_mode: host",
        "cgroup: host",
        "cgroup_parent: /",
        "runtime: other",
        "sysctls: { kernel.msgmax: 1 }",
        "group_add: [docker]",
        "credential_spec: { file: a.json }",
        "storage_opt: { size: 1G }",
        "use_api_socket: true",
        "oom_score_adj: -1000",
    ] {
        let message = refused(lines);
        let key = lines.split(':').next().unwrap();
        assert!(message.contains(reason) && message.contains(&format!("`{key}`")), "{lines}:\n{message}");
        assert!(message.contains("compose.yaml:15:"), "{lines}:\n{message}");
    }
}

#[test]
fn access_beyond_the_lab_is_refused_with_the_reason() {
    for (lines, reason) in [
        ("network_mode: host", "all services share one network"),
        (
            "extra_hosts: [\"host.docker.internal:host-gateway\"]",
            "can only resolve the names of the lab's own services",
        ),
        ("dns: [192.0.2.1]", "can only resolve the names of the lab's own services"),
        ("external_links: [other]", "a lab cannot use other containers"),
        ("volumes_from: [\"container:other\"]", "mount the volume or the folder itself"),
        ("provider: { type: model }", "lab does not run programs on its host"),
        ("post_start: [{ command: x, privileged: true }]", "lab does not run commands"),
        ("logging: { driver: syslog, options: { syslog-address: \"unix:///dev/log\" } }", "logs must stay in the lab"),
        ("logging: { driver: json-file, options: { syslog-address: x } }", "`options` is `syslog-address`"),
        ("deploy: { resources: { reservations: { devices: [] } } }", "lab does not reserve resources"),
        ("labels: { lab.name: other }", "the label `lab.name` is reserved for lab"),
    ] {
        let message = refused(lines);
        assert!(message.contains(reason), "{lines}:\n{message}");
    }
    for mount in ["/var/run/docker.sock:/var/run/docker.sock", "/:/host:ro", "~/.ssh:/ssh:ro", "./conf:/x:rw,rshared"] {
        let text = SHORT.replace("./conf:/etc/api:ro", mount);
        assert!(read(&text).is_err(), "{mount} was accepted");
    }
    let volume = |options: &str| SHORT.replace("volumes: { data: }", &format!("volumes: {{ data: {options} }}"));
    for options in ["{ driver_opts: { type: none, o: bind, device: / } }", "{ external: true }", "{ name: other }"] {
        assert!(read(&volume(options)).is_err(), "{options} was accepted");
    }
}

#[test]
fn keys_are_refused_regardless_of_their_origin() {
    for extension in ["privileged: true", "cap_add: [SYS_ADMIN]", "pid: host", "security_opt: [\"seccomp:unconfined\"]"]
    {
        for merge in ["<<: *more", "<<: [*more]", "<<: [{ init: true }, *more]"] {
            let text = format!("x-more: &more {{ {extension} }}\n{SHORT}")
                .replace("    tmpfs: /tmp\n", &format!("    tmpfs: /tmp\n    {merge}\n"));
            let message = read(&text).err().unwrap_or_else(|| panic!("{extension} by {merge}")).to_string();
            assert!(message.contains("a lab gets no rights on its host"), "{message}");
        }
    }
    let list = format!("x-list: &list [SYS_ADMIN]\n{SHORT}")
        .replace("    tmpfs: /tmp\n", "    tmpfs: /tmp\n    cap_add: *list\n");
    assert!(read(&list).unwrap_err().to_string().contains("`cap_add` is `SYS_ADMIN`"));
    // Variables are replaced first.
    let variable = refused("cap_add: [\"${NONE:-SYS_ADMIN}\"]");
    assert!(variable.contains("`cap_add` is `SYS_ADMIN`"), "{variable}");
}

#[test]
fn dropped_and_restored_capabilities_are_accepted() {
    let text = SHORT.replace(
        "    tmpfs: /tmp\n",
        "    tmpfs: /tmp\n    cap_drop: [all]\n    cap_add: [CAP_CHOWN, net_bind_service]\n    \
         security_opt: [no-new-privileges]\n    logging: { driver: local, options: { max-size: 1m } }\n",
    );
    let stack = read(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let api = stack.service("api").unwrap();
    assert_eq!(
        (&api.cap_drop[..], &api.cap_add[..]),
        (&["ALL".to_owned()][..], &["CHOWN".to_owned(), "NET_BIND_SERVICE".to_owned()][..])
    );
    assert_eq!(api.security_opt, ["no-new-privileges:true"]);
}
