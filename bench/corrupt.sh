#!/usr/bin/env bash
# Combines every file of the state folder with every kind of corruption and every command. Counts panics, hangs over 5 s and
# changes outside the state folder; each count must be 0. Requires Linux; as root it also tries files of another user. Takes
# several minutes.
#
#   bench/corrupt.sh [LAB]     executable to test; default: the release build

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
lab=$(realpath "${1:-$(scripts/release.sh)}")
work=$(mktemp -d)
trap 'LAB_STATE_DIR="$work/template" "$lab" down --all >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
unset LAB_NAME RUST_BACKTRACE
export LAB_ENGINE=embedded

export LAB_STATE_DIR=$work/template
"$lab" up --port 0 >/dev/null 2>&1
"$lab" scenario run rotate-key --set requests=2 --set rate=200 --keep --no-callers >/dev/null 2>&1 || true
# Same state as after a power failure: nothing is running, and everything is on disk.
host=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$work/template/labs/default/host.json")
kill -KILL "$host"
sleep 1
run=$(find "$work/template/runs" -mindepth 1 -maxdepth 1 -printf '%f\n' | head -n 1)
mapfile -t files < <(cd "$work/template" && find . -type f | sort)

kinds=(half empty garbage types huge pipe folder link dangling hardlink writable none missing)
[ "$(id -u)" = 0 ] && kinds+=(owner)
verbs=('status' 'status --all' 'status --json' 'key show' 'key align' 'key rotate apikey-v9' 'logs' 'metrics' 'runs list'
    "runs show $run" "runs export $run $work/exported" 'scenario list' 'scenario run baseline --set requests=1' 'traffic --requests 1' 'doctor' 'recover'
    'recover --all' 'up --port 0' 'down' 'down --all')

corrupt() {
    local path=$1 outside=$2
    case $3 in
    half) truncate -s $(($(stat -c %s "$path") / 2)) "$path" ;;
    empty) : >"$path" ;;
    garbage) head -c 4096 /dev/urandom >"$path" ;;
    types) printf '{"version":"one","pid":-1,"port":[],"event":7}\n' >"$path" ;;
    huge) truncate -s 8G "$path" ;;
    pipe) rm "$path" && mkfifo "$path" ;;
    folder) rm "$path" && mkdir -p "$path/inner" ;;
    link) ln -sf "$outside/target" "$path" ;;
    dangling) ln -sf "$outside/new" "$path" ;;
    hardlink) ln -f "$outside/target" "$path" ;;
    writable) chmod 0666 "$path" ;;
    none) chmod 0000 "$path" ;;
    missing) rm "$path" ;;
    owner) chown 65534 "$path" ;;
    esac
}

outside=$work/outside tried=0 panics=0 hangs=0 outside_changes=0 codes=0
for file in "${files[@]}"; do
    for kind in "${kinds[@]}"; do
        for verb in "${verbs[@]}"; do
            # A new path each time: a host of the previous one may still be exiting, and removes its files.
            rm -rf "$work/state-$tried" "$outside"
            state=$work/state-$((tried + 1))
            cp -a "$work/template" "$state"
            mkdir "$outside"
            echo "not lab's" >"$outside/target"
            corrupt "$state/$file" "$outside" "$kind"
            before=$(cd "$outside" && find . -printf '%p %m %s\n' -type f -exec sha256sum {} +)
            code=0
            # shellcheck disable=SC2086  # a command has several words
            LAB_STATE_DIR=$state timeout -k 1 5 "$lab" $verb >"$work/out" 2>&1 </dev/null || code=$?
            after=$(cd "$outside" && find . -printf '%p %m %s\n' -type f -exec sha256sum {} +)
            tried=$((tried + 1))
            wrong=
            if grep -q panicked "$work/out"; then panics=$((panics + 1)) wrong=panic; fi
            if [ "$code" = 124 ] || [ "$code" = 137 ]; then hangs=$((hangs + 1)) wrong=hang; fi
            if [ "$code" -gt 4 ] && [ -z "$wrong" ]; then codes=$((codes + 1)) wrong="code $code"; fi
            if [ "$before" != "$after" ]; then outside_changes=$((outside_changes + 1)) wrong='outside'; fi
            [ -z "$wrong" ] || printf '%s: %s %s: lab %s: %s\n' "$wrong" "$file" "$kind" "$verb" "$(tail -n 1 "$work/out")"
            # Removes a lab that came up despite the corruption.
            case $verb in up* | scenario* | recover*) LAB_STATE_DIR=$state timeout 20 "$lab" down --all >/dev/null 2>&1 || true ;; esac
        done
    done
done
printf '%s corruptions: %s panics, %s hangs over 5 s, %s other codes, %s changes outside\n' \
    "$tried" "$panics" "$hangs" "$codes" "$outside_changes"
[ "$((panics + hangs + codes + outside_changes))" = 0 ]
