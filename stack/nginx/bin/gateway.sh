#!/bin/sh
# Runs nginx in the gateway's container, and tells it where the app is. nginx by itself resolves a name once, at its start,
# does not start where it cannot, and keeps an address whose container is gone; so the name is resolved here.
#
#   gateway.sh start            resolve GATEWAY_UPSTREAM, then become nginx
#   gateway.sh reload           resolve it anew; requests in flight are finished
#   gateway.sh route HOST:PORT  send requests there until the next reload, whatever the name says
set -eu

conf=/tmp/nginx.conf

# What nobody has set is as in `lab gateway`: the image replaces only what is set.
: "${GATEWAY_UPSTREAM:=app:8000}" "${GATEWAY_CONNECT_TIMEOUT:=1s}" "${GATEWAY_READ_TIMEOUT:=2s}"
: "${GATEWAY_HEADER_TIMEOUT:=60s}" "${GATEWAY_MAX_BODY:=1m}" "${GATEWAY_FORWARD_API_KEY:=on}"
: "${GATEWAY_CLIENT_ID:=}" "${GATEWAY_CLIENT_SECRET:=}"
export GATEWAY_UPSTREAM GATEWAY_CONNECT_TIMEOUT GATEWAY_READ_TIMEOUT GATEWAY_HEADER_TIMEOUT GATEWAY_MAX_BODY
export GATEWAY_FORWARD_API_KEY GATEWAY_CLIENT_ID GATEWAY_CLIENT_SECRET

# credential NAME VALUE: it becomes part of nginx's configuration, in which other characters would mean something.
credential() {
    case $2 in
    *[!A-Za-z0-9._~+/=-]*) echo "error: $1 is malformed: expected at most 256 letters, digits and -._~+/=" >&2 && exit 2 ;;
    esac
}

# Neither without the other.
credentials() {
    credential GATEWAY_CLIENT_ID "$GATEWAY_CLIENT_ID"
    credential GATEWAY_CLIENT_SECRET "$GATEWAY_CLIENT_SECRET"
    case ${GATEWAY_CLIENT_ID:+id}${GATEWAY_CLIENT_SECRET:+secret} in
    id) echo "error: GATEWAY_CLIENT_ID is set, and GATEWAY_CLIENT_SECRET is not: they go together" >&2 && exit 2 ;;
    secret) echo "error: GATEWAY_CLIENT_SECRET is set, and GATEWAY_CLIENT_ID is not: they go together" >&2 && exit 2 ;;
    esac
}

# nginx's servers for HOST:PORT, one an address; where there is none, one that is refused at once (502).
servers() {
    host=${1%:*} port=${1##*:}
    case $host in
    \[*) echo "server $1 max_fails=0;" && return ;;
    esac
    found=$(getent ahostsv4 "$host" | awk -v port="$port" '!seen[$1]++ { print "server " $1 ":" port " max_fails=0;" }') || true
    echo "${found:-server unix:/tmp/unresolved max_fails=0;}"
}

# upstream HOST:PORT: in one step, since nginx may read it at any time.
upstream() {
    {
        echo 'upstream lab_app {'
        servers "$1"
        echo 'keepalive 64; keepalive_requests 1000000; keepalive_timeout 60s; }'
    } >"$conf.upstream.$$"
    mv "$conf.upstream.$$" /tmp/upstream.conf
}

# As `nginx -s reload` does, which reads all of the configuration first to find the file in which this is.
reload() { kill -s HUP "$(cat /tmp/nginx.pid)"; }

case ${1:-} in
start)
    credentials
    upstream "$GATEWAY_UPSTREAM"
    exec /docker-entrypoint.sh nginx -e stderr -c "$conf" -g 'daemon off;'
    ;;
reload) upstream "$GATEWAY_UPSTREAM" && reload ;;
route) upstream "$2" && reload ;;
*)
    sed -n '5,7s/^# *//p' "$0" >&2
    exit 2
    ;;
esac
