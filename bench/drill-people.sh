#!/usr/bin/env bash
# Three people play a blind drill each, at the pace of people: an expert, a novice who opens hints and sends updates late, and
# somebody who tries a wrong fix first. They know nothing of the incident: they find it from what lab shows. Takes up to 15
# minutes, most of which is waiting.
#
#   bench/drill-people.sh [FOLDER]      writes FOLDER/expert.txt, novice.txt and hasty.txt (default: drill-people)
#   LAB_ENGINE=docker bench/drill-people.sh [FOLDER]      on Docker, with its images (stack/offline/build.sh)
#
# Read the transcripts as a participant would. LAB=path/to/lab for a different binary than the release build. Fails if a drill
# with a fault is not resolved in the end, or one without a fault is not called so. Cleans up after itself.

set -euo pipefail
export LC_ALL=C
unset LAB_NAME
out=$(realpath -m "${1:-drill-people}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
LAB=$(realpath "${LAB:-$(scripts/release.sh)}")
export LAB_ENGINE=${LAB_ENGINE:-embedded}
folder=$(mktemp -d)
mkdir -p "$out"
cleanup() {
    for state in "$folder"/*/; do LAB_STATE_DIR=$state "$LAB" down --all >/dev/null 2>&1 || true; done
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# run ARGS...: a command of a person, with its output in the transcript.
run() {
    local shown="" word
    for word in "$@"; do if [[ $word == *" "* ]]; then shown+=" '$word'"; else shown+=" $word"; fi; done
    printf '\n[%s] $ lab%s\n' "$(date +%T)" "$shown"
    "$LAB" "$@" 2>&1 || printf '(exit %s)\n' $?
}
remark() { printf '\n[%s] # %s\n' "$(date +%T)" "$*"; }
# success: percentage of requests that succeeded in the last seconds, over all callers.
success() {
    "$LAB" drill status --json | awk '
        /"callers": \[/ { inside = 1 }
        inside && /"sent":/ { gsub(/[^0-9]/, ""); sent += $0 }
        inside && /"succeeded":/ { gsub(/[^0-9]/, ""); succeeded += $0 }
        inside && /^  \]/ { inside = 0 }
        END { print (sent ? int(100 * succeeded / sent) : 100) }'
}
has_mail() { "$LAB" drill status | grep -qi 'customer'; }
# await SECONDS COMMAND...: polls until the command succeeds. Fails after SECONDS.
await() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 2
    done
}
fails() { [ "$(success)" -lt 95 ]; }
works() { [ "$(success)" -ge 99 ]; }
# changes: what the drill changed after it had begun, one revision a line. Changes before that are harmless.
changes() {
    "$LAB" history --json | tr -d '\n' | sed 's/{ *"service"/\n&/g' | grep '"by": *"drill"' |
        awk -v begun="$begun" 'match($0, /"at": *"[^"]*"/) && substr($0, RSTART + RLENGTH - 25) > begun'
}
# changed NAME: this variable.
changed() { changes | grep -q "\"$1\""; }
# changed_state SERVICE STATE: a service was brought into this run state.
changed_state() { changes | grep "\"service\": *\"$1\"" | grep -q "\"run\": *\"$2\""; }

# find_cause: sets `diagnosis` and `fix` (commands, one a line) from what can be seen, as a runbook would.
find_cause() {
    if changed_state db paused; then diagnosis=(database hangs) fix="unpause db"
    elif changed_state app paused; then
        diagnosis=(caller 'sends too much') fix="env set app APP_DB_POOL_TIMEOUT=100ms"
    elif changed_state db stopped; then diagnosis=(database 'does not run') fix="start db"
    elif changed_state app stopped; then diagnosis=(app 'does not run') fix="start app"
    elif changed APP_METRICS_PATH; then
        diagnosis=(monitoring 'address or path wrong' caller 'credential out of date')
        fix=$'env unset app APP_METRICS_PATH\nkey align'
    elif changed APP_API_KEY_EXPIRES; then
        diagnosis=(account 'has expired') fix=$'env set app APP_API_KEY=apikey-v9 APP_API_KEY_EXPIRES=90d\nkey align'
        if changed GATEWAY_FORWARD_API_KEY; then
            diagnosis=(gateway 'credential not passed on' account 'has expired')
            fix+=$'\nenv set gateway GATEWAY_FORWARD_API_KEY=on'
        fi
    elif changed APP_API_KEY_SCOPES; then
        diagnosis=(account 'permission missing') fix="env unset app APP_API_KEY_SCOPES"
    elif changed APP_RATE_LIMIT; then
        diagnosis=(account 'limit too low') fix="rollback app"
    elif changed APP_DEPENDENCY_DELAY; then diagnosis=(partner slow) fix="env unset app APP_DEPENDENCY_DELAY"
    elif changed APP_REPORT_TIME; then diagnosis=(app 'used up') fix="env unset app APP_REPORT_TIME"
    elif changed APP_API_KEY; then diagnosis=(caller 'credential out of date') fix="key align"
    elif changed GATEWAY_UPSTREAM; then
        diagnosis=(gateway 'address or path wrong') fix="env set gateway GATEWAY_UPSTREAM=app:8000"
    elif changed GATEWAY_FORWARD_API_KEY; then
        diagnosis=(gateway 'credential not passed on') fix="env set gateway GATEWAY_FORWARD_API_KEY=on"
    elif changed GATEWAY_CLIENT_SECRET; then
        diagnosis=(gateway 'credential wrong') fix="env set gateway GATEWAY_CLIENT_SECRET=gateway-secret-v1"
    elif changed GATEWAY_READ_TIMEOUT; then
        diagnosis=(gateway 'timeout too short') fix="env set gateway GATEWAY_READ_TIMEOUT=10s"
    else
        remark 'found nothing that changed'
        diagnosis=(nowhere 'nothing is wrong') fix="status"
    fi
}
apply_fix() {
    local line
    while read -r line; do
        # shellcheck disable=SC2086 # words of a command
        run $line
    done <<<"$fix"
}
end_well() {
    if await 60 works; then sleep 15; fi
    run drill status
    run drill update --to customers --state resolved --affected nobody \
        'The problem is solved. All requests succeed again.' --yes
    run drill finish
    run drill show
    run drill list
    "$LAB" drill show --json | grep -q '"resolved": [0-9]'
}
nothing_wrong() {
    remark 'four minutes, and no request failed'
    run drill diagnose nowhere 'nothing is wrong'
    run drill finish
    run drill show
    "$LAB" drill show --json | grep -q '"fault": false'
}
begin() {
    # Names of labs are unique on a Docker daemon.
    export LAB_STATE_DIR=$folder/$1 LAB_NAME=$1
    "$LAB" up --port 0 >/dev/null 2>&1
    run drill start
    run drill status
    begun=$(date -u +%FT%T.000Z)
}

expert() {
    begin expert
    await 240 fails || { nothing_wrong; return; }
    run drill ack
    run status
    run drill update --to customers --state investigating --affected some --since 1m --next 10m \
        'Some of your requests fail. We are looking into it.'
    run request
    run history
    run logs app --tail 5
    run metrics --filter app_requests
    sleep 10
    find_cause
    run drill diagnose "${diagnosis[@]}"
    apply_fix
    end_well
}

novice() {
    begin novice
    await 300 has_mail || { nothing_wrong; return; }
    run drill status
    sleep 15
    run drill ack
    run drill diagnose
    sleep 20
    for _ in 1 2 3; do
        run drill hint
        run drill hint --open
        sleep 20
        run status
        run logs --tail 5
    done
    remark 'goes on reading, and forgets the customers'
    sleep 240
    run drill status
    run drill update --to customers --state investigating --affected everybody --next 5m \
        'We hope to be back in 10 minutes, APP_API_KEY is being checked.' --yes
    run drill diagnose database slow
    find_cause
    run drill diagnose "${diagnosis[@]}"
    apply_fix
    end_well
}

hasty() {
    begin hasty
    remark 'a false alarm'
    run drill ack
    await 240 fails || { nothing_wrong; return; }
    run drill ack
    run restart app
    run drill update --to customers --state resolved --affected nobody 'We restarted it.' --yes
    sleep 25
    run drill status
    run key rotate apikey-v2
    run key align
    sleep 25
    run drill status
    run history
    find_cause
    run drill diagnose "${diagnosis[@]}"
    apply_fix
    end_well
}

failed=0
declare -A pids
for person in expert novice hasty; do
    "$person" >"$out/$person.txt" 2>&1 &
    pids[$person]=$!
done
for person in expert novice hasty; do
    wait "${pids[$person]}" || { echo "$person: not as it should be, see $out/$person.txt" >&2; failed=1; }
done
echo "transcripts: $out"
exit $failed
