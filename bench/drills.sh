#!/usr/bin/env bash
# Measures what a drill costs and how soon its verdicts are known, on the embedded engine, and prints each figure with its limit.
# Exits 1 if a limit is missed. Run it on an idle machine. Uses a temporary state folder and free ports, and cleans up after
# itself.
#
#   bench/drills.sh               builds lab, then measures (about four minutes)
#   LAB=path/to/lab ROUNDS=3 bench/drills.sh
#
# The times are drill times that `lab drill status` shows when it is the first one with a verdict, so they include the time that
# this command takes. Requires bash 5 and awk.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
unset LAB_NAME
export LAB_ENGINE=embedded

LAB=$(realpath "${LAB:-$(scripts/release.sh)}")
ROUNDS=${ROUNDS:-5}
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
row() { printf '%-62s %12s %14s  %s\n' "$@"; }
# figure WHAT UNIT LIMIT: prints the largest of the values on standard input.
figure() {
    local values value verdict=met
    values=$(sort -n)
    value=$(tail -n 1 <<<"$values")
    awk -v v="$value" -v l="$3" 'BEGIN { exit v <= l }' && { verdict=MISSED; missed=1; }
    row "$1" "$value $2" "max $3 $2" "$verdict   from $(head -n 1 <<<"$values") in $(wc -l <<<"$values") runs"
}
# field NAME: a number or a word of the JSON document on standard input.
field() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" | head -n 1; }
# until_phase PHASE...: polls until the drill is in one of these phases, and prints the drill time in milliseconds.
until_phase() {
    local end=$((SECONDS + 60)) status
    while [ $SECONDS -lt $end ]; do
        status=$("$LAB" drill status --json)
        for phase in "$@"; do
            if [ "$(field phase <<<"$status")" = "$phase" ]; then
                field clock <<<"$status"
                return
            fi
        done
        sleep 0.05
    done
    echo "drills: the drill did not get into the phase $*" >&2
    return 1
}
referee() {
    local process
    for process in /proc/[0-9]*; do
        # The process may have ended meanwhile.
        if { tr '\0' ' ' <"$process/cmdline" | grep -q ' drill-host ' &&
            tr '\0' '\n' <"$process/environ" | grep -qx "LAB_STATE_DIR=$LAB_STATE_DIR"; } 2>/dev/null; then
            basename "$process"
            return
        fi
    done
    echo 'drills: no referee runs' >&2
    return 1
}
# ticks PID: processor time, in clock ticks. The name of the process has no spaces.
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

"$LAB" --version
printf '%s, %s CPUs, load %s\n\n' "$(uname -sr)" "$(getconf _NPROCESSORS_ONLN)" "$(cut -d ' ' -f 1 /proc/loadavg)"
row 'what' 'largest' 'limit' 'verdict'
"$LAB" up --port 0 >/dev/null 2>&1

# The referee also sends the callers' 20 requests per second.
"$LAB" drill start app-slow --quiet 1h >/dev/null
pid=$(referee)
sleep 5
before=$(ticks "$pid")
sleep 30
after=$(ticks "$pid")
awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.1f\n", 100 * ticks / hz / 30 }' >"$folder/values"
figure 'processor time of a drill, beside the lab' '%' 3 <"$folder/values"
awk '/^VmHWM:/ { printf "%.1f\n", $2 / 1024 }' "/proc/$pid/status" >"$folder/values"
figure 'peak memory of a drill, beside the lab' MB 60 <"$folder/values"
"$LAB" drill give-up >/dev/null 2>&1

: >"$folder/mitigated"
: >"$folder/resolved"
for _ in $(seq "$ROUNDS"); do
    "$LAB" drill start db-frozen --quiet 2s --coach >/dev/null
    until_phase broken >/dev/null
    sleep 3
    "$LAB" unpause db >/dev/null
    mitigated=$(until_phase mitigated resolved)
    resolved=$(until_phase resolved)
    "$LAB" drill finish --json >"$folder/debrief" 2>/dev/null
    # The window of ten seconds begins with the mitigation.
    window=$(($(field mitigated <"$folder/debrief") + 10000))
    echo $((mitigated > window ? mitigated - window : 0)) >>"$folder/mitigated"
    echo $((resolved > window ? resolved - window : 0)) >>"$folder/resolved"
done
figure 'mitigated, after its window is complete' ms 1000 <"$folder/mitigated"
figure 'resolved, after the checks could pass' ms 2000 <"$folder/resolved"
exit $missed
