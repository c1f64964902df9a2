#!/usr/bin/env bash
# Takes the pictures in docs/images/ with Chromium. Of a run: its report and the lab's dashboard, at workshop pace. Of a room:
# its pages during a drill and after it. Takes six minutes. Uses temporary state folders and free ports, and cleans up after
# itself.
#
#   docs/pictures.sh                  builds lab, then takes all pictures
#   LAB=path/to/lab docs/pictures.sh  takes those of a run with this lab
#   docs/pictures.sh rooms            takes only those of a room
#
# Requires bash, chromium and chromedriver; uses pngquant, if installed, to make the files smaller.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C LAB_ENGINE=embedded LAB_NAME=default
mkdir -p docs/images
smaller() { if command -v pngquant >/dev/null; then pngquant --force --ext .png 64 "$@"; fi; }

# The test takes each page also in dark mode and on a phone.
rooms() {
    local pictures picture
    pictures=$(mktemp -d)
    LAB_PICTURES="$pictures" cargo test --locked --test browser -- pictures::
    for picture in join seat board desk debrief; do
        cp "$pictures/room-$picture.png" docs/images/
        smaller "docs/images/room-$picture.png"
    done
    rm -rf "$pictures"
}
rooms
[ "${1:-}" != rooms ] || exit 0

if [ -z "${LAB:-}" ]; then
    cargo build --locked
    host=$(rustc -vV | sed -n 's/^host: //p')
    LAB="target/$host/debug/lab"
fi
folder=$(mktemp -d)
export LAB_STATE_DIR="$folder/state"
cleanup() {
    "$LAB" down >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap cleanup EXIT

# picture NAME WIDTH HEIGHT ADDRESS: in dark mode if the name ends in -dark.
picture() {
    local dark=()
    case $1 in *-dark) dark=(--blink-settings=preferredColorScheme=0) ;; *) dark=(--blink-settings=preferredColorScheme=1) ;; esac
    chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$folder/chromium" "${dark[@]}" \
        --window-size="$2,$3" --virtual-time-budget=4000 --screenshot="docs/images/$1.png" "$4" >/dev/null 2>&1
    smaller "docs/images/$1.png"
}

"$LAB" up --port 0 >/dev/null
dashboard=$("$LAB" status --json | sed -n 's/.*"dashboard": *"\([^"]*\)".*/\1/p')
"$LAB" scenario run rotate-key --pace workshop --report "$folder/report.html" &
# The dashboard shows the last minute. At this time, half of it is before the fault.
sleep 95
picture dashboard 1280 1420 "$dashboard"
wait $!
picture report 1280 1500 "file://$folder/report.html"
picture report-dark 1280 1500 "file://$folder/report.html"
picture report-phone 400 1600 "file://$folder/report.html"
ls -l docs/images
