#!/usr/bin/env bash
# Provides packages of a different Debian suite than this machine's, without installing them.
#
#   scripts/debian.sh mirror                           prints the mirror
#   scripts/debian.sh keyring                          prints the file with the archive's keys
#   scripts/debian.sh root SUITE FOLDER PACKAGE...     unpacks packages and their dependencies into FOLDER, if it does not exist
#   scripts/debian.sh unpack SUITE FOLDER PACKAGE...   the same without dependencies
#
# Packages are verified with the keys of Debian 13's debian-archive-keyring, which is verified with this machine's keys. The
# date of a suite's Release file is not checked, because a frozen mirror serves one that has expired.
# LAB_OFFLINE_MIRROR sets the mirror (default: the one of this machine's apt). Requires apt and, for `root`, mmdebstrap as root.

set -euo pipefail

keys=/usr/share/keyrings/debian-archive-keyring.gpg
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lab-debian
fail() {
    printf 'debian: %s\n' "$*" >&2
    exit 1
}

mirror() {
    local mirror=${LAB_OFFLINE_MIRROR:-}
    # The main archive, not the security updates.
    # shellcheck disable=SC2016  # expanded by apt
    [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -m 1 -E '/debian/?$' || true)
    [ -n "$mirror" ] || fail 'apt has no Debian mirror configured: set LAB_OFFLINE_MIRROR'
    echo "$mirror"
}

# unpack KEYRING SUITE FOLDER PACKAGE...
unpack() {
    local keyring=$1 suite=$2 folder=$3 options
    shift 3
    # FOLDER is created atomically.
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

# replace NEW OLD: with concurrent calls, one of the results wins.
replace() {
    mkdir -p "$(dirname "$2")"
    rm -rf "$2"
    mv -T "$1" "$2" 2>/dev/null || [ -d "$2" ] || fail "cannot create $2"
}

keyring() {
    local newer="$cache/keyring/usr/share/keyrings/debian-archive-keyring.gpg"
    [ -r "$keys" ] || fail "$keys does not exist: apt-get install debian-archive-keyring"
    # If Debian 13 is not available, fall back to this machine's keys.
    [ -r "$newer" ] || (unpack "$keys" trixie "$cache/keyring" debian-archive-keyring) >/dev/null || newer=$keys
    echo "$newer"
}

# root SUITE FOLDER PACKAGE...
root() {
    local suite=$1 folder=$2 IFS=,
    shift 2
    command -v mmdebstrap >/dev/null || fail 'mmdebstrap is not installed: apt-get install mmdebstrap'
    mkdir -p "$(dirname "$folder")"
    # Not below /tmp, which may be mounted noexec.
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
    [ $# -ge 4 ] || fail "$1 needs a suite, a folder and packages"
    if [ -d "$3" ]; then exit 0; fi
    if [ "$1" = root ]; then root "${@:2}"; else unpack "$(keyring)" "${@:2}"; fi
    ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
