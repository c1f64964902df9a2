#!/usr/bin/env bash
# Measures the cost of observing a run on whole processes, and prints each figure with its limit: a report of a 30-minute run
# with 1,800 samples, and the dashboard and `lab watch` of an embedded lab. Exits 1 if a limit is missed. Uses a temporary state
# folder and free ports, and cleans up after itself.
#
#   bench/views.sh                builds a release, then measures (about a minute)
#   LAB=path/to/lab bench/views.sh
#
# Requires bash 5, curl, awk and script (bsdutils). The first paint requires chromium and chromedriver and is skipped without.

set -euo pipefail
# The last part of a pipe runs in this shell, because it counts missed limits.
shopt -s lastpipe
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C LAB_ENGINE=embedded
unset LAB_NAME

LAB=${LAB:-$(scripts/release.sh)}
folder=$(mktemp -d)
export LAB_STATE_DIR="$folder/state"
driver=
cleanup() {
    [ -z "$driver" ] || kill "$driver" 2>/dev/null || true
    "$LAB" down --all >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

missed=0
now() { echo "${EPOCHREALTIME/./}"; }
median() { sort -n | awk '{ v[NR] = $1 } END { m = (NR + 1) / 2; print (v[int(m)] + v[int(m + 0.5)]) / 2 }'; }
# figure WHAT UNIT LIMIT: prints the median of the values on standard input.
figure() {
    local values value verdict
    values=$(cat)
    value=$(median <<<"$values")
    verdict=$(awk -v v="$value" -v l="$3" 'BEGIN { print v <= l ? "met" : "MISSED" }')
    [ "$verdict" = met ] || missed=1
    printf '%-58s %10s %12s  %s\n' "$1" "$value $2" "max $3 $2" \
        "$verdict   $(sort -n <<<"$values" | awk 'NR == 1 { low = $1 } END { print low " to " $1 " in " NR " runs" }')"
}

# A run of half an hour: a baseline of one minute, then 1,740 seconds with varying shares of 401, 503 and timeouts.
awk 'BEGIN {
    at = "\"at\":\"2026-11-24T10:15:30.000Z\""
    printf "{%s,\"elapsed\":0,\"event\":\"run_started\",\"version\":1,\"id\":\"20261124T101530Z-beef\",\"scenario\":\"long\",\"title\":\"Half an hour\",\"lab\":\"default\",\"engine\":\"embedded\",\"parameters\":{},\"steps\":[\"before\",\"during\"],\"keys\":{\"server\":\"a\",\"caller\":\"a\"}}\n", at
    step(0, "before", "baseline", 0, 60); step(1, "during", "observe", 60, 1740)
    printf "{%s,\"elapsed\":1800,\"event\":\"run_finished\",\"status\":\"passed\",\"duration\":1800,\"outage\":{\"impact_at\":60,\"recovered_at\":null,\"duration\":1740,\"failed_requests\":9000},\"undo\":{\"status\":\"complete\",\"items\":[]},\"keys\":null,\"reason\":null}\n", at
}
function step(index_, name, phase, from, seconds,    i, s) {
    printf "{%s,\"elapsed\":%d,\"event\":\"step_started\",\"index\":%d,\"name\":\"%s\",\"phase\":\"%s\",\"action\":\"traffic\"}\n", at, from, index_, name, phase
    printf "{%s,\"elapsed\":%d,\"event\":\"step_finished\",\"index\":%d,\"name\":\"%s\",\"phase\":\"%s\",\"action\":\"traffic\",\"status\":\"passed\",\"start\":\"2026-11-24T10:15:30.000Z\",\"start_elapsed\":%d,\"duration\":%d,\"detail\":null,\"sent\":%d,\"unsent\":0,\"failed_requests\":%d,\"deltas\":{},\"codes\":{\"200\":%d},\"errors\":{},\"latency_ms\":{\"p50\":1,\"p90\":2,\"p99\":3,\"max\":9},\"expectations\":[],\"error\":null,\"samples\":[", at, from + seconds, index_, name, phase, from, seconds, seconds * 20, index_ * 9000, seconds * 15
    for (i = 0; i < seconds; i++) {
        s = from + i
        printf "%s{\"at\":%d,\"duration\":1,\"codes\":{\"200\":%d,\"401\":%d,\"503\":%d},\"errors\":{\"timeout\":%d},\"latency_ms\":{\"p50\":%.3f,\"p90\":2.1,\"p99\":%.3f,\"max\":9.5}}", i ? "," : "", s, s % 21, s % 7, s % 5, s % 3, 1 + s % 9 / 10, 2 + s % 40 / 3
    }
    printf "],\"counters\":["
    for (i = 0; i < seconds; i++) printf "%s{\"at\":%d,\"duration\":1,\"deltas\":{\"app_requests_total\":20,\"app_auth_success_total\":%d,\"app_auth_failures_total\":%d}}", i ? "," : "", from + i, 20 - i % 7, i % 7
    printf "]}\n"
}' >"$folder/events"
{
    printf '{"file":"lab run","version":1,"id":"20261124T101530Z-beef","bytes":%d}\n' "$(stat -c %s "$folder/events")"
    cat "$folder/events"
} >"$folder/long.run"
"$LAB" runs import "$folder/long.run" >/dev/null
for form in html markdown junit; do
    for _ in $(seq 15); do
        start=$(now)
        "$LAB" runs report beef "--$form" "$folder/report.$form" 2>/dev/null
        awk -v a="$start" -v b="$(now)" 'BEGIN { printf "%.1f\n", (b - a) / 1000 }'
    done | figure "report, 1,800 samples, whole process: $form" ms 300
    awk -v s="$(stat -c %s "$folder/report.$form")" 'BEGIN { printf "%.1f\n", s / 1000 }' | figure "its size: $form" kB 500
done

# The dashboard: the host without any page, and with a page that polls it once a second.
"$LAB" up --port 0 >/dev/null
address=$("$LAB" status --json | sed -n 's/.*"dashboard": *"\(http[^"]*\)".*/\1/p')
pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$LAB_STATE_DIR/labs/default/host.json")
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
hertz=$(getconf CLK_TCK)
# share COMMAND...: prints the share of a core that the process $of uses while the command runs.
of=$pid
share() {
    local before start
    before=$(ticks "$of")
    start=$(now)
    "$@"
    awk -v t="$(($(ticks "$of") - before))" -v hz="$hertz" -v us="$(($(now) - start))" 'BEGIN { printf "%.2f\n", t / hz / us * 1e8 }'
}
ask() {
    local after=0 second
    for second in $(seq 20); do
        curl -sf "${address}data?after=$after&marks=0" >/dev/null
        after=$second
        sleep 1
    done
}
share sleep 20 | figure 'the host of a lab that nobody looks at' '%' 2
share ask | figure 'the same with a dashboard, at 1 s' '%' 2

# `lab watch` on its own terminal: its CPU use and that of the host, with and without traffic.
mkfifo "$folder/keys"
exec 9<>"$folder/keys"
script -qfc "stty cols 120 rows 40; exec '$LAB' watch" /dev/null <&9 >"$folder/screen" &
screen=$!
watcher=
for _ in $(seq 200); do
    watcher=$(pgrep -P "$screen" || true)
    [ -z "$watcher" ] || break
    sleep 0.05
done
sleep 3
of=$watcher
share sleep 20 | figure 'lab watch at 1 s, nothing happens' '%' 2
of=$pid
share sleep 20 | figure 'the host of a lab that is watched' '%' 2
"$LAB" traffic --rate 20 --duration 25s >/dev/null 2>&1 &
sleep 2
of=$watcher
share sleep 20 | figure 'lab watch at 1 s, 20 requests/s' '%' 2
printf q >&9
wait "$screen"

if command -v chromedriver >/dev/null && command -v chromium >/dev/null; then
    chromedriver --port=0 >"$folder/driver" 2>/dev/null &
    driver=$!
    port=
    for _ in $(seq 200); do
        port=$(sed -n 's/.*started successfully on port \([0-9]*\)\..*/\1/p' "$folder/driver")
        [ -z "$port" ] || break
        sleep 0.05
    done
    post() { curl -sf -H 'Content-Type: application/json' "http://127.0.0.1:$port/$1" -d "$2"; }
    options='{"capabilities":{"alwaysMatch":{"goog:chromeOptions":{"args":["--headless=new","--no-sandbox","--disable-gpu","--disable-dev-shm-usage"]}}}}'
    session=$(post session "$options" | sed -n 's/.*"sessionId":"\([^"]*\)".*/\1/p')
    script='{"script":"return Math.round(performance.getEntriesByName(\"first-contentful-paint\")[0].startTime * 10) / 10","args":[]}'
    for _ in $(seq 9); do
        post "session/$session/url" "{\"url\":\"$address\"}" >/dev/null
        sleep 1
        echo "$(post "session/$session/execute/sync" "$script")" | sed -n 's/.*"value":\([0-9.]*\).*/\1/p'
    done | figure 'first contentful paint of the dashboard' ms 200
    curl -sf -X DELETE "http://127.0.0.1:$port/session/$session" >/dev/null
else
    echo 'chromium and chromedriver are not installed: skipping the first paint'
fi
exit "$missed"
