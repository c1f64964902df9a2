#!/usr/bin/env bash
# Checks Prometheus' configuration and rules with promtool, including lints, and runs the tests of the rules: alerts that must
# or must not fire, and counter resets. Then compares lab's evaluation of rules with that of Prometheus
# (tests/promql/README.md). Uses this machine's promtool, and also the one in the stack's image if Docker has it, because
# their versions differ.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v promtool >/dev/null || {
    echo 'promtool is not installed: on Debian, apt-get install --no-install-recommends prometheus' >&2
    exit 1
}
# check PROMTOOL...
check() {
    "$@" --version 2>&1 | head -n 1
    "$@" check config --lint=all --lint-fatal stack/prometheus/prometheus.yml
    "$@" check rules --lint=all --lint-fatal stack/prometheus/rules/*.yml
    "$@" test rules stack/prometheus/tests/*.yml
    "$@" check rules tests/promql/rules.yml
    "$@" test rules tests/promql/expected.yml
    local output refused
    output=$("$@" test rules tests/promql/errors.yml 2>&1 || true)
    refused=$(grep -c 'err: ' <<<"$output" || true)
    if [ "$refused" != "$(grep -c 'expr: ' tests/promql/errors.yml)" ]; then
        printf '%s\npromtool accepts expressions that lab rejects: tests/promql/errors.yml\n' "$output" >&2
        exit 1
    fi
}
check promtool
image=$(sed -n 's/^    image: \(prom.*\)/\1/p' stack/compose.yaml)
if docker image inspect "$image" >/dev/null 2>&1; then
    check docker run --rm --network none --volume "$PWD:/files:ro" --workdir /files --entrypoint /bin/promtool "$image"
fi
