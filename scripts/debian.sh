#!/usr/bin/env bash
# Packages of another Debian suite than this machine's, without installing them.
#
#   scripts/debian.sh mirror                           prints the mirror
#   scripts/debian.sh keyring                          prints the file with the archive's keys
#   scripts/debian.sh root SUITE FOLDER PACKAGE...     unpacks packages and their dependencies into FOLDER, unless it holds them
#   scripts/debian.sh unpack SUITE FOLDER PACKAGE...   the same for the packages alone
#
# Packages are verified with the keys of Debian 13's debian-archive-keyring, itself verified with this machine's keys. The date
# of a suite's Release file is not checked: a mirror that is frozen in time serves one that has expired.
# LAB_OFFLINE_MIRROR names the mirror; default: the one of this machine's apt. Needs apt and, for `root`, mmdebstrap as root.

set -euo pipefail

keys=/usr/share/keyrings/debian-archive-keyring.gpg
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lab-debian
fail() {
    printf 'debian: %s\n' "$*" >&2
    exit 1
}

mirror() {
    local mirror=${LAB_OFFLINE_MIRROR:-}
    # The archive itself, not its security updates.
    # shellcheck disable=SC2016  # it is apt's
    [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -m 1 -E '/debian/?$' || true)
    [ -n "$mirror" ] || fail 'apt has no Debian mirror configured: name one in LAB_OFFLINE_MIRROR'
    echo "$mirror"
}

# unpack KEYRING SUITE FOLDER PACKAGE...
unpack() {
    local keyring=$1 suite=$2 folder=$3 options
    shift 3
    # FOLDER appears when it is complete.
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work"/{lists/partial,cache/archives/partial,debs,root}
    echo "deb [signed-by=$keyring] $(mirror) $suite main" >"$work/sources.list"
    options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root
        -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3)
    apt-get "${options[@]}" update
    (cd "$work/debs" && apt-get "${options[@]}" download "$@")
    for package in "$work"/debs/*.deb; do dpkg --extract "$package" "$work/root"; done
    replace "$work/root" "$folder"
}

# replace NEW OLD: concurrent calls end with one of the results.
replace() {
    mkdir -p "$(dirname "$2")"
    rm -rf "$2"
    mv -T "$1" "$2" 2>/dev/null || [ -d "$2" ] || fail "$2 cannot be made"
}

keyring() {
    local newer="$cache/keyring/usr/share/keyrings/debian-archive-keyring.gpg"
    [ -r "$keys" ] || fail "there is no $keys: apt-get install debian-archive-keyring"
    # Without Debian 13 in reach, this machine's own keys are all there is.
    [ -r "$newer" ] || (unpack "$keys" trixie "$cache/keyring" debian-archive-keyring) >/dev/null || newer=$keys
    echo "$newer"
}

# root SUITE FOLDER PACKAGE...
root() {
    local suite=$1 folder=$2 IFS=,
    shift 2
    command -v mmdebstrap >/dev/null || fail 'mmdebstrap is not installed: apt-get install mmdebstrap'
    mkdir -p "$(dirname "$folder")"
    # Not below /tmp: an executable of it is to run, and /tmp may forbid that.
    work=$(mktemp -d "$folder.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    mmdebstrap --quiet --variant=extract --include="$*" --aptopt='Acquire::Check-Valid-Until "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --keyring="$(keyring)" "$suite" "$work/root" "deb $(mirror) $suite main"
    replace "$work/root" "$folder"
}

case ${1:-} in
mirror | keyring) "$1" ;;
root | unpack)
    [ $# -ge 4 ] || fail "$1 takes a suite, a folder and packages"
    if [ -d "$3" ]; then exit 0; fi
    if [ "$1" = root ]; then root "${@:2}"; else unpack "$(keyring)" "${@:2}"; fi
    ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
