#!/usr/bin/env bash
# Measures a room of thirty seats on the embedded engine with scripted participants, and prints each figure with its limit.
# Exits 1 if a limit is missed. Run it on an idle machine with at least two cores. Uses a temporary state folder and a free
# port, and cleans up after itself. Takes about eight minutes.
#
#   bench/room.sh                 builds lab, then measures
#   LAB=path/to/lab SEATS=30 bench/room.sh
#
# Requires Linux, bash 5, curl and awk.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
unset LAB_NAME LAB_ENGINE

LAB=${LAB:-$(scripts/release.sh)}
SEATS=${SEATS:-30}
folder=$(mktemp -d)
export LAB_STATE_DIR="$folder/state"
streams=()
cleanup() {
    for pid in "${streams[@]}"; do kill "$pid" 2>/dev/null || true; done
    "$LAB" down --all >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

missed=0
now() { echo "${EPOCHREALTIME/./}"; }
row() { printf '%-66s %12s %14s  %s\n' "$@"; }
# figure WHAT UNIT LIMIT VALUE [REMARK]: the value must be at most the limit.
figure() {
    local verdict
    verdict=$(awk -v v="$4" -v l="$3" 'BEGIN { print v <= l ? "met" : "MISSED" }')
    [ "$verdict" = met ] || missed=1
    row "$1" "$4 $2" "max $3 $2" "$verdict   ${5:-}"
}
die() { echo "room: $*" >&2; exit 1; }
# await SECONDS COMMAND...: polls until the command succeeds.
await() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || die "not in time: $*"
        sleep 0.2
    done
}
# percentile P: of the numbers on standard input.
percentile() { sort -n | awk -v p="$1" '{ v[NR] = $1 } END { i = int(NR * p / 100 + 0.999999); print v[i < 1 ? 1 : i] }'; }

room() { "$LAB" room "$@"; }
open() { room up --seats "$1" --port 0 --json >"$folder/up.json" 2>"$folder/up.err" || { cat "$folder/up.err" >&2; exit 1; }; }
# field NAME: a text of the last `open`.
field() { sed -n "s/^ *\"$1\": *\"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" "$folder/up.json" | head -n 1; }
# Processes of the room, by the state folder in their environment: servers, hosts and services. Services have only the folder
# of their lab in it.
pids() {
    local environ
    for environ in /proc/[0-9]*/environ; do
        # Processes may end meanwhile, and belong to others.
        if tr '\0' '\n' 2>/dev/null <"$environ" | grep -q "$LAB_STATE_DIR"; then
            environ=${environ#/proc/}
            echo "${environ%/environ}"
        fi
    done | while read -r pid; do
        case $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") in "lab "*) echo "$pid" ;; esac
        # Children of the hosts have an environment of their own.
        { cat /proc/"$pid"/task/*/children 2>/dev/null || true; } | tr ' ' '\n'
    done | grep . | sort -un
}
# Memory of these processes in MB.
pss() {
    local pid
    for pid in $(pids); do awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup" 2>/dev/null || true; done |
        awk '{ sum += $1 } END { printf "%.0f\n", sum / 1024 }'
}
# Processor time of these processes in ticks.
ticks() {
    local pid
    for pid in $(pids); do sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null || true; done |
        awk '{ sum += $12 + $13 } END { print sum + 0 }'
}
server() { head -n 1 "$LAB_STATE_DIR/rooms/room/room.lock"; }
phases() { room status --json | sed -n 's/.*"phase": *"\([a-z]*\)".*/\1/p'; }
all_are() { [ "$(phases | grep -c "^$1\$")" = "$2" ]; }

# post SEAT ACTION FIELDS...: an action of a participant. Prints the time until it was acknowledged in milliseconds; fails if
# it was refused.
post() {
    local seat=$1 action=$2
    shift 2
    curl -s -b "$folder/cookies.$seat" -H 'Accept: application/json' -H "Origin: $address" --max-time 20 \
        -o "$folder/answer.$seat" -w '%{http_code} %{time_total}\n' "$@" "$address/seat/$action" |
        awk '{ printf "%.1f\n", $2 * 1000; exit $1 != 200 }'
}
join_all() {
    local seat
    room status --codes --json | sed -n 's/.*"code": *"\([a-z0-9-]*\)".*/\1/p' >"$folder/codes"
    for seat in $(seq "$SEATS"); do
        curl -s -c "$folder/cookies.$seat" -H 'Accept: application/json' -H "Origin: $address" -o /dev/null \
            -d "code=$(sed -n "${seat}p" "$folder/codes")" "$address/join"
    done
}
# at_once ACTION FIELDS...: an action of all participants at the same time.
at_once() {
    local seat running=()
    for seat in $(seq "$SEATS"); do
        post "$seat" "$@" &
        running+=($!)
    done
    wait "${running[@]}"
}

# The callers of the incident send 5 requests per second.
sed -e 's/\(requests: { default: \)40/\110/' -e 's/\(rate: { default: \)20/\15/' scenarios/db-frozen.yaml >"$folder/frozen.yaml"

"$LAB" --version
printf '%s, %s CPUs, load %s, %s seats\n\n' "$(uname -sr)" "$(getconf _NPROCESSORS_ONLN)" \
    "$(cut -d ' ' -f 1 /proc/loadavg)" "$SEATS"
row 'what' 'value' 'limit' 'verdict'

# Growth of the memory.
for count in 1 10; do
    open "$count"
    row "memory of $count bare seats and the server (PSS)" "$(pss) MB" '-' ''
    room down >/dev/null
done
for i in 1 2 3; do
    open "$SEATS"
    field seconds
    [ "$(field ready)" = "$SEATS" ] || die "$(cat "$folder/up.json")"
    [ "$i" = 3 ] || room down >/dev/null
done >"$folder/values"
figure "lab room up --seats $SEATS, until the last seat is healthy" s 3 "$(percentile 50 <"$folder/values")" \
    "$(sort -n "$folder/values" | tr '\n' ' ')"
address=$(field address)
row "memory of $SEATS bare seats and the server (PSS)" "$(pss) MB" '-' ''

# Idle but for the callers: the fault comes in an hour.
join_all
room drill start "$folder/frozen.yaml" --quiet 1h >/dev/null
await 60 all_are quiet "$SEATS"
sleep 20
before=$(ticks)
sleep 20
after=$(ticks)
figure 'processor time with callers at 5/s and referees, share of a core' % 60 \
    "$(awk -v a="$before" -v b="$after" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.1f\n", (b - a) / hz / 20 * 100 }')"
figure 'memory with callers at 5/s and referees (PSS)' MB 400 "$(pss)"

# Actions of all participants at once, with open pages.
for seat in $(seq "$SEATS"); do
    curl -sN -b "$folder/cookies.$seat" "$address/seat/events" >/dev/null 2>&1 &
    streams+=($!)
done
curl -sN "$address/board/events" 2>/dev/null | while IFS= read -r line; do printf '%s %s\n' "$(now)" "$line"; done >"$folder/board" &
streams+=($!)
sleep 3
: >"$folder/values"
for i in 1 2 3 4 5 6; do
    up=$([ $((i % 2)) = 1 ] && echo true || echo false)
    at_once hand -d "up=$up" >>"$folder/values"
    sleep 2
done
figure "an action until it is acknowledged, $SEATS at once, p99" ms 250 "$(percentile 99 <"$folder/values")" \
    "median $(percentile 50 <"$folder/values") ms"
# The page of a participant without a script comes back with the output of the line.
console() {
    curl -s -b "$folder/cookies.$1" -H "Origin: $address" --max-time 60 -o /dev/null -w '%{time_total}\n' \
        -d 'line=lab status' "$address/seat/console" | awk '{ printf "%.1f\n", $1 * 1000 }'
}
for seat in $(seq "$SEATS"); do console "$seat" >"$folder/console.$seat" & done
consoles_ended() { [ "$(cat "$folder"/console.* | grep -c .)" = "$SEATS" ]; }
await 60 consoles_ended
row "lab status in $SEATS consoles at once until its output, p99" "$(cat "$folder"/console.* | percentile 99) ms" '-' \
    "median $(cat "$folder"/console.* | percentile 50) ms"

is_on_board() { tail -n +$((seen + 1)) "$folder/board" | grep -q "$1"; }
room scene tiles >/dev/null
sleep 2
for i in 1 2 3 4 5; do
    seen=$(wc -l <"$folder/board")
    begun=$(now)
    post 1 name -d "name=Participant $i" >/dev/null
    await 10 is_on_board "Participant $i"
    tail -n +$((seen + 1)) "$folder/board" | awk -v b="$begun" -v w="Participant $i" 'index($0, w) { print ($1 - b) / 1000; exit }'
    sleep 1
done >"$folder/values"
figure 'an event until it is on the board, worst of 5' ms 1000 "$(percentile 100 <"$folder/values")"
for pid in "${streams[@]}"; do kill "$pid" 2>/dev/null || true; done
wait "${streams[@]}" 2>/dev/null || true
streams=()
room drill end >/dev/null
await 120 all_are over "$SEATS"

# retry SEAT ACTION FIELDS...: like a person who tries again until the page answers.
retry() {
    local end=$((SECONDS + 90))
    until post "$@" >/dev/null; do
        [ $SECONDS -lt $end ] || { cat "$folder/answer.$1" >&2; return 1; }
        sleep 1
    done
}
# A participant from the failure to the fix.
participant() {
    sleep $((1 + $1 % 3))
    retry "$1" ack -d ''
    sleep 4
    retry "$1" diagnose -d where=database -d what=hangs
    retry "$1" console -d 'line=lab unpause db'
}
# play NAME [KILL]: a whole drill of all participants. Writes the points of the seats.
play() {
    local seat participants=()
    room drill start "$folder/frozen.yaml" --quiet 3s >/dev/null
    await 90 all_are broken "$SEATS"
    for seat in $(seq "$SEATS"); do
        participant "$seat" &
        participants+=($!)
    done
    if [ "${2:-}" = kill ]; then
        sleep 3
        kill -KILL "$(server)"
        sleep 5
        room resume >/dev/null
    fi
    wait "${participants[@]}"
    await 120 all_are resolved "$SEATS"
    room drill end >/dev/null
    await 120 all_are over "$SEATS"
    room export --format csv |
        awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
            { points[$1] = $(column["points"]) } END { for (seat in points) print seat, points[seat] }' | sort -n >"$folder/$1"
}
play without
play with kill
differing=$(diff "$folder/without" "$folder/with" | grep -c '^>' || true)
figure 'seats whose points differ after a SIGKILL of the server' seats 0 "$differing" \
    "$(awk '{ print $2 }' "$folder/with" | sort -n | uniq -c | awk '{ printf "%s x %s points  ", $1, $2 }')"
room down >/dev/null

exit "$missed"
