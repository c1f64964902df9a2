#!/usr/bin/env bash
# Measures lab's performance targets on whole processes of a release build, and prints the median of several runs with its
# limit. Exits 1 if a limit is missed. Run it on an idle machine. Uses a temporary state folder and free ports, and cleans up
# after itself.
#
#   bench/figures.sh              builds lab, then measures (about a minute)
#   LAB=path/to/lab bench/figures.sh
#
# Requires bash 5, curl and awk. Two figures under load require wrk and are skipped without it.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
unset LAB_NAME
# The limits apply to the embedded engine, even if a Docker daemon is available.
export LAB_ENGINE=embedded

LAB=${LAB:-$(scripts/release.sh)}
folder=$(mktemp -d)
export LAB_STATE_DIR="$folder/state"
cleanup() {
    "$LAB" down --all >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

missed=0
lab() { "$LAB" "$@" --name bench; }
now() { echo "${EPOCHREALTIME/./}"; }
# Runs a command with its output in a file, and prints how long it took in milliseconds.
milliseconds() {
    local start end
    start=$(now)
    "$@" >"$folder/out" 2>&1 || { echo "figures: failed: $*" >&2; cat "$folder/out" >&2; return 1; }
    end=$(now)
    awk -v a="$start" -v b="$end" 'BEGIN { printf "%.1f\n", (b - a) / 1000 }'
}
median() { sort -n | awk '{ v[NR] = $1 } END { m = (NR + 1) / 2; print (v[int(m)] + v[int(m + 0.5)]) / 2 }'; }
row() { printf '%-62s %12s %14s  %s\n' "$@"; }
# figure WHAT UNIT max|min LIMIT: prints the median of the values on standard input.
figure() {
    local values value verdict
    values=$(cat)
    value=$(median <<<"$values")
    verdict=$(awk -v v="$value" -v l="$4" -v k="$3" 'BEGIN { print (k == "max" ? v <= l : v >= l) ? "met" : "MISSED" }')
    [ "$verdict" = met ] || missed=1
    row "$1" "$value $2" "$3 $4 $2" "$verdict   $(sort -n <<<"$values" | awk 'NR == 1 { low = $1 } END { print low " to " $1 " in " NR " runs" }')"
}
note() { row "$1" "$2" '-' "${3:-}"; }

# Reads a field of `lab status --json`.
gateway() { lab status --json | sed -n 's/.*"gateway": *"\(http[^"]*\)".*/\1/p'; }
pid_of() {
    lab status --json | awk -v service="$1" 'BEGIN { RS = "\"name\"" }
        index($0, "\"" service "\"") > 0 && match($0, /"pid": *[0-9]+/) { s = substr($0, RSTART, RLENGTH); sub(/.* |.*:/, "", s); print s; exit }'
}
peak_mb() { awk '/^VmHWM:/ { printf "%.1f\n", $2 / 1024 }' "/proc/$1/status"; }

"$LAB" --version
printf '%s, %s CPUs, load %s\n\n' "$(uname -sr)" "$(getconf _NPROCESSORS_ONLN)" "$(cut -d ' ' -f 1 /proc/loadavg 2>/dev/null || echo '?')"
row 'what' 'median' 'limit' 'verdict, and the range'

for _ in {1..21}; do milliseconds "$LAB" --help; done >"$folder/values"
figure 'lab --help' ms max 20 <"$folder/values"

: >"$folder/values"
for _ in {1..7}; do
    milliseconds lab up --engine embedded --port 0 >>"$folder/values"
    lab down >/dev/null
done
figure 'lab up --engine embedded, until it returns with the lab healthy' ms max 300 <"$folder/values"

lab up --engine embedded --port 0 >/dev/null
url="$(gateway)/api/users"
code() { curl -s -o /dev/null -w '%{http_code}' -H "X-API-Key: $1" "$url" || true; }
[ "$(code apikey-v1)" = 200 ] || { echo "figures: $url does not answer apikey-v1 with 200" >&2; exit 1; }

if command -v wrk >/dev/null; then
    for _ in {1..3}; do
        wrk -t1 -c16 -d5 -H 'X-API-Key: apikey-v1' "$url" >"$folder/wrk"
        if grep -q 'Non-2xx' "$folder/wrk"; then cat "$folder/wrk" >&2; exit 1; fi
        awk '/^Requests\/sec:/ { printf "%.0f\n", $2 }' "$folder/wrk"
    done >"$folder/values"
    figure '/api/users through the gateway, wrk -t1 -c16 -d5' req/s min 6000 <"$folder/values"
    wrk -t1 -c64 -d5 -H 'X-API-Key: apikey-v1' "$url" >"$folder/wrk"
    note '  the same with 64 connections' "$(awk '/^Requests\/sec:/ { printf "%.0f req/s", $2 }' "$folder/wrk")"
    host_pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$LAB_STATE_DIR/labs/bench/host.json")
    # Not through a pipe, because the variables that `figure` sets would be lost with the subshell.
    peak_mb "$host_pid" >"$folder/values"
    figure 'peak memory of the host under 64 connections of traffic' MB max 60 <"$folder/values"
    note '  of the gateway' "$(peak_mb "$(pid_of gateway)") MB"
    note '  of the app' "$(peak_mb "$(pid_of app)") MB"
else
    note '/api/users through the gateway' '-' 'skipped: wrk is not installed (Debian: apt-get install wrk)'
    note 'peak memory of the host' '-' 'skipped: wrk is not installed'
fi

for i in {2..8}; do
    start=$(now)
    "$LAB" key rotate "apikey-v$i" --name bench >"$folder/out" 2>&1 &
    rotation=$!
    until [ "$(code "apikey-v$i")" = 200 ]; do
        # Do not wait for a rotation that has failed.
        kill -0 "$rotation" 2>/dev/null || [ "$(code "apikey-v$i")" = 200 ] || { cat "$folder/out" >&2; exit 1; }
    done
    end=$(now)
    wait "$rotation"
    awk -v a="$start" -v b="$end" 'BEGIN { printf "%.1f\n", (b - a) / 1000 }'
done >"$folder/values"
figure 'the key rotated, until the new key gets 200' ms max 200 <"$folder/values"

for i in {1..7}; do milliseconds lab env set app APP_DB_POOL="$i"; done >"$folder/values"
figure 'lab env set, until it returns with the app redeployed' ms max 200 <"$folder/values"
for verb in stop start restart; do
    for _ in {1..7}; do
        # Each measurement begins with the app running, except that of start.
        if [ "$verb" = start ]; then lab stop app >/dev/null; fi
        milliseconds lab "$verb" app
        lab start app >/dev/null
    done >"$folder/values"
    figure "lab $verb app" ms max 150 <"$folder/values"
done
lab down >/dev/null

# Processor time of the process that sends the callers' requests, as a share of one core.
lab up --engine embedded --port 0 >/dev/null
lab callers start --rate 30 >/dev/null
callers_pid=$(lab callers status --json | awk 'match($0, /"pid": *[0-9]+/) { s = substr($0, RSTART, RLENGTH); sub(/.*: */, "", s); print s }')
ticks() { awk '{ print $14 + $15 }' "/proc/$callers_pid/stat"; }
for _ in {1..3}; do
    before=$(ticks)
    sleep 10
    awk -v a="$before" -v b="$(ticks)" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f\n", (b - a) / hz / 10 * 100 }'
done >"$folder/values"
figure 'callers at 30 requests per second, share of a core' % max 1 <"$folder/values"
lab down >/dev/null

# Three rounds of 40 requests at 20 per second: the last one of a round is due 1.95 s after the first.
beyond() { awk '{ printf "%.0f\n", $1 - 3 * 1950 }'; }
for _ in {1..3}; do milliseconds "$LAB" scenario run rotate-key; done | beyond >"$folder/values"
figure 'lab scenario run rotate-key beyond its traffic, own lab' ms max 1000 <"$folder/values"
lab up --engine embedded --port 0 >/dev/null
for _ in {1..3}; do milliseconds lab scenario run rotate-key; done | beyond >"$folder/values"
figure 'lab scenario run rotate-key beyond its traffic, lab that is up' ms max 1000 <"$folder/values"

# Overhead per step (scrapes before and after, events, the journal): the duration of a run with 50 steps, from the start of
# the first to the end of the last, minus the time of the actions themselves.
steps() {
    echo 'title: overhead'
    echo 'kind: part'
    echo 'steps:'
    for i in {1..50}; do printf '  - { name: s%s, %s }\n' "$i" "$1"; done
}
overhead() {
    steps "$1" >"$folder/overhead.yaml"
    for _ in {1..5}; do
        lab scenario run "$folder/overhead.yaml" --format ndjson | awk -v own="$2" '
            match($0, /"elapsed":[0-9.e-]+/) { at = substr($0, RSTART + 10, RLENGTH - 10) }
            /"event":"step_started"/ && first == "" { first = at }
            /"event":"step_finished"/ { last = at; n++ }
            END { printf "%.2f\n", (last - first) * 1000 / n - own }'
    done >"$folder/values"
}
overhead 'wait: 1ms' 1
figure 'a step that waits, beyond its wait' ms max 10 <"$folder/values"
# Only the first change of a run writes the undo records for both keys, each synced to disk, and the record of the lab. So
# this measures many runs of one step.
printf 'title: one change\nkind: part\nsteps:\n  - { name: change, rotate_key: { caller: key-2 } }\n' >"$folder/change.yaml"
for _ in {1..50}; do
    lab scenario run "$folder/change.yaml" --format ndjson | awk '
        match($0, /"elapsed":[0-9.e-]+/) { at = substr($0, RSTART + 10, RLENGTH - 10) }
        /"event":"step_started"/ { first = at }
        /"event":"step_finished"/ { printf "%.2f\n", (at - first) * 1000 }'
done >"$folder/values"
figure 'a step that changes a caller, undo record and fsync included' ms max 10 <"$folder/values"
overhead 'traffic: { requests: 1 }' 0
figure 'a step that sends one request, the request included' ms max 10 <"$folder/values"
lab down >/dev/null

for _ in {1..11}; do milliseconds "$LAB" scenario validate; done >"$folder/values"
figure 'lab scenario validate, the whole library' ms max 100 <"$folder/values"
milliseconds "$LAB" scenario prove --all --engine embedded | awk '{ printf "%.1f\n", $1 / 1000 }' >"$folder/values"
figure 'lab scenario prove --all --engine embedded' s max 60 <"$folder/values"

exit "$missed"
