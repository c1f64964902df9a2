# Recipes of this repository; `just` lists them. Each one is a plain command that also works without just.

_list:
    @just --list --unsorted

# Build the release binary: target/<triple>/release/lab
build:
    cargo build --release --locked --package lab

# Build the optimised binary for packages: target/<triple>/dist/lab
dist:
    cargo build --profile dist --locked

# Run the tests (no Docker, root, browser or network required)
test *ARGS:
    cargo test --locked {{ ARGS }}

# Check formatting and lints
lint:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings

# Measure the performance targets (takes two minutes on an idle machine)
bench:
    bench/figures.sh
    bench/views.sh

# Run everything that CI runs
ci:
    .ci/run
