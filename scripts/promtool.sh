#!/usr/bin/env bash
# Checks Prometheus' configuration and rules with promtool, lint included, and runs the rules' tests: what must fire,
# what must not, and what happens across a counter reset.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../stack/prometheus"

command -v promtool >/dev/null || {
    echo 'promtool is not installed: on Debian, apt-get install --no-install-recommends prometheus' >&2
    exit 1
}
promtool check config --lint=all --lint-fatal prometheus.yml
promtool check rules --lint=all --lint-fatal rules/*.yml
promtool test rules tests/*.yml
