#!/bin/sh
# Runs nginx in the gateway's container, and tells it where the app is. nginx by itself resolves a name once, at its start,
# does not start where it cannot, and keeps an address whose container is gone; so the name is resolved here.
#
#   gateway.sh start            resolve GATEWAY_UPSTREAM, then become nginx
#   gateway.sh reload           resolve it anew; requests in flight are finished
#   gateway.sh route HOST:PORT  send requests there until the next reload, whatever the name says
set -eu

conf=/tmp/nginx.conf

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

reload() { nginx -e stderr -c "$conf" -s reload; }

case ${1:-} in
start)
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
