#!/usr/bin/env bash
# Kills lab at random times and counts what is lost: KILLS (300) times it sends SIGKILL to up, down, scenario run, key rotate
# or recover, then runs `lab recover`, and every other time `lab down`. A loss is anything that these do not restore or clean up:
#   - a command after the kill that fails or takes over a minute
#   - a change of a run that `lab recover` does not undo
#   - a record with a different key than the server, or a key that is neither the old nor the new one
#   - a process, container, network or file that remains after `lab down`
# Exits 1 if anything is lost. The goal is 0.
#
#   bench/kills.sh [KILLS] [embedded|docker|both]      both: half of the kills each
#   bench/kills.sh events        the tests that kill at selected events, in their long form: at every event (embedded, 15 minutes)
#
# SEED=N repeats the choice of commands and times (it is printed). LAB=path/to/lab for a different binary than the release build.
# Docker requires a daemon with the images (stack/offline/build.sh). Cleans up after itself.

set -euo pipefail
export LC_ALL=C
unset LAB_NAME LAB_ENGINE LAB_BIND
if [ "${1:-}" = events ]; then
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    LAB_TEST_KILLS=all exec cargo test --locked --test local -- kills:: referee::
fi
kills=${1:-300} engines=${2:-both}
case $kills$engines in
*[!0-9]*embedded | *[!0-9]*docker | *[!0-9]*both) sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
*embedded | *docker | *both) ;;
*) sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
LAB=${LAB:-$(scripts/release.sh)}
folder=$(mktemp -d)
export LAB_STATE_DIR="$folder/state"
name=bench-kills-$$
RANDOM=${SEED:-$$}
echo "seed ${SEED:-$$}" >&2
lost=0 done=0

lab() { timeout 60 "$LAB" "$@" --name "$name" >"$folder/out" 2>&1; }
cleanup() {
    lab down || true
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# loss WHAT: counts a loss and prints the output of the last command. The next kill starts with a new lab.
loss() {
    lost=$((lost + 1))
    echo "lost at kill $done ($engine, $verb after $delay ms): $1" >&2
    sed 's/^/    /' "$folder/out" >&2
    lab down || true
}
# must ARGS...: runs a lab command that must succeed.
must() { lab "$@" || { loss "lab $* failed ($?)"; return 1; }; }
up() { lab up --engine "$engine" --port 0; }
# field NAME FILE: prints a text field of a JSON document with one field per line.
field() { sed -n 's/^ *"'"$1"'": "\([^"]*\)",\{0,1\}$/\1/p' "$2" | head -n 1; }
# read_server: reads the server's key into $key.
read_server() {
    must key show --json || return 1
    key=$(field server "$folder/out")
}
record() { field "$1" "$LAB_STATE_DIR/labs/$name/lab.json"; }

# agrees: succeeds if the record has the server's key.
agrees() {
    read_server || return 1
    [ "$(record server_key)" = "$key" ] || { loss "the server has $key, the record $(record server_key)"; return 1; }
    [ -z "$(record next_server_key)" ] || { loss "the record still announces $(record next_server_key)"; return 1; }
}
# is_clean: succeeds if nothing is left of the lab.
is_clean() {
    local left
    left=$(find "$LAB_STATE_DIR/labs" -mindepth 1 2>/dev/null | head -n 5)
    [ -z "$left" ] || { loss "files are left: $left"; return 1; }
    for _ in $(seq 50); do
        left=$(grep -lzF "$LAB_STATE_DIR" /proc/[0-9]*/environ 2>/dev/null |
            grep -v "/proc/\($$\|self\|$BASHPID\)/" |
            while read -r file; do
                { tr '\0' ' ' <"${file%environ}cmdline" | grep -a '^lab '; } 2>/dev/null || true
            done) || true
        [ -n "$left" ] || break
        sleep 0.1
    done
    [ -z "$left" ] || { loss "processes are left: $left"; return 1; }
    if [ "$engine" = docker ]; then
        left=$(docker ps -aq --filter "label=lab.name=$name"; docker network ls -q --filter "label=lab.name=$name")
        [ -z "$left" ] || { loss "containers or networks are left: $left"; return 1; }
    fi
}

# Longest duration of each command in ms. The kill happens between 0 and that time.
span() {
    case $engine-$1 in
    embedded-up | embedded-down) echo 80 ;;
    embedded-rotate) echo 120 ;;
    embedded-run) echo 900 ;;
    embedded-recover) echo 150 ;;
    docker-up) echo 3500 ;;
    docker-down) echo 900 ;;
    docker-rotate) echo 1500 ;;
    docker-run) echo 4000 ;;
    docker-recover) echo 1500 ;;
    esac
}
# kill_after MS ARGS...: runs a lab command and sends SIGKILL after MS milliseconds.
kill_after() {
    local ms=$1 pid
    shift
    "$LAB" "$@" --name "$name" >"$folder/killed" 2>&1 &
    pid=$!
    sleep "$(awk -v ms="$ms" 'BEGIN { printf "%.3f", ms / 1000 }')"
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

one() {
    local old new
    new=apikey-k$done
    if [ "$verb" = up ]; then
        must down || return 0
    else
        up || { loss "lab up failed"; return 0; }
        read_server || return 0
        old=$key
    fi
    case $verb in
    up) kill_after "$delay" up --engine "$engine" --port 0 ;;
    down) kill_after "$delay" down ;;
    rotate) kill_after "$delay" key rotate "$new" ;;
    run) kill_after "$delay" scenario run rotate-key --set requests=10 --set rate=100 ;;
    recover)
        kill_after "$(($(span run) / 2))" scenario run rotate-key --set requests=10 --set rate=100
        kill_after "$delay" recover
        ;;
    esac
    must recover || return 0
    case $verb in
    rotate)
        agrees || return 0
        [ "$key" = "$old" ] || [ "$key" = "$new" ] || { loss "the key was $old, was to be $new, and is $key"; return 0; }
        ;;
    run | recover)
        agrees || return 0
        [ "$key" = "$old" ] || { loss "the key was $old, and is $key"; return 0; }
        ;;
    esac
    if [ $((RANDOM % 2)) = 0 ]; then
        up || { loss "lab up failed"; return 0; }
        agrees || return 0
    fi
    if [ $((RANDOM % 2)) = 0 ]; then
        must down || return 0
        is_clean || return 0
    fi
}

verbs=(up down rotate run recover)
summary=""
for engine in embedded docker; do
    [ "$engines" = both ] || [ "$engines" = "$engine" ] || continue
    count=$kills begun=$SECONDS before=$lost
    if [ "$engines" = both ]; then
        count=$((kills / 2))
        [ "$engine" = docker ] || count=$((kills - kills / 2))
    fi
    for _ in $(seq "$count"); do
        done=$((done + 1))
        verb=${verbs[RANDOM % ${#verbs[@]}]}
        delay=$((RANDOM % $(span "$verb")))
        one
    done
    verb=down delay=0
    if must down; then is_clean || true; fi
    summary+=$(printf '%-10s %5d kills %4d lost   %d s\n' "$engine" "$count" $((lost - before)) $((SECONDS - begun)))$'\n'
done
printf '%sgoal: 0 lost: %s\n' "$summary" "$([ "$lost" = 0 ] && echo met || echo missed)"
[ "$lost" = 0 ]
