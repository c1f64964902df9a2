#!/usr/bin/env bash
# Runs the Docker tests on engines other than this machine's: newer Docker Engines, and Podman's Docker-compatible socket. Each
# engine comes from Debian packages that are unpacked into a cache folder and not installed. It runs in its own namespaces
# (processes, mounts, network) with its storage in memory, so it does not affect the engines of this machine, and leaves no
# processes or firewall rules behind. The images come from this machine's Docker daemon.
#
#   scripts/engines.sh [--all | --unpack] [ENGINE ...] [-- FILTER ...]
#
# ENGINE: docker-26, docker-28, podman-4.3, podman-5.4 or podman-5.8; default: the first two and podman-5.4.
# FILTER: runs the tests whose names contain one of these; default: those listed below. --all: every test that can pass there.
# --unpack: only unpacks the engines.
# Requires root on Debian, mmdebstrap, docker, and the images of stack/offline/build.sh in this machine's Docker daemon.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The default tests: the lifecycle of a lab on any daemon, and faults that do not depend on the daemon.
tests=(
    the_docker_engine_conforms
    a_redeploy_loses_no_request
    a_stopped_app_is_502_at_once_and_a_paused_one_504
    an_app_that_cannot_start_is_removed_and_the_old_one_keeps_serving
    two_labs_run_side_by_side
    down_removes_an_abandoned_up
    only_changed_services_are_recreated
    a_container_removed_outside_of_lab_is_recreated
    a_network_removed_outside_of_lab_is_recreated
    a_lab_of_containers_is_shown_and_removed_without_its_record
    a_port_used_by_a_process_is_reported
    a_service_that_exits_during_start_is_reported_with_its_last_line
    ctrl_c_during_a_start_leaves_nothing
    every_scenario_gives_the_same_deltas_on_docker_embedded_and_the_mock
)
# Tests that start this machine's dockerd themselves.
left_out=(
    a_daemon_that_restarts
    a_daemon_that_is_gone
    a_daemon_that_is_killed
    a_daemon_that_hangs
    a_daemon_whose_
    a_daemon_is_reached_by_ssh
    an_up_that_is_abandoned_during_the_build_of_the_image
    a_lab_on_another_machines_daemon
)
left_out_on_podman=(
    # Podman's configuration must list registries without TLS, including their port.
    an_image_is_pulled
    a_refusal_of_the_registry
    a_stalled_pull
    a_pulled_image_for_another_platform
    ctrl_c_during_a_pull
    # Podman continues an abandoned build, merges stdout and stderr, lists a digest for images that do not come from a
    # registry, and rounds the times in its logs to seconds.
    logs_are_merged
    ctrl_c_during_a_build
    a_failed_build_is_reported
    the_inventory_lists
)

fail() {
    printf 'engines: %s\n' "$*" >&2
    exit 1
}

# packages_of ENGINE: its Debian suite and packages.
packages_of() {
    case $1 in
    docker-26) echo trixie docker.io iptables ;;
    docker-28) echo forky docker.io iptables ;;
    podman-4.3) echo bookworm podman runc netavark aardvark-dns iptables ;;
    podman-5.4) echo trixie podman runc netavark aardvark-dns nftables iptables ;;
    podman-5.8) echo forky podman runc netavark aardvark-dns nftables iptables ;;
    *) fail "unknown engine $1: expected docker-26, docker-28, podman-4.3, podman-5.4, podman-5.8" ;;
    esac
}

# Outside the namespaces: everything that needs the network, and the temporary folder.
if [ -z "${LAB_ENGINES_FOLDER:-}" ]; then
    engines=() filters=() all='' unpack=''
    while [ $# -gt 0 ]; do
        case $1 in
        --all) all=1 ;;
        --unpack) unpack=1 ;;
        --)
            shift
            filters=("$@")
            break
            ;;
        *)
            packages_of "$1" >/dev/null
            engines+=("$1")
            ;;
        esac
        shift
    done
    [ "${#engines[@]}" -gt 0 ] || engines=(docker-26 docker-28 podman-5.4)
    [ "$(id -u)" = 0 ] || fail 'this requires root'
    inside='' folder=''
    cleanup() {
        # Killing the first process ends everything in the namespaces.
        [ -z "$inside" ] || { kill -KILL "$inside" && wait "$inside"; } 2>/dev/null || true
        [ -n "$folder" ] || return 0
        # Control groups in use belong to another engine and stay.
        find /sys/fs/cgroup -depth -type d \( -path '*/libpod_parent*' -o -path "*/${folder##*/}*" \) \
            -exec rmdir {} + 2>/dev/null || true
        rm -rf "$folder"
    }
    trap cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    [ -n "$unpack" ] || cargo test --quiet --locked --test docker --no-run
    for engine in "${engines[@]}"; do
        read -r suite packages < <(packages_of "$engine")
        root=${XDG_CACHE_HOME:-$HOME/.cache}/lab-engines/$engine
        # shellcheck disable=SC2086  # split into words
        scripts/debian.sh root "$suite" "$root" $packages
        [ -z "$unpack" ] || continue
        if [ "${#filters[@]}" -gt 0 ]; then
            tests=("${filters[@]}")
        elif [ -n "$all" ]; then
            patterns=$(printf '^%s\n' "${left_out[@]}")
            [[ $engine = docker-* ]] || patterns=$(printf '%s\n' "$patterns" "${left_out_on_podman[@]/#/^}")
            mapfile -t tests < <(cargo test --quiet --locked --test docker -- --list | sed -n 's/: test$//p' |
                grep -vf <(echo "$patterns"))
        fi
        printf 'engines: %s: %s tests\n' "$engine" "${#tests[@]}"
        folder=$(mktemp -d --tmpdir lab-engines.XXXXXX)
        # In the background, so that a signal interrupts the wait at once. Background jobs ignore Ctrl-C, but lab must not.
        LAB_ENGINES_FOLDER=$folder LAB_ENGINES_ROOT=$root env --default-signal=INT,QUIT \
            unshare --net --mount --pid --fork --kill-child --mount-proc scripts/engines.sh "$engine" "${tests[@]}" &
        inside=$! status=0
        wait "$inside" || status=$?
        cleanup
        inside='' folder=''
        [ "$status" = 0 ] || fail "$engine: failed"
    done
    exit 0
fi

engine=$1 folder=$LAB_ENGINES_FOLDER
shift
ip link set lo up
# Engines keep locks, networks and mounts in these folders, independent of their storage.
mkdir -p /run/netns /run/containers /run/docker
for place in "$folder" /dev/shm /run/netns /run/containers /run/docker; do mount -t tmpfs none "$place"; done
mkdir "$folder/bin"
# Debian's iptables is a link into /etc/alternatives, which unpacking does not create.
for name in iptables ip6tables iptables-save iptables-restore ip6tables-save ip6tables-restore; do
    ln -s /usr/sbin/xtables-nft-multi "$folder/bin/$name"
done

# Podman's default limits may exceed those of this machine. By default it soon forgets the exit code of a command in a container.
cat >"$folder/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
exit_command_delay = 10
[network]
network_backend = "netavark"
CONF
echo '{}' >"$folder/daemon.json"
case $engine in
podman-*)
    version=(podman --version)
    podman=(podman --root "$folder/root" --runroot "$folder/run" --tmpdir "$folder/tmp"
        --network-config-dir "$folder/networks")
    serve=("${podman[@]}" system service --time 0 "unix://$folder/sock")
    load=(inner "${podman[@]}" load --quiet)
    ;;
docker-*)
    version=(dockerd --version)
    serve=(dockerd --config-file "$folder/daemon.json" --data-root "$folder/root" --exec-root "$folder/run"
        --pidfile "$folder/pid" --host "unix://$folder/sock" --cgroup-parent "/${folder##*/}")
    load=(docker load --quiet)
    ;;
esac
# The engine sees its own /usr and /etc on top of this machine's files; the tests see this machine.
# shellcheck disable=SC2016  # expanded by the inner shell
inner='mount -t overlay -o "lowerdir=$0/etc:/etc" none /etc && mount --bind "$0/usr" /usr && "$@"'
export CONTAINERS_CONF="$folder/containers.conf" PODMAN_IGNORE_CGROUPSV1_WARNING=1
inner() { env PATH="$folder/bin:/usr/sbin:/usr/bin:/sbin:/bin" unshare --mount /bin/sh -c "$inner" "$LAB_ENGINES_ROOT" "$@"; }
inner "${version[@]}"
inner "${serve[@]}" >"$folder/log" 2>&1 &
service=$! patience=$((SECONDS + 60))
outside=${DOCKER_HOST:-unix:///var/run/docker.sock}
export DOCKER_HOST="unix://$folder/sock" LAB_TEST_DOCKER=1
until docker version >/dev/null 2>&1; do
    if ! kill -0 "$service" 2>/dev/null || [ "$SECONDS" -gt "$patience" ]; then
        tail -n 20 "$folder/log" >&2
        fail "$engine does not answer"
    fi
    sleep 0.1
done

images=()
for image in $(sed -n 's/^    image: //p' stack/compose.yaml); do
    # Grafana's image may be missing, and lab builds the app's image.
    if docker --host "$outside" image inspect "$image" >/dev/null 2>&1; then images+=("$image"); fi
done
docker --host "$outside" save "${images[@]}" | "${load[@]}" >/dev/null
for image in "${images[@]}"; do
    # Podman tags loaded images as localhost/…, but resolves short names elsewhere.
    [[ $engine = docker-* ]] || inner "${podman[@]}" tag "$image" "docker.io/$image" 2>/dev/null || true
done

for test in "$@"; do
    # A filter that matches no test would pass.
    ran=$(cargo test --quiet --locked --offline --test docker -- "$test" | tee >(cat >&2))
    [[ $ran != *' 0 passed; 0 failed'* ]] || fail "no test matches $test"
done
