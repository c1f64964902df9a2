#!/usr/bin/env bash
# Compares `lab traffic` with other load generators on the same server, interleaved: nginx returns 3 bytes on one core, the
# client runs on another. Prints requests per second, CPU time per request, and the ratios per round with their spread; then the
# rate and start delay of the open model, memory over many requests, and the 401 path through the embedded gateway. Exits 1 if
# a goal is missed.
#
#   bench/traffic.sh              builds lab, then measures (about ten minutes)
#   LAB=path/to/lab bench/traffic.sh
#   ROUNDS=5 SECONDS_EACH=10 OPEN=30 MANY=10000000 bench/traffic.sh        the defaults; MANY=0 skips memory
#
# Requires two cores, Linux, bash 5, taskset, curl, awk, and nginx in the path or as the image nginx:1.30. wrk, oha and hey are
# measured if they are installed (Debian: apt-get install wrk; cargo install oha --locked). Run it on an idle machine; on a
# busy one, CPU time per request is the most reliable figure. Cleans up after itself.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
unset LAB_NAME LAB_ENGINE
rounds=${ROUNDS:-5} each=${SECONDS_EACH:-10} open=${OPEN:-30} many=${MANY:-10000000}

LAB=${LAB:-$(scripts/release.sh)}
folder=$(mktemp -d)
chmod 755 "$folder"
export LAB_STATE_DIR="$folder/state"
port=${PORT:-18555}
container=lab-bench-nginx-$$
cleanup() {
    "$LAB" down --all >/dev/null 2>&1 || true
    if [ -f "$folder/nginx.pid" ]; then kill "$(cat "$folder/nginx.pid")" 2>/dev/null || true; fi
    docker rm -f "$container" >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The server runs on core 0.
cat >"$folder/nginx.conf" <<NGINX
worker_processes 1;
worker_cpu_affinity 01;
error_log /dev/null;
pid $folder/nginx.pid;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 1000000000;
    server { listen 127.0.0.1:$port; location / { return 200 "ok\n"; } }
}
NGINX
if command -v nginx >/dev/null; then
    nginx -c "$folder/nginx.conf"
elif docker image inspect nginx:1.30 >/dev/null 2>&1; then
    sed -i "s|^pid .*|pid /tmp/nginx.pid;|" "$folder/nginx.conf"
    docker run -d --rm --name "$container" --network host -v "$folder/nginx.conf:/etc/nginx/nginx.conf:ro" nginx:1.30 >/dev/null
else
    echo "traffic: neither nginx nor the image nginx:1.30 is available (Debian: apt-get install nginx-light)" >&2
    exit 2
fi
url="http://127.0.0.1:$port/"
for _ in {1..100}; do
    [ "$(curl -s "$url" || true)" = ok ] && break
    sleep 0.1
done
[ "$(curl -s "$url")" = ok ] || { echo "traffic: nginx does not answer at $url" >&2; exit 1; }

median() { sort -n | awk '{ v[NR] = $1 } END { m = (NR + 1) / 2; print (v[int(m)] + v[int(m + 0.5)]) / 2 }'; }
range() { sort -n | awk -v f="$1" 'NR == 1 { low = $1 } END { printf f " to " f, low, $1 }'; }
# Reads a number from the document by its path: top level, or `block.field`.
field() {
    awk -v want="$2" 'BEGIN { n = split(want, w, "."); block = n > 1 ? w[1] : ""; name = n > 1 ? substr(want, length(w[1]) + 2) : want }
        /^  "/ { split($0, q, "\""); inside = q[2] }
        index($0, "\"" name "\":") && (block == "" ? /^  "/ : inside == block && /^    "/) {
            sub(/.*: /, ""); sub(/,$/, ""); print; exit }' "$1"
}
# Runs a client on core 1, with its output in one file and its CPU seconds in another.
client() {
    local TIMEFORMAT='%U %S'
    { time taskset -c 1 "$@" >"$folder/out" 2>"$folder/err"; } 2>"$folder/time" || { cat "$folder/out" "$folder/err" >&2; return 1; }
}
rate_of() {
    case $1 in
    lab) field "$folder/out" rate ;;
    wrk) awk '/^Requests\/sec:/ { print $2 }' "$folder/out" ;;
    oha | hey) awk '/Requests\/sec:/ { print $2; exit }' "$folder/out" ;;
    esac
}
measure() {
    case $1 in
    lab) client "$LAB" traffic --url "$url" --connections 64 --duration "${each}s" --json ;;
    wrk) client wrk -t1 -c64 -d"$each" "$url" ;;
    oha) client oha -c 64 -z "${each}s" --no-tui "$url" ;;
    hey) client hey -c 64 -z "${each}s" "$url" ;;
    esac
    local rate
    rate=$(rate_of "$1")
    echo "$rate" >>"$folder/$1.rate"
    awk -v rate="$rate" -v each="$each" '{ printf "%.2f\n", ($1 + $2) * 1e6 / (rate * each) }' "$folder/time" >>"$folder/$1.cpu"
}

"$LAB" --version
printf '%s, %s, %s CPUs, load %s\n' "$(uname -sr)" "$(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)" \
    "$(getconf _NPROCESSORS_ONLN)" "$(cut -d ' ' -f 1 /proc/loadavg)"
tools=(lab)
for tool in wrk oha hey; do command -v "$tool" >/dev/null && tools+=("$tool"); done
for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    # In rotating order, so that the tool after the pause is not always the same.
    for i in "${!tools[@]}"; do measure "${tools[(i + round) % ${#tools[@]}]}"; done
done

printf '\nclosed, 64 connections, %s rounds of %s s\n%-6s %12s %-22s %8s\n' "$rounds" "$each" tool requests/s range us/req
for tool in "${tools[@]}"; do
    printf '%-6s %12.0f %-22s %8.2f\n' "$tool" "$(median <"$folder/$tool.rate")" "$(range %.0f <"$folder/$tool.rate")" \
        "$(median <"$folder/$tool.cpu")"
done
verdict() { awk -v v="$1" -v l="$2" -v k="$3" 'BEGIN { print (k == "min" ? v >= l : v <= l) ? "met" : "MISSED" }'; }
missed=0
row() {
    case $4 in MISSED*) missed=1 ;; esac
    printf '%-62s %12s %14s  %s\n' "$@"
}
echo
row what median goal 'verdict, range'
compare() {
    [ -f "$folder/$1.rate" ] || { row "requests/s against $1" - "$2" "not measured: $1 is not installed"; return; }
    local ratio
    paste "$folder/lab.rate" "$folder/$1.rate" | awk '{ printf "%.3f\n", $1 / $2 }' >"$folder/ratio"
    ratio=$(median <"$folder/ratio")
    row "requests/s against $1" "$ratio" "min $2" "$(verdict "$ratio" "$2" min)  $(range %.3f <"$folder/ratio")"
    paste "$folder/$1.cpu" "$folder/lab.cpu" | awk '{ printf "%.3f\n", $1 / $2 }' >"$folder/ratio"
    row "  the same by CPU time a request ($1's over ours)" "$(median <"$folder/ratio")" - "$(range %.3f <"$folder/ratio")"
}
compare oha 1.15
compare wrk 0.95
compare hey 1

client "$LAB" traffic --url "$url" --rate 20000 --connections 64 --duration "${open}s" --json
off=$(awk -v r="$(field "$folder/out" rate)" 'BEGIN { d = (20000 - r) / 200; printf "%.3f", d < 0 ? -d : d }')
row "open, 20000/s for ${open} s: rate off by" "$off %" 'max 0.1 %' "$(verdict "$off" 0.1 max)  unsent: $(field "$folder/out" unsent)"
delay=$(field "$folder/out" start_delay_ms.p99)
row '  start after the scheduled instant, p99' "$delay ms" 'max 1 ms' \
    "$(verdict "$delay" 1 max)  p50 $(field "$folder/out" start_delay_ms.p50), p99.9 $(field "$folder/out" start_delay_ms.p99.9)"

if [ "$many" -gt 0 ]; then
    taskset -c 1 "$LAB" traffic --url "$url" --connections 64 --requests "$many" --json >"$folder/out" 2>/dev/null &
    pid=$!
    early='' peak=0
    for tick in {1..36000}; do
        kill -0 "$pid" 2>/dev/null || break
        read -r now resident < <(awk '/^VmHWM:/ { p = $2 } /^VmRSS:/ { r = $2 } END { print p + 0, r + 0 }' "/proc/$pid/status" 2>/dev/null || echo '0 0')
        [ "$now" -gt "$peak" ] && peak=$now
        [ "$tick" -eq 10 ] && early=$resident
        [ "$resident" -gt 0 ] && late=$resident
        sleep 0.5
    done
    wait "$pid"
    peak=$(awk -v p="$peak" 'BEGIN { printf "%.1f", p / 1024 }')
    row "peak memory, 64 connections, $many requests" "$peak MB" 'max 30 MB' \
        "$(verdict "$peak" 30 max)  resident $((early / 1024)) MB after 5 s, $((late / 1024)) MB at the end"
fi

# Gateway, app and client share two cores.
"$LAB" up --engine embedded --port 0 --name bench >/dev/null 2>&1
gateway=$("$LAB" status --json --name bench | sed -n 's/.*"gateway": *"\(http[^"]*\)".*/\1/p')
for what in 401 200; do
    [ "$what" = 401 ] && key=wrong || key=apikey-v1
    for _ in $(seq "$rounds"); do
        taskset -c 0,1 "$LAB" traffic --url "$gateway/api/users" --key "$key" --connections 64 --duration "${each}s" \
            --expect "status.$what: 100%" --json >"$folder/out" || { cat "$folder/out" >&2; exit 1; }
        field "$folder/out" rate
    done >"$folder/$what.rate"
    rate=$(median <"$folder/$what.rate")
    goal='-' met=''
    [ "$what" = 401 ] && goal='min 25000' met="$(verdict "$rate" 25000 min)  "
    row "/api/users $what through the embedded gateway, 64 connections" "$(printf '%.0f' "$rate")/s" "$goal" "$met$(range %.0f <"$folder/$what.rate")"
done

exit "$missed"
