#!/usr/bin/env bash
# Runs a Docker Swarm of several daemons, each in namespaces of its own: `cluster.sh FOLDER NODES CGROUP`. Needs root. It reads commands
# from standard input, one per line, answers each with `ok` or `failed`, and ends with its standard input. It must be the
# child of the first process of a PID namespace, so that the kernel ends everything with it:
#
#   unshare --net --mount --pid --fork --kill-child --mount-proc docker-init -- bash cluster.sh FOLDER 3 lab-swarm-1
#
# The network of that namespace is the bridge between the nodes. Node N has the address 10.77.0.N and the socket FOLDER/nN/sock.

set -uo pipefail
folder=$1 nodes=$2 cgroup=$3

# Runs a command in the namespaces of node $1.
inside() { nsenter --target "$(cat "$folder/n$1/init")" --net --mount --pid --uts -- "${@:2}"; }
on() { docker --host "unix://$folder/n$1/sock" "${@:2}"; }

namespaces() {
    local i=$1 node="$folder/n$1"
    mkdir -p "$node/root"
    # Its first process must reap: a killed dockerd leaves a containerd whose process id its successor would wait for.
    unshare --net --mount --pid --uts --fork --kill-child --mount-proc bash -c "
        hostname n$i && mount -t tmpfs -o size=500m,mode=0755 none '$node/root' && mkdir -p /run/docker \
            && mount -t tmpfs none /run/docker && touch '$node/ready' && exec docker-init -- sleep infinity" </dev/null >>"$node/log" 2>&1 &
    local parent=$!
    until [ -e "$node/ready" ]; do kill -0 $parent || return 1; sleep 0.02; done
    pgrep --parent $parent >"$node/init"
    ip link add "v$i" type veth peer name eth0 netns "$(cat "$node/init")"
    ip link set "v$i" master br0 && ip link set "v$i" up
    inside "$i" sh -c "ip link set lo up && ip addr add 10.77.0.$i/24 dev eth0 && ip link set eth0 up && ip route add default via 10.77.0.254"
}

# Starts the daemon of node $1 and waits until it answers.
start() {
    local i=$1 node="$folder/n$1"
    rm -f "$node/sock" "$node/pid"
    cat >"$node/daemon.json" <<JSON
{"data-root": "$node/root", "exec-root": "$node/run", "pidfile": "$node/pid", "hosts": ["unix://$node/sock"],
 "cgroup-parent": "/$cgroup-n$i", "bip": "10.78.$i.1/24", "default-address-pools": [{"base": "10.79.$i.0/24", "size": 28}],
 "shutdown-timeout": 3, "userland-proxy": false}
JSON
    inside "$i" dockerd --config-file "$node/daemon.json" </dev/null >>"$node/log" 2>&1 &
    for _ in $(seq 300); do
        on "$i" version >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    return 1
}

# Sends signal $2 to the daemon of node $1. A stopped daemon stops the nsenter that started it, too.
signal() {
    inside "$1" kill "-$2" "$(cat "$folder/n$1/pid")" || return 1
    if [ "$2" = CONT ]; then pkill -CONT --full "dockerd --config-file $folder/n$1/" || return 1; fi
}

# Turns the network of node $1 `up` or `down`.
link() { ip link set "v$1" "$2"; }

# Joins all nodes. A short heartbeat, so that a lost node is noticed after 3 s instead of 12 s.
join() {
    on 1 swarm init --advertise-addr 10.77.0.1 --listen-addr 10.77.0.1:2377 --default-addr-pool 10.80.0.0/16 \
        --dispatcher-heartbeat 1s >/dev/null || return 1
    local token i
    token=$(on 1 swarm join-token -q worker) || return 1
    for ((i = 2; i <= nodes; i++)); do
        on "$i" swarm join --token "$token" --advertise-addr "10.77.0.$i" --listen-addr "10.77.0.$i:2377" 10.77.0.1:2377 >/dev/null || return 1
    done
}

ip link set lo up
ip link add br0 type bridge
ip addr add 10.77.0.254/24 dev br0
ip link set br0 up
for ((i = 1; i <= nodes; i++)); do namespaces "$i" || exit 1; done
starting=()
for ((i = 1; i <= nodes; i++)); do
    start "$i" &
    starting+=($!)
done
for pid in "${starting[@]}"; do wait "$pid" || exit 1; done
join || exit 1
echo ok
while read -r command arguments; do
    case $command in
        start | signal | link | on)
            # shellcheck disable=SC2086  # the arguments are words
            if "$command" $arguments >&2; then echo ok; else echo failed; fi
            ;;
        *) echo failed ;;
    esac
done
