#!/usr/bin/env bash
# Compares a lab on Docker with `docker compose` on the same compose file and images, interleaved: up, key rotation until the
# new key gets a 200, down. Prints the medians of ROUNDS (5) runs in seconds, their ratio and the goal.
#
#   bench/docker.sh               LAB=path/to/lab for a different binary than the release build; ROUNDS=3
#
# Requires a Docker daemon with the images (stack/offline/build.sh), the Compose v2 plugin, curl and awk. Cleans up after itself.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
unset LAB_NAME LAB_ENGINE
rounds=${ROUNDS:-5}
LAB=${LAB:-$(scripts/release.sh)}
docker compose version
folder=$(mktemp -d)
export LAB_STATE_DIR="$folder/state"
export LAB_GATEWAY_PORT=28080 LAB_PROMETHEUS_PORT=29090 LAB_GRAFANA_PORT=23000
lab() { "$LAB" "$@" --name bench; }
# Compose has no optional services. If Grafana's image is missing, name the other services.
services=(gateway app db prometheus)
compose() { docker compose -p bench-compose -f stack/compose.yaml "$@"; }
cleanup() {
    "$LAB" down --all >/dev/null 2>&1 || true
    compose down -v >/dev/null 2>&1 || true
    docker image rm lab-app:local >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

now() { echo "${EPOCHREALTIME/./}"; }
# Appends the time that a command takes, in seconds, to a file.
timed() {
    local file=$1 start end
    shift
    start=$(now)
    "$@" >"$folder/out" 2>&1 || { cat "$folder/out" >&2; return 1; }
    end=$(now)
    awk "BEGIN { printf \"%.3f\n\", ($end - $start) / 1e6 }" >>"$folder/$file"
}
until_200() {
    local attempt
    for attempt in $(seq 400); do
        [ "$(curl -s -o /dev/null -w '%{http_code}' -H "X-API-Key: $2" "$1/api/users")" = 200 ] && return
        sleep 0.02
    done
    echo "no 200 from $1 after $attempt attempts" >&2
    return 1
}
gateway() { lab status --json | sed -n 's/.*"gateway": *"\([^"]*\)".*/\1/p'; }
rotate_lab() { lab key rotate apikey-v2 && until_200 "$base" apikey-v2; }
rotate_compose() {
    APP_API_KEY=apikey-v2 compose up -d --wait app && until_200 "http://127.0.0.1:$LAB_GATEWAY_PORT" apikey-v2
}

# Both use the image that lab builds from its executable.
lab up --engine docker --port 0 >/dev/null
docker tag "$(docker ps --filter label=com.docker.compose.project=lab-bench --filter label=com.docker.compose.service=app \
    --format '{{.Image}}')" lab-app:local
lab down >/dev/null
for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    timed up.lab lab up --engine docker --port 0
    base=$(gateway)
    timed again.lab lab up
    timed rotate.lab rotate_lab
    timed down.lab lab down
    timed up.compose compose up -d --wait "${services[@]}"
    timed rotate.compose rotate_compose
    timed down.compose compose down -v
done

median() { sort -n "$folder/$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
printf '\n%-46s %8s %8s %7s  %s\n' 'what (medians, seconds)' lab compose ratio goal
row() {
    awk -v what="$1" -v ours="$2" -v theirs="$3" -v goal="$4" 'BEGIN {
        printf "%-46s %8.2f %8.2f %7.2f  at most %s: %s\n", what, ours, theirs, ours / theirs, goal,
            ours / theirs <= goal ? "met" : "missed" }'
}
row 'up, until healthy' "$(median up.lab)" "$(median up.compose)" 0.5
row 'the key rotated, until the new key gets 200' "$(median rotate.lab)" "$(median rotate.compose)" 0.25
row 'down' "$(median down.lab)" "$(median down.compose)" 0.7
printf '%-46s %8.2f\n' 'up when everything is up already (goal 0.20)' "$(median again.lab)"
