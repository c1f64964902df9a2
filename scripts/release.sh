#!/usr/bin/env bash
# Builds the release executable and prints its path.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --release --locked --package lab >&2
host=$(rustc -vV | sed -n 's/^host: //p')
target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
lab="$target/$host/release/lab"
[ -x "$lab" ] || {
    echo "release: $lab does not exist" >&2
    exit 1
}
echo "$lab"
