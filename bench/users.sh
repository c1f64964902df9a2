#!/usr/bin/env bash
# Compares a lab on Docker (nginx, app and PostgreSQL) with another system that serves the same requests: `GET /api/users` with
# a key, 16 connections, one thread of wrk. Interleaved; prints the medians of ROUNDS (5) runs of SECONDS_EACH (5) seconds in
# requests per second, their ratio and the goal.
#
#   bench/users.sh URL [KEY]      address of the other system, such as http://127.0.0.1:18080, and its key (apikey-v1)
#
# Requires a Docker daemon with the images (stack/offline/build.sh), wrk and curl. LAB=path/to/lab for a different binary than
# the release build. Cleans up after itself, and does not change the other system.

set -euo pipefail
export LC_ALL=C
unset LAB_NAME LAB_ENGINE
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
peer=${1%/} key=${2:-apikey-v1}
rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-5}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
LAB=${LAB:-$(scripts/release.sh)}
folder=$(mktemp -d)
export LAB_STATE_DIR="$folder/state"
lab() { "$LAB" "$@" --name bench-users; }
cleanup() {
    lab down >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# must_answer URL KEY: fails unless the system answers 200.
must_answer() {
    local code
    code=$(curl -s -o /dev/null -w '%{http_code}' -H "X-API-Key: $2" "$1/api/users") || true
    [ "$code" = 200 ] && return
    echo "$1/api/users answers $code" >&2
    return 1
}
# load NAME URL KEY: appends the requests per second to a file. A response other than 2xx invalidates the run.
load() {
    wrk -t1 -c16 -d"${seconds}s" -H "X-API-Key: $3" "$2/api/users" >"$folder/out"
    if grep -q 'Non-2xx\|Socket errors' "$folder/out"; then
        cat "$folder/out" >&2
        return 1
    fi
    awk '/^Requests\/sec:/ { print $2 }' "$folder/out" >>"$folder/$1"
}

lab up --engine docker --port 0 >/dev/null
gateway=$(lab status --json | sed -n 's/.*"gateway": *"\([^"]*\)".*/\1/p')
must_answer "$gateway" apikey-v1
must_answer "$peer" "$key"
for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    load lab "$gateway" apikey-v1
    load other "$peer" "$key"
done

median() { sort -n "$folder/$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
awk -v ours="$(median lab)" -v theirs="$(median other)" 'BEGIN {
    printf "%-46s %8s %8s %7s  %s\n", "what (medians, requests per second)", "lab", "other", "ratio", "goal"
    printf "%-46s %8.0f %8.0f %7.1f  at least 15: %s\n", "/api/users through nginx, wrk -t1 -c16", ours, theirs,
        ours / theirs, (ours / theirs >= 15 ? "met" : "missed") }'
