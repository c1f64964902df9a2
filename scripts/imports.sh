#!/usr/bin/env bash
# Holds the import table of ARCHITECTURE.md: which module may import which. Prints every violation as
# `file:line: what: rule` and exits 1; exits 0 where there is none. Code for tests is exempt.
#
#   scripts/imports.sh [FOLDER]     FOLDER holds src/; default: this repository

set -euo pipefail

root=${1:-"$(dirname "${BASH_SOURCE[0]}")/.."}
cd "$root"

# One row a module of src/: what it may import of the crate, itself aside. `engine` is the module without the engines in
# it, which have to be named; `a::B` is that item alone; `!a::B` is excluded; `*` is everything; `-` is nothing.
# "Plain data" of a module is named item by item: an addition to a list is a decision.
table='
main      cli commands
lib       -
cli       -
commands  *
runner    deadline scenario lab undo engine wire !wire::NetWire metrics event error::Exit
runner    traffic::Amount traffic::Load traffic::Orders traffic::Piece traffic::Reins traffic::Summary
runner    traffic::TrafficProgress traffic::reins
runner    alerts process !process::LocalProcesses
proof     scenario runner lab engine wire !wire::NetWire process !process::LocalProcesses event error::Exit traffic::Amount
report    event term files metrics::Series traffic::Arrivals traffic::CallerOutcome traffic::Cause traffic::Interval
report    traffic::Job traffic::Outcome traffic::Pace proof::Part proof::Proof proof::Verdict
scenario  engine::Ability engine::Endpoints engine::Roles engine::RunState engine::ServiceChange engine::ServiceSpec
scenario  engine::environment engine::APP engine::DB engine::GATEWAY engine::KEY_VARIABLE
scenario  event::MASK event::Phase event::Secrets metrics::names traffic::Amount yaml
undo      deadline lab engine event files
lab       background deadline engine engine::embedded engine::docker files stack
engine    deadline stack http files event error::Exit
engine/*  deadline engine alerts background board server stack http files event metrics error::Exit app::memory gateway::memory
engine/*  service::inbound
wire      traffic metrics http alerts::Monitor alerts::own engine::mock
alerts    metrics stack
live      alerts event files metrics
board     alerts event http live metrics server service::inbound
watch     alerts engine wire !wire::NetWire lab undo live event metrics term
watch     report::human report::text report::keys report::owed report::short_id report::status_name report::status_tone
metrics   -
process   -
background deadline files
deadline  -
traffic   files
http      deadline traffic::Cause
event     -
term      -
files     -
error     -
stack     files yaml
yaml      files
app       service error::Exit
gateway   service error::Exit
service   server error::Exit
server    -
'

# What else stands in one place only: a crate, or printing, and the files that may have it.
only='
clap           src/cli.rs src/cli
clap_complete  src/cli.rs src/cli
bollard        src/engine/docker/client
ratatui_core   src/term src/watch
print!         src/report src/commands src/main.rs
'

mapfile -t files < <(find src -name '*.rs' | LC_ALL=C sort)
[ "${#files[@]}" -gt 0 ] || { echo "imports: no Rust files under $PWD/src" >&2; exit 2; }

# shellcheck disable=SC2016  # the $ are awk's
awk -v table="$table" -v only="$only" '
BEGIN {
    n = split(table, rows, "\n")
    for (i = 1; i <= n; i++) {
        m = split(rows[i], words, " ")
        for (j = 2; j <= m; j++) may[words[1]] = may[words[1]] " " words[j]
    }
    n = split(only, rows, "\n")
    for (i = 1; i <= n; i++) {
        m = split(rows[i], words, " ")
        for (j = 2; j <= m; j++) place[words[1]] = place[words[1]] " " words[j]
    }
    split("docker embedded mock swarm", names, " ")
    for (i in names) is_engine[names[i]] = 1

    # Test-only modules are known once every file was read: the files are looked at twice.
    for (f = 1; f < ARGC; f++) code[f] = without_tests(without_text(slurp(ARGV[f])), ARGV[f])
    for (f = 1; f < ARGC; f++) if (!is_test(ARGV[f])) check(ARGV[f], code[f])
    if (bad) {
        printf "imports: %d violation%s of the table in scripts/imports.sh\n", bad, bad == 1 ? "" : "s"
        exit 1
    }
    printf "imports: %d files hold the table\n", ARGC - 1
    exit 0
}

function slurp(file,    text, line) {
    text = ""
    while ((getline line < file) > 0) text = text line "\n"
    close(file)
    return text
}

# Comments and the insides of strings, blanked; lines stay where they are.
function without_text(text,    i, n, c, two, out, state, hashes, close_at) {
    n = length(text); out = ""; state = ""
    for (i = 1; i <= n; i++) {
        c = substr(text, i, 1); two = substr(text, i, 2)
        if (state == "line") { if (c == "\n") state = ""; out = out (c == "\n" ? c : " "); continue }
        if (state == "string") {
            if (c == "\\") { i++; out = out " " (substr(text, i, 1) == "\n" ? "\n" : " "); continue }
            if (c == "\"") state = ""
            out = out (c == "\n" ? c : " "); continue
        }
        if (state == "raw") {
            if (substr(text, i, length(close_at)) == close_at) { i += length(close_at) - 1; state = "" }
            out = out (c == "\n" ? c : " "); continue
        }
        if (state == "block") {
            if (two == "*/") { i++; out = out " "; state = "" }
            out = out (c == "\n" ? c : " "); continue
        }
        if (two == "//") { state = "line"; out = out " "; continue }
        if (two == "/*") { state = "block"; out = out " "; continue }
        if (c == "r" && match(substr(text, i, 12), /^r#*"/) && !(substr(text, i - 1, 1) ~ /[A-Za-z0-9_]/ && substr(text, i - 1, 1) != "b")) {
            hashes = substr(text, i + 1, RLENGTH - 2); close_at = "\"" hashes
            i += RLENGTH - 1; out = out " "; state = "raw"; continue
        }
        if (c == "\"") { state = "string"; out = out " "; continue }
        if (c == "\047" && match(substr(text, i, 12), /^\047(\\[^u]|\\u\{[0-9A-Fa-f]+\}|\\x[0-9A-Fa-f][0-9A-Fa-f]|[^\\\047])\047/)) {
            i += RLENGTH - 1; out = out " "; continue
        }
        out = out c
    }
    return out
}

# What follows #[cfg(test)], blanked; `mod name;` under it makes that file one for tests.
function without_tests(text, file,    at, i, n, c, depth, head, out, folder) {
    out = ""
    while ((at = index(text, "#[cfg(test)]")) > 0) {
        out = out substr(text, 1, at - 1); text = substr(text, at + 12)
        n = length(text); depth = 0; head = ""
        for (i = 1; i <= n; i++) {
            c = substr(text, i, 1)
            if (c == "\n") out = out c
            if (c == "{") depth++
            if (depth == 0 && c != ";") head = head c
            if (c == "}" && --depth == 0 && head !~ /(^|[ \n])use /) break
            if (c == ";" && depth == 0) {
                if (match(head, /mod [a-z_0-9]+ *$/)) {
                    folder = file; sub(/(\/mod)?\.rs$/, "", folder)
                    sub(/mod /, "", head); gsub(/.*[ \n]/, "", head); sub(/^pub\(crate\)/, "", head)
                    test_file[folder "/" head ".rs"] = 1; test_folder[folder "/" head "/"] = 1
                }
                break
            }
        }
        text = substr(text, i + 1)
    }
    return out text
}

function is_test(file,    folder) {
    if (file in test_file || file ~ /(^|\/)tests(\.rs$|\/)/) return 1
    for (folder in test_folder) if (index(file, folder) == 1) return 1
    return 0
}

function check(file, text,    path, n, parts) {
    path = file; sub(/^src\//, "", path); sub(/\.rs$/, "", path); sub(/\/mod$/, "", path)
    depth = split(path, here, "/")
    unit = here[1]
    if (here[1] == "engine" && depth > 1 && here[2] in is_engine) unit = "engine/" here[2]
    if (unit == "lib" || unit == "main") depth = 0
    row = unit ~ /^engine\// ? "engine/*" : unit
    this = file
    if (!(row in may)) { say(1, "the module " row " has no row: say what it may import"); return }
    paths(text)
    places(text)
}

function line_of(text, at,    head) { head = substr(text, 1, at - 1); return gsub(/\n/, "", head) + 1 }

# Every path that begins at the crate, or leaves the module through `super`.
function paths(text,    at, rest, start, word, ups, base, i) {
    rest = text; at = 0
    while (match(rest, /(crate|super|lab)::/)) {
        start = at + RSTART
        word = substr(rest, RSTART, RLENGTH - 2)
        at += RSTART + RLENGTH - 1
        rest = substr(text, at + 1)
        if (substr(text, start - 1, 1) ~ /[A-Za-z0-9_:]/) continue
        if (word == "lab" && unit != "main") continue
        base = ""
        if (word == "super") {
            ups = 1
            while (substr(rest, 1, 7) == "super::") { ups++; at += 7; rest = substr(text, at + 1) }
            for (i = 1; i <= depth - ups; i++) base = base (i > 1 ? "::" : "") here[i]
        }
        source = text; pos = at + 1; where = line_of(text, start)
        tree(base)
    }
}

function skip() { while (substr(source, pos, 1) ~ /[ \n\t]/) pos++ }

# A use tree, or a path in an expression, from `pos` on.
function tree(prefix,    name) {
    skip()
    if (substr(source, pos, 1) == "{") {
        pos++; skip()
        while (pos <= length(source) && substr(source, pos, 1) != "}") {
            tree(prefix)
            while (pos <= length(source) && substr(source, pos, 1) !~ /[,}]/) pos++
            if (substr(source, pos, 1) == ",") pos++
            skip()
        }
        pos++
        return
    }
    if (!match(substr(source, pos, 80), /^([A-Za-z_][A-Za-z0-9_]*|\*)/)) { import(prefix); return }
    name = substr(source, pos, RLENGTH); pos += RLENGTH
    if (name == "self") { import(prefix); return }
    name = prefix == "" ? name : prefix "::" name
    if (substr(source, pos, 2) == "::") { pos += 2; tree(name); return }
    import(name)
}

function begins(path, entry) { return path == entry || index(path, entry "::") == 1 }

function import(path,    n, words, i, segments, other, ok) {
    n = split(path, segments, "::")
    other = n > 1 && segments[1] == "engine" && segments[2] in is_engine ? segments[2] : ""
    if (unit == "engine/" other) return
    if (segments[1] == here[1] && other == "") return
    n = split(may[row], words, " "); ok = 0
    for (i = 1; i <= n; i++) {
        if (words[i] == "*") ok = 1
        if (substr(words[i], 1, 1) == "!" && begins(path, substr(words[i], 2))) { ok = 0; break }
        if (begins(path, words[i]) && (other == "" || words[i] != "engine")) ok = 1
    }
    if (!ok) say(where, "imports " path ": " row " may import" (may[row] == " -" ? " nothing of the crate" : may[row]))
}

# Crates, and printing, that belong into one place.
function places(text,    what, pattern, rest, at, ok, n, words, i, start) {
    for (what in place) {
        n = split(place[what], words, " "); ok = 0
        for (i = 1; i <= n; i++) if (this == words[i] || index(this, words[i] "/") == 1) ok = 1
        if (ok) continue
        pattern = what == "print!" ? "e?print(ln)?!" : what "(::|;| as )"
        rest = text; at = 0
        while (match(rest, pattern)) {
            start = at + RSTART; at += RSTART + RLENGTH - 1; rest = substr(text, at + 1)
            if (substr(text, start - 1, 1) ~ /[A-Za-z0-9_:.]/) continue
            say(line_of(text, start), (what == "print!" ? "prints" : "uses " what) ": only in" place[what])
        }
    }
}

function say(line, text) { printf "%s:%d: %s\n", this, line, text; bad++ }
' "${files[@]}"
