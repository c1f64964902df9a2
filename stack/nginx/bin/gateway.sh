#!/bin/sh
# Runs nginx in the gateway's container and configures the address of the app. nginx itself resolves a name only once, at
# startup. It does not start if that fails, and keeps the address of a container that is gone. So this script resolves it.
#
#   gateway.sh start            resolve GATEWAY_UPSTREAM and GATEWAY_EDGE, then run nginx
#   gateway.sh reload           resolve them again; requests in flight are completed
#   gateway.sh route HOST:PORT  send requests there until the next reload, without resolving the name
set -eu

conf=/tmp/nginx.conf

# Same defaults as `lab gateway`. They must be set, because the image only replaces variables that are.
: "${GATEWAY_UPSTREAM:=app:8000}" "${GATEWAY_CONNECT_TIMEOUT:=1s}" "${GATEWAY_READ_TIMEOUT:=2s}"
: "${GATEWAY_HEADER_TIMEOUT:=60s}" "${GATEWAY_MAX_BODY:=1m}" "${GATEWAY_FORWARD_API_KEY:=on}"
: "${GATEWAY_CLIENT_ID:=}" "${GATEWAY_CLIENT_SECRET:=}"
# The edge exporter, HOST:PORT. If it is empty or does not resolve, requests are not counted.
: "${GATEWAY_EDGE:=}"
export GATEWAY_UPSTREAM GATEWAY_CONNECT_TIMEOUT GATEWAY_READ_TIMEOUT GATEWAY_HEADER_TIMEOUT GATEWAY_MAX_BODY
export GATEWAY_FORWARD_API_KEY GATEWAY_CLIENT_ID GATEWAY_CLIENT_SECRET

# credential NAME VALUE: checks a value that becomes part of nginx's configuration, where other characters have a meaning.
credential() {
    case $2 in
    *[!A-Za-z0-9._~+/=-]*) echo "error: $1 is malformed: expected at most 256 letters, digits and -._~+/=" >&2 && exit 2 ;;
    esac
}

# Both or neither must be set.
credentials() {
    credential GATEWAY_CLIENT_ID "$GATEWAY_CLIENT_ID"
    credential GATEWAY_CLIENT_SECRET "$GATEWAY_CLIENT_SECRET"
    case ${GATEWAY_CLIENT_ID:+id}${GATEWAY_CLIENT_SECRET:+secret} in
    id) echo "error: GATEWAY_CLIENT_ID is set but GATEWAY_CLIENT_SECRET is not: set both or neither" >&2 && exit 2 ;;
    secret) echo "error: GATEWAY_CLIENT_SECRET is set but GATEWAY_CLIENT_ID is not: set both or neither" >&2 && exit 2 ;;
    esac
}

# servers HOST:PORT: prints an nginx server per address, or one that fails at once (502) if there is no address.
servers() {
    host=${1%:*} port=${1##*:}
    case $host in
    \[*) echo "server $1 max_fails=0;" && return ;;
    esac
    found=$(getent ahostsv4 "$host" | awk -v port="$port" '!seen[$1]++ { print "server " $1 ":" port " max_fails=0;" }') || true
    echo "${found:-server unix:/tmp/unresolved max_fails=0;}"
}

# upstream HOST:PORT: replaces the file atomically, because nginx may read it at any time.
upstream() {
    {
        echo 'upstream lab_app {'
        servers "$1"
        echo 'keepalive 64; keepalive_requests 1000000; keepalive_timeout 60s; }'
    } >"$conf.upstream.$$"
    mv "$conf.upstream.$$" /tmp/upstream.conf
}

# edge_address: prints the address of the edge exporter, or nothing.
edge_address() {
    [ -n "$GATEWAY_EDGE" ] || return 0
    # An unknown name can take the resolver several seconds, and nginx must not wait for it.
    timeout 1 getent ahostsv4 "${GATEWAY_EDGE%:*}" | awk -v port="${GATEWAY_EDGE##*:}" 'NR == 1 { print $1 ":" port }' || true
}

# edge ADDRESS: sends a copy of the access log to the exporter. nginx itself would not start if its name did not resolve.
edge() {
    {
        echo "# ${1:-none}"
        [ -z "$1" ] || echo "access_log syslog:server=$1,nohostname lab_edge if=\$lab_is_counted;"
    } >"$conf.edge.$$"
    mv "$conf.edge.$$" /tmp/edge.conf
}

# follow_edge: reloads nginx when the exporter has appeared, or has another address after a restart.
follow_edge() {
    while sleep 2; do
        address=$(edge_address)
        if [ -n "$address" ] && ! grep -qxF "# $address" /tmp/edge.conf; then
            edge "$address"
            reload
        fi
    done
}

# Same as `nginx -s reload`, which would first parse the whole configuration to find the pid file.
reload() { kill -s HUP "$(cat /tmp/nginx.pid)"; }

case ${1:-} in
start)
    credentials
    upstream "$GATEWAY_UPSTREAM"
    edge "$(edge_address)"
    [ -z "$GATEWAY_EDGE" ] || follow_edge &
    exec /docker-entrypoint.sh nginx -e stderr -c "$conf" -g 'daemon off;'
    ;;
reload) upstream "$GATEWAY_UPSTREAM" && reload ;;
route) upstream "$2" && reload ;;
*)
    sed -n '5,7s/^# *//p' "$0" >&2
    exit 2
    ;;
esac
