#!/usr/bin/env bash
# Shows that scripts/imports.sh can fail: plants violations in a small tree, one at a time, and expects each to be found
# at its file and line, and everything that is allowed to be let through.

set -euo pipefail

script="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/imports.sh"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

# A tree of one file; the text comes on standard input.
plant() {
    rm -rf "$folder/src"
    mkdir -p "$folder/src/$(dirname "$1")"
    cat > "$folder/src/$1"
}

# $1: the file; $2: its first output line; text on stdin.
refused() {
    plant "$1"
    local out
    if out=$("$script" "$folder"); then
        echo "imports_test: not found in $1: $2"
        failed=1
    elif [ "$(head -n 1 <<<"$out" | cut -c "1-${#2}")" != "$2" ]; then
        printf 'imports_test: in %s expected\n  %s\nsaw\n  %s\n' "$1" "$2" "$out"
        failed=1
    fi
}

allowed() {
    plant "$1"
    local out
    if ! out=$("$script" "$folder"); then
        printf 'imports_test: refused in %s:\n%s\n' "$1" "$out"
        failed=1
    fi
}

refused report/table.rs 'src/report/table.rs:2: imports runner::Signal: report may import' <<<$'//! x\nuse crate::runner::Signal;'
refused report/table.rs 'src/report/table.rs:1: imports lab: ' <<<'use crate::{event::Event, lab};'
refused report/table.rs 'src/report/table.rs:1: imports engine::Engine: ' <<<$'use crate::{\n    event::{self, Event},\n    engine::Engine,\n};'
refused report/mod.rs 'src/report/mod.rs:1: imports undo::pending: ' <<<'fn x() { super::undo::pending(); }'
refused report/table.rs 'src/report/table.rs:1: imports traffic::client::Client: ' <<<'use crate::traffic::client::Client;'
refused runner/act.rs 'src/runner/act.rs:1: imports wire::NetWire: ' <<<'use crate::wire::{NetWire, Wire};'
refused runner/act.rs 'src/runner/act.rs:1: imports engine::embedded::Embedded: ' <<<'use crate::engine::embedded::Embedded;'
refused runner/act.rs 'src/runner/act.rs:1: imports *: ' <<<'use crate::*;'
refused engine/embedded/call.rs 'src/engine/embedded/call.rs:1: imports engine::docker::Client: ' <<<'use super::super::docker::Client;'
refused engine/docker/mod.rs 'src/engine/docker/mod.rs:1: imports engine::embedded: ' <<<'use crate::engine::{APP, embedded};'
refused engine/mod.rs 'src/engine/mod.rs:1: imports engine::embedded::NAME: ' <<<'fn x() -> &str { crate::engine::embedded::NAME }'
refused app/mod.rs 'src/app/mod.rs:1: imports metrics::names: app may import service error::Exit' <<<'use crate::metrics::names;'
refused service/log.rs 'src/service/log.rs:1: imports error::Failure: ' <<<'use crate::error::{Exit, Failure};'
refused gateway/mod.rs 'src/gateway/mod.rs:1: imports error: ' <<<'use crate::error;'
refused novel/mod.rs 'src/novel/mod.rs:1: the module novel has no row' <<<'use crate::event::Event;'
refused commands/up.rs 'src/commands/up.rs:1: uses clap: only in src/cli.rs src/cli' <<<'use clap::Parser;'
refused lab.rs 'src/lab.rs:1: uses bollard: only in src/engine/docker/client' <<<'use bollard::Docker;'
refused report/live.rs 'src/report/live.rs:1: uses ratatui_core: only in src/term src/watch' <<<'use ratatui_core::layout::Rect;'
refused watch/source.rs 'src/watch/source.rs:1: imports wire::NetWire: ' <<<'use crate::wire::{NetWire, Wire};'
refused runner/mod.rs 'src/runner/mod.rs:1: prints: only in' <<<'fn x() { eprintln!("x"); }'
refused main.rs 'src/main.rs:1: imports engine::port: ' <<<'use lab::engine::port;'
refused event.rs 'src/event.rs:3: imports lab::Lab: event may import nothing' <<<$'#[cfg(test)]\nmod tests { use crate::lab::Lab; }\nuse crate::lab::Lab;'
refused event.rs 'src/event.rs:1: imports lab::Lab: ' <<<"const QUOTE: char = '\"'; use crate::lab::Lab; const OTHER: char = '\"';"

allowed commands/up.rs <<<$'use crate::{engine::embedded, lab::Lab};\nfn x() { println!("x"); }'
allowed report/mod.rs <<<$'use super::event::Event;\nuse crate::report::table::Table;\n/// [`crate::lab::Lab`], eprintln!\nfn x() { out("crate::lab::Lab \\" println!"); }'
allowed event.rs <<<$'#[cfg(test)]\nmod tests {\n    use crate::lab::Lab;\n    fn x() { println!("}"); }\n}'
allowed metrics/tests.rs <<<'use crate::lab::Lab;'
allowed cli.rs <<<'use clap::{Args, Parser};'
allowed cli/traffic.rs <<<'use clap::Args;'
allowed engine/embedded/host/app.rs <<<'use crate::engine::embedded::child::Child; use super::super::log::Log; use crate::engine::{APP, EngineError};'
allowed lab.rs <<<'use crate::engine::embedded::{self, Embedded};'
allowed main.rs <<<'use lab::cli::Cli; fn x() { lab::commands::run(); eprintln!("x"); }'

[ "$failed" = 0 ] && echo "imports_test: scripts/imports.sh finds what it should, and no more"
exit "$failed"
