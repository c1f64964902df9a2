#!/usr/bin/env bash
# Checks Prometheus' configuration and rules with promtool, lint included, and runs the rules' tests: what must fire,
# what must not, and what happens across a counter reset. Takes this machine's promtool, and the one of the stack's image if
# Docker has that image: their versions differ.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../stack/prometheus"

command -v promtool >/dev/null || {
    echo 'promtool is not installed: on Debian, apt-get install --no-install-recommends prometheus' >&2
    exit 1
}
# check PROMTOOL...
check() {
    "$@" --version 2>&1 | head -n 1
    "$@" check config --lint=all --lint-fatal prometheus.yml
    "$@" check rules --lint=all --lint-fatal rules/*.yml
    "$@" test rules tests/*.yml
}
check promtool
image=$(sed -n 's/^    image: \(prom.*\)/\1/p' ../compose.yaml)
if docker image inspect "$image" >/dev/null 2>&1; then
    check docker run --rm --network none --volume "$PWD:/files:ro" --workdir /files --entrypoint /bin/promtool "$image"
fi
