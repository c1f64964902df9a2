#!/usr/bin/env bash
# Runs the Docker tests against Podman's Docker-compatible socket: a service of its own, with storage of its own, in namespaces of
# its own (processes, mounts, network), so that a Podman of this machine does not notice it, and nothing of it is left: neither
# a process nor a rule of the firewall. The stand-in images come from the Docker daemon, and so does the docker command that
# the tests look with.
#
#   scripts/podman.sh [FILTER ...]      the tests whose names contain one of these; default: those listed below
#   scripts/podman.sh --all             every test but those that cannot pass there, with why below
#
# Needs root on Debian (it installs podman, netavark and aardvark-dns), and the images of stack/offline/build.sh in Docker.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What a lab is on any daemon, and the faults that do not hang on which it is: for every day.
tests=(
    the_docker_engine_conforms
    a_redeploy_loses_no_request
    a_stopped_app_is_502_at_once_and_a_paused_one_504
    an_app_that_cannot_start_is_removed_and_the_old_one_serves_on
    two_labs_live_side_by_side
    an_up_that_nobody_waits_for_is_taken_back_by_down
    only_what_changed_is_made_again
    a_container_removed_behind_labs_back_comes_back
    a_network_removed_behind_labs_back_comes_back
    a_lab_of_containers_is_shown_and_goes_without_its_record
    a_port_taken_by_a_process_is_told
    a_service_that_dies_while_starting_is_told_with_its_last_line
    ctrl_c_during_a_start_leaves_nothing
    every_scenario_gives_the_same_deltas_on_docker_embedded_and_the_mock
)
left_out=(
    # They bring a daemon of their own, which is dockerd here as well.
    a_daemon_that_restarts
    a_daemon_that_is_gone
    a_daemon_that_is_killed
    a_daemon_that_hangs
    a_daemon_whose_
    a_daemon_is_reached_by_ssh
    an_up_that_is_given_up_while_the_apps_image_is_made
    a_lab_on_another_machines_daemon
    # A registry without TLS has to stand in Podman's configuration, with its port.
    an_image_is_fetched
    a_registry_that_refuses
    a_pull_that_stalls
    a_fetched_image_for_another_platform
    ctrl_c_during_a_pull
    # Podman goes on with a build that nobody waits for, does not tell its stderr apart, lists a digest for an image that came from
    # no registry, and has the times of its logs in whole seconds.
    logs_are_merged
    ctrl_c_during_a_build
    a_build_that_fails_is_told
    the_inventory_says
)

fail() {
    printf 'podman: %s\n' "$*" >&2
    exit 1
}

# What has to be done outside: what needs the network, and the folder, which outlives the namespaces.
if [ -z "${LAB_PODMAN_FOLDER:-}" ]; then
    missing=()
    for package in podman netavark aardvark-dns; do
        # shellcheck disable=SC2016  # it is dpkg's
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi
    podman --version
    cargo test --quiet --locked --test docker --no-run
    if [ "$*" = --all ]; then
        patterns=$(printf '^%s\n' "${left_out[@]}")
        mapfile -t tests < <(cargo test --quiet --locked --test docker -- --list | sed -n 's/: test$//p' |
            grep -vf <(echo "$patterns"))
    elif [ "$#" -gt 0 ]; then
        tests=("$@")
    fi
    printf '%s tests\n' "${#tests[@]}"
    LAB_PODMAN_FOLDER=$(mktemp -d --tmpdir lab-podman.XXXXXX)
    export LAB_PODMAN_FOLDER
    inside=
    cleanup() {
        # With its first process, all in the namespaces ends.
        [ -z "$inside" ] || { kill -KILL "$inside" && wait "$inside"; } 2>/dev/null || true
        # What is somebody else's is in use, and stays.
        find /sys/fs/cgroup -depth -type d -path '*/libpod_parent*' -exec rmdir {} + 2>/dev/null || true
        rm -rf "$LAB_PODMAN_FOLDER"
    }
    trap cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # In the background, and waited for: so a signal is heard at once. What is started so ignores Ctrl-C, which lab heeds.
    env --default-signal=INT,QUIT \
        unshare --net --mount --pid --fork --kill-child --mount-proc scripts/podman.sh "${tests[@]}" &
    inside=$! status=0
    wait "$inside" || status=$?
    inside=
    exit "$status"
fi

folder=$LAB_PODMAN_FOLDER
ip link set lo up
# Where Podman keeps its locks, its networks and what it has mounted, wherever its storage is.
mkdir -p /run/netns /run/containers
for place in "$folder" /dev/shm /run/netns /run/containers; do mount -t tmpfs none "$place"; done

# Its own limits may be below what it asks for by default. How a command in a container ended it forgets soon after.
cat >"$folder/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
exit_command_delay = 10
[network]
network_backend = "netavark"
CONF
export CONTAINERS_CONF="$folder/containers.conf"
store=(--root "$folder/root" --runroot "$folder/run" --tmpdir "$folder/tmp" --network-config-dir "$folder/networks")
podman "${store[@]}" system service --time 0 "unix://$folder/podman.sock" >"$folder/log" 2>&1 &
service=$! patience=$((SECONDS + 30))
until docker --host "unix://$folder/podman.sock" version >/dev/null 2>&1; do
    if ! kill -0 "$service" 2>/dev/null || [ "$SECONDS" -gt "$patience" ]; then
        tail -n 20 "$folder/log" >&2
        fail 'its service does not come up'
    fi
    sleep 0.1
done
trap 'podman "${store[@]}" rm --all --force >/dev/null 2>&1 || true' EXIT

images=()
for image in $(sed -n 's/^    image: //p' stack/compose.yaml); do
    # Grafana's may be missing, and the app's is made.
    if docker image inspect "$image" >/dev/null 2>&1; then images+=("$image"); fi
done
docker save "${images[@]}" | podman "${store[@]}" load --quiet >/dev/null
for image in "${images[@]}"; do
    # It calls what was loaded localhost/…, and looks for short names elsewhere.
    podman "${store[@]}" tag "$image" "docker.io/${image}" 2>/dev/null || true
done

export DOCKER_HOST="unix://$folder/podman.sock" LAB_TEST_DOCKER=1
for test in "$@"; do
    # A name that is none of a test's would be a test that passes.
    ran=$(cargo test --quiet --locked --offline --test docker -- "$test" | tee >(cat >&2))
    [[ $ran != *' 0 passed; 0 failed'* ]] || fail "there is no test called $test"
done
