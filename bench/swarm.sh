#!/usr/bin/env bash
# Measures labs on a Docker Swarm of three daemons in network namespaces of this machine, and prints each figure with its limit.
# Exits 1 if a limit is missed. Needs root, Linux, bash 5, awk and a Docker Engine; leaves nothing behind. Takes about two minutes.
#
#   bench/swarm.sh                builds lab, then measures
#   LAB=path/to/lab LABS=30 bench/swarm.sh

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
unset LAB_NAME

LAB=$(realpath "${LAB:-$(scripts/release.sh)}")
LABS=${LABS:-30}
NODES=3
PARALLEL=8
folder=$(mktemp -d)
cgroup="lab-swarm-bench-$$"
export LAB_STATE_DIR="$folder/state" LAB_ENGINE=swarm DOCKER_HOST="unix://$folder/n1/sock"
# shellcheck disable=SC2317  # the trap calls it
cleanup() {
    lab down --all >/dev/null 2>&1 || true
    # The cluster ends with its standard input.
    exec {commands}>&- {answers}<&- || true
    wait "$cluster" 2>/dev/null || true
    for _ in $(seq 50); do
        find /sys/fs/cgroup -depth -type d -path "*/$cgroup-n*" -exec rmdir {} + 2>/dev/null || true
        [ -n "$(find /sys/fs/cgroup -type d -path "*/$cgroup-n*" -print -quit)" ] || break
        sleep 0.1
    done
    rm -rf "$folder"
}
die() { echo "swarm: $*" >&2; exit 1; }

coproc CLUSTER { exec unshare --net --mount --pid --fork --kill-child --mount-proc docker-init -- bash tests/swarm/cluster.sh "$folder" $NODES "$cgroup" 2>"$folder/cluster.log"; }
cluster=$CLUSTER_PID
# Copies that subshells inherit, unlike those of a coprocess.
exec {commands}>&"${CLUSTER[1]}" {answers}<&"${CLUSTER[0]}"
original=("${CLUSTER[@]}")
eval "exec ${original[1]}>&- ${original[0]}<&-"
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# expect MESSAGE: reads the answer of the cluster.
expect() {
    local answer=
    read -r -t 60 -u "$answers" answer || true
    [ "$answer" = ok ] || die "$1"
}
expect "the cluster does not start: $(tail -n 3 "$folder/cluster.log")"
network=/proc/$(pgrep --parent "$cluster")/ns/net
# Runs lab in the network of the nodes.
lab() { nsenter --net="$network" -- "$LAB" "$@" {commands}>&- {answers}<&-; }
# Sends a command to the script of the cluster.
order() {
    echo "$*" >&"$commands"
    expect "$* failed"
}

missed=0
now() { echo "${EPOCHREALTIME/./}"; }
since() { awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.1f", (to - from) / 1e6 }'; }
row() { printf '%-62s %12s %12s  %s\n' "$@"; }
# figure WHAT UNIT LIMIT VALUE: the value must be at most the limit.
figure() {
    local verdict
    verdict=$(awk -v v="$4" -v l="$3" 'BEGIN { print v <= l ? "met" : "MISSED" }')
    [ "$verdict" = met ] || missed=1
    row "$1" "$4 $2" "max $3 $2" "$verdict"
}
# up FIRST LAST: starts labs, several at once.
up() {
    seq -f 's%g' "$1" "$2" | xargs -P $PARALLEL -I NAME nsenter --net="$network" -- "$LAB" up --name NAME --port 0 >"$folder/up.log" 2>&1 ||
        die "labs do not come up: $(tail -n 3 "$folder/up.log")"
}
# Memory of processes in kB: `memory PATTERN`.
memory() { ps -eo rss=,args= | awk -v pattern="$1" '{ size = $1; sub(/^ *[0-9]+ /, "") } $0 ~ pattern && !/awk/ { sum += size } END { print sum + 0 }'; }
containers() { for ((i = 1; i <= NODES; i++)); do docker --host "unix://$folder/n$i/sock" ps -q; done | wc -l; }

for ((i = 1; i <= NODES; i++)); do DOCKER_HOST="unix://$folder/n$i/sock" lab swarm load >/dev/null; done
row figure measured limit verdict

begun=$(now)
up 1 "$LABS"
figure "$LABS labs on $NODES nodes until all are healthy" s 10 "$(since "$begun")"

shims=$(memory 'containerd-shim-runc-v2 .*moby')
row 'memory of the shims per lab' "$((shims / LABS / 1024)) MB" '' ''
hosts=$(memory '^/lab host|^lab (app|gateway) --tied')
row 'memory of host, gateway and app per lab (shared pages counted)' "$((hosts / LABS / 1024)) MB" '' ''

node=$(lab status --name s1 --json | sed -n 's|.*"gateway": "http://10\.77\.0\.\([0-9]*\):.*|\1|p' | head -n 1)
[ -n "$node" ] || die 'the node of a lab is unknown'
if [ "$node" = 1 ]; then
    # The manager stays: use a lab of another node.
    for ((i = 2; i <= LABS && node == 1; i++)); do
        node=$(lab status --name "s$i" --json | sed -n 's|.*"gateway": "http://10\.77\.0\.\([0-9]*\):.*|\1|p' | head -n 1)
        lost=s$i
    done
else
    lost=s1
fi
order "signal $node STOP"
begun=$(now)
while lab status --name "$lost" >/dev/null 2>&1; do sleep 0.1; done
row "a lab on a dead node is reported as gone after" "$(since "$begun") s" '' '(heartbeat of 1 s)'
begun=$(now)
lab up --name "$lost" >/dev/null
figure 'lab up, until it is healthy on another node' s 10 "$(since "$begun")"
order "signal $node CONT"

begun=$(now)
lab down --all >/dev/null
until [ "$(containers)" = 0 ]; do sleep 0.1; done
row "$LABS labs down, until all containers are gone" "$(since "$begun") s" '' ''
exit $missed
