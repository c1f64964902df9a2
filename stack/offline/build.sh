#!/usr/bin/env bash
# Builds stand-ins for the official images of ../compose.yaml from Debian packages, for machines that reach a Debian
# mirror and no image registry. They keep to the official images' conventions (entry point, environment, users, init
# folder, templates) as far as the stack relies on them. The label lab.stand-in holds the Debian suite: for each image the
# one whose version is closest to the official image's, or Debian 12 if that suite cannot be had. Grafana has no stand-in.
#
#   build.sh [--force] [--suite SUITE] [nginx|postgres|prometheus|rust ...]
#
# Default: the first three. An image that exists is kept, unless it is a stand-in from another suite. --suite takes all from
# one suite, such as bookworm. rust is the base of ../../Dockerfile: this machine's own Rust and the crates that it has, so
# that the build needs no network. Needs a Docker daemon, mmdebstrap and root. LAB_OFFLINE_MIRROR: another Debian mirror than
# the one of this machine's apt.

set -euo pipefail
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")"

# The suite of each image. forky, in development, has nginx 1.30 and Prometheus 3; trixie, Debian 13, has PostgreSQL 17.
suite_of() {
    [ -z "$suite" ] || { echo "$suite" && return; }
    case $1 in
    nginx | prometheus) echo forky ;;
    postgres) echo trixie ;;
    rust) echo "$fallback" ;;
    esac
}
fallback=bookworm
# What each is called stands in one place: the compose file, the Dockerfile.
image_of() {
    case $1 in
    rust) sed -n 's/^ARG RUST_IMAGE=//p' ../../Dockerfile ;;
    *) sed -n "s|^ *image: *\"\{0,1\}\(\(prom/\)\{0,1\}$1:[^\" #]*\).*|\1|p" ../compose.yaml | head -n 1 ;;
    esac
}
say() { printf 'offline: %s\n' "$*"; }
fail() {
    printf 'offline: %s\n' "$*" >&2
    exit 1
}

# rootfs NAME PACKAGES [OPTION ...]: a small root file system as a tar, for `import`, from the suite in $from. The tar is
# complete before it becomes an image: Docker also imports half a tar, and none.
rootfs() {
    local name=$1 packages=$2
    shift 2
    mmdebstrap --quiet --variant=essential --include="$packages" --keyring="$keyring" \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/javascript/*' \
        "$@" "$from" "$folder/$name.tar" "deb $mirror $from main"
}

# import NAME IMAGE CHANGE...: what `rootfs` made under NAME as an image.
import() {
    local tar=$folder/$1.tar image=$2 change changes=(--change "LABEL lab.stand-in=debian-$from")
    shift 2
    for change in "$@"; do changes+=(--change "$change"); done
    docker import --message 'stand-in from Debian packages' "${changes[@]}" "$tar" "$image" >/dev/null
    rm "$tar"
}

build_nginx() {
    # The official image's user has the uid 101. Its main file includes conf.d alone.
    # shellcheck disable=SC2016  # $1 is the hook's
    rootfs nginx nginx-light,gettext-base,curl \
        --essential-hook='echo nginx:x:101: >>"$1/etc/group"' \
        --essential-hook='echo nginx:x:101:101:nginx:/nonexistent:/bin/false >>"$1/etc/passwd"' \
        --customize-hook="copy-in nginx/docker-entrypoint.sh /" \
        --customize-hook="copy-in nginx/nginx.conf /etc/nginx" \
        --customize-hook='chmod 755 "$1/docker-entrypoint.sh" && mkdir -p "$1/docker-entrypoint.d" "$1/var/cache/nginx"' \
        --customize-hook='ln -sf /dev/stdout "$1/var/log/nginx/access.log" && ln -sf /dev/stderr "$1/var/log/nginx/error.log"'
    import nginx "$1" 'ENTRYPOINT ["/docker-entrypoint.sh"]' 'CMD ["nginx", "-g", "daemon off;"]' 'EXPOSE 80'
}

build_postgres() {
    local version
    case $from in
    bookworm) version=15 ;;
    trixie) version=17 ;;
    *) version=18 ;;
    esac
    # The official image's user has the uid 999. The cluster that Debian makes is not wanted, nor is compiling queries,
    # which takes most of the room. The folder of its socket has to be kept: /run is emptied else.
    # shellcheck disable=SC2016
    rootfs postgres "postgresql-$version" --skip=cleanup/run \
        --essential-hook='echo postgres:x:999: >>"$1/etc/group"' \
        --essential-hook='echo postgres:x:999:999:postgres:/var/lib/postgresql:/bin/bash >>"$1/etc/passwd"' \
        --customize-hook="copy-in postgres/docker-entrypoint.sh /usr/local/bin" \
        --customize-hook='chmod 755 "$1/usr/local/bin/docker-entrypoint.sh" && mkdir -p "$1/docker-entrypoint-initdb.d"' \
        --customize-hook="sed -i \"s/^#listen_addresses = 'localhost'/listen_addresses = '*'/\" \"\$1/usr/share/postgresql/$version/postgresql.conf.sample\"" \
        --customize-hook='rm -rf "$1"/var/lib/postgresql/1* "$1"/etc/postgresql/1* "$1"/usr/lib/postgresql/*/lib/llvmjit* "$1"/usr/lib/postgresql/*/lib/bitcode "$1"/usr/lib/*/libLLVM* "$1"/usr/lib/*/libz3*' \
        --customize-hook='chroot "$1" install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data' \
        --customize-hook='chroot "$1" install -d -o postgres -g postgres -m 3777 /run/postgresql'
    import postgres "$1" 'ENTRYPOINT ["docker-entrypoint.sh"]' 'CMD ["postgres"]' 'EXPOSE 5432' \
        'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/'"$version/bin" \
        'ENV LANG=C.UTF-8' 'ENV PGDATA=/var/lib/postgresql/data' 'VOLUME /var/lib/postgresql/data'
}

build_prometheus() {
    # shellcheck disable=SC2016
    rootfs prometheus prometheus \
        --customize-hook='rm -rf "$1"/var/lib/prometheus "$1"/etc/prometheus/*' \
        --customize-hook='install -d -o 65534 -g 65534 "$1/prometheus"'
    import prometheus "$1" 'ENTRYPOINT ["/bin/prometheus"]' 'EXPOSE 9090' 'USER nobody' 'WORKDIR /prometheus' 'VOLUME /prometheus' \
        'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]'
}

# What the crates in the image are for.
crates_label() { printf 'lab.crates=%s' "$(sha256sum ../../Cargo.lock | cut -c 1-16)"; }

# The toolchain is one image, the crates a layer on it: another Cargo.lock takes seconds.
build_rust() {
    local toolchain base registry
    toolchain=$(rustc --print sysroot)
    base=lab-rust:$(rustc --version | cut -d ' ' -f 2)
    # Where cargo keeps what it fetched; it fetches what is missing.
    cargo fetch --locked --quiet --manifest-path ../../Cargo.toml
    registry=${CARGO_HOME:-$HOME/.cargo}/registry
    if [ -n "$force" ] || ! docker image inspect "$base" >/dev/null 2>&1; then
        # shellcheck disable=SC2016
        rootfs rust gcc,libc6-dev,ca-certificates \
            --customize-hook='mkdir "$1/usr/local/rust"' \
            --customize-hook="tar -C '$toolchain' -cf - bin lib | tar -C \"\$1/usr/local/rust\" -xf -"
        import rust "$base" 'ENV PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
            'ENV CARGO_HOME=/usr/local/cargo' 'ENV CARGO_NET_OFFLINE=true'
    fi
    printf 'FROM %s\nCOPY registry /usr/local/cargo/registry\n' "$base" >"$folder/Dockerfile"
    tar -C "$folder" -cf - Dockerfile -C "${registry%/registry}" registry/cache registry/index |
        docker build --quiet --label "$(crates_label)" --tag "$1" - >/dev/null
}

labels_of() {
    docker image inspect --format '{{range $name, $value := .Config.Labels}}{{$name}}={{$value}} {{end}}' "$1" 2>/dev/null
}

# Whether an image exists and is the one that is wanted: the official one, or a stand-in from the suite in $from.
is_current() {
    local labels
    labels=$(labels_of "$2") || return 1
    case "$1 $labels" in
    # The official image has no such label, and reaches a registry of crates; a stand-in has to have these crates.
    "rust "*lab.stand-in=*) [[ $labels = *"$(crates_label)"* ]] ;;
    *lab.stand-in=*) [[ $labels = *"lab.stand-in=debian-$from "* ]] ;;
    esac
}

# build NAME IMAGE
build() {
    case $1 in
    rust) build_rust "$2" ;;
    nginx) build_nginx "$2" ;;
    postgres) build_postgres "$2" ;;
    prometheus) build_prometheus "$2" ;;
    esac
}

# attempt NAME IMAGE: builds from the suite in $from.
attempt() {
    local begun=$SECONDS
    say "$2: building from the packages of Debian $from"
    # Not as the condition itself: `set -e` does not apply in a condition.
    build "$1" "$2" >"$folder/$1" 2>&1 &
    if wait $!; then
        say "$2: built in $((SECONDS - begun)) s, $(docker image inspect --format '{{.Size}}' "$2" | awk '{ printf "%d MB", $1 / 1e6 }')"
    else
        sed "s|^|offline: $2: |" "$folder/$1" >&2
        return 1
    fi
}

# provide NAME IMAGE: an image from the suite in $from, or from the fallback.
provide() {
    if attempt "$1" "$2"; then return; fi
    [ -z "$suite" ] && [ "$from" != "$fallback" ] || fail "$2: not built"
    if [ -z "$force" ] && [[ "$(labels_of "$2")" = *lab.stand-in=* ]]; then
        say "$2: not built from Debian $from; the existing stand-in is kept"
        return
    fi
    say "$2: not built from Debian $from; trying Debian $fallback, whose version is older than the official image's"
    from=$fallback
    attempt "$1" "$2" || fail "$2: not built"
}

force='' suite=''
wanted=()
while [ $# -gt 0 ]; do
    case $1 in
    --force) force=1 ;;
    --suite)
        suite=${2:-}
        [ -n "$suite" ] || fail '--suite needs the name of a Debian suite, such as bookworm'
        shift
        ;;
    nginx | postgres | prometheus | rust) wanted+=("$1") ;;
    *)
        sed -n '2,14s/^# \{0,1\}//p' build.sh
        exit 2
        ;;
    esac
    shift
done
[ ${#wanted[@]} -gt 0 ] || wanted=(nginx postgres prometheus)

docker version --format '{{.Server.Version}}' >/dev/null 2>&1 || fail 'no Docker daemon answers'
jobs=()
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mirror='' keyring=''
for name in "${wanted[@]}"; do
    image=$(image_of "$name")
    [ -n "$image" ] || fail "neither ../compose.yaml nor the Dockerfile has an image of $name"
    from=$(suite_of "$name")
    if [ -z "$force" ] && is_current "$name" "$image"; then
        say "$image is there"
        continue
    fi
    command -v mmdebstrap >/dev/null || fail 'mmdebstrap is not installed: apt-get install mmdebstrap'
    [ -n "$mirror" ] || { mirror=$(../../scripts/debian.sh mirror) && keyring=$(../../scripts/debian.sh keyring); }
    # In parallel: most of the time each waits for its downloads.
    provide "$name" "$image" &
    jobs+=($!)
done
status=0
for job in "${jobs[@]}"; do wait "$job" || status=1; done
exit "$status"
