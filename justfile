# The recipes of this repository; `just` alone lists them. Each is one command that works without just as well.

_list:
    @just --list --unsorted

# Build the release binary: target/<triple>/release/lab
build:
    cargo build --release --locked --package lab

# Build the executable for packages: target/<triple>/dist/lab
dist:
    cargo build --profile dist --locked

# Run the tests; they need neither Docker, root, a browser nor the network
test *ARGS:
    cargo test --locked {{ ARGS }}

# Check the formatting and the lints
lint:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings

# Measure the figures that this version promises; takes a minute, on a machine that does nothing else
bench:
    bench/figures.sh
    bench/views.sh

# Everything that CI runs
ci:
    .ci/run
