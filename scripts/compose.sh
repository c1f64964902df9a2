#!/usr/bin/env bash
# Starts the stack with `docker compose -f stack/compose.yaml up --wait`, without lab, and sends requests to it. The file that
# lab reads must remain a valid Compose file.
#
#   scripts/compose.sh path/to/lab      the executable from which the app's image is built
#
# Requires a Docker daemon with the images of stack/offline/build.sh. If the Compose plugin is missing, it is downloaded, which
# requires Debian and root. Cleans up after itself.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
lab=$(realpath "${1:?which lab?}")
export LC_ALL=C
folder=$(mktemp -d --tmpdir lab-compose.XXXXXX)
project="lab-compose-$$"
# Ports below the range from which the kernel takes those of connections.
export LAB_STATE_DIR="$folder/state" LAB_GATEWAY_PORT=28080 LAB_PROMETHEUS_PORT=29090 LAB_GRAFANA_PORT=23000
fail() {
    printf 'compose: %s\n' "$*" >&2
    exit 1
}

# Debian 12 only has version 1, in Python. The plugin of Debian 13 is one static file.
install_plugin() {
    scripts/debian.sh unpack trixie "$folder/plugin" docker-compose
    mkdir -p "$HOME/.docker/cli-plugins"
    cp "$folder/plugin/usr/libexec/docker/cli-plugins/docker-compose" "$HOME/.docker/cli-plugins/"
}

compose() { docker compose --progress quiet --project-name "$project" --file stack/compose.yaml "$@"; }
own='' before=''
cleanup() {
    compose down --volumes >/dev/null 2>&1 || true
    "$lab" down --all >/dev/null 2>&1 || true
    # Compose uses this tag. Restore it if the user had an image with it.
    [ -z "$own" ] || docker image rm lab-app:local >/dev/null 2>&1 || true
    [ -z "$before" ] || docker tag "$before" lab-app:local
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

docker compose version >/dev/null 2>&1 || install_plugin
docker compose version
compose config --quiet

# The image that lab builds from its executable. Building from the Dockerfile takes minutes and has its own test.
"$lab" up --engine docker --images offline --name "$project" --port 0 >/dev/null
image=$(docker ps --filter "label=lab.name=$project" --filter label=lab.service=app --format '{{.Image}}')
before=$(docker image inspect --format '{{.Id}}' lab-app:local 2>/dev/null || true)
docker tag "$image" lab-app:local
own=1
"$lab" down --name "$project" >/dev/null

# Compose has no optional services. If Grafana's image is missing, name the other services.
services=()
docker image inspect "$(sed -n 's/^    image: \(grafana.*\)/\1/p' stack/compose.yaml)" >/dev/null 2>&1 ||
    services=(gateway app edge db prometheus)
compose up --detach --wait --no-build "${services[@]}"
for pair in apikey-v1=200 apikey-v2=401; do
    code=$(curl -s -o /dev/null -w '%{http_code}' -H "X-API-Key: ${pair%=*}" "http://127.0.0.1:$LAB_GATEWAY_PORT/api/users")
    [ "$code" = "${pair#*=}" ] || fail "${pair%=*} gets $code, not ${pair#*=}"
done
# The first scrape happens within two seconds.
for attempt in $(seq 50); do
    up=$(curl -s "http://127.0.0.1:$LAB_PROMETHEUS_PORT/api/v1/query" --data-urlencode 'query=sum(up)')
    [[ $up == *'"3"]'* ]] && break
    [ "$attempt" -lt 50 ] || fail "Prometheus does not see the app, the edge and itself: $up"
    sleep 0.1
done
compose down --volumes 2>/dev/null
left=$(docker ps --all --quiet --filter "label=com.docker.compose.project=$project")
[ -z "$left" ] || fail "containers are left: $left"
echo 'compose: the stack started, answered and was removed'
