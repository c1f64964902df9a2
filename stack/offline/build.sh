#!/usr/bin/env bash
# Builds stand-ins for the official images in ../compose.yaml from Debian packages, for machines with access to a Debian
# mirror but not to an image registry. They follow the conventions of the official images (entry point, environment, users,
# init folder, templates) as far as the stack relies on them. The label lab.stand-in is the Debian suite: the one whose version
# is closest to the official image, or Debian 12 if that suite is not available. There is no stand-in for Grafana.
#
#   build.sh [--force] [--suite SUITE] [nginx|postgres|prometheus|rust ...]
#
# Default: the first three. Existing images are kept, except stand-ins from another suite. --suite uses one suite for all,
# such as bookworm. rust is the base image of ../../Dockerfile: this machine's Rust toolchain and downloaded crates, so
# that the build needs no network. Requires a Docker daemon, mmdebstrap and root. LAB_OFFLINE_MIRROR sets a different Debian
# mirror than the one of this machine's apt.

set -euo pipefail
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")"

# suite_of NAME: forky (in development) has nginx 1.30 and Prometheus 3; trixie (Debian 13) has PostgreSQL 17.
suite_of() {
    [ -z "$suite" ] || { echo "$suite" && return; }
    case $1 in
    nginx | prometheus) echo forky ;;
    postgres) echo trixie ;;
    rust) echo "$fallback" ;;
    esac
}
fallback=bookworm
# image_of NAME: the image name in the compose file or the Dockerfile.
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

# rootfs NAME PACKAGES [OPTION ...]: builds a small root file system as a tar for `import`, from the suite in $from. The tar
# must be complete first, because Docker would also import a truncated or an empty one.
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

# import NAME IMAGE CHANGE...: creates an image from the tar that `rootfs` built.
import() {
    local tar=$folder/$1.tar image=$2 change changes=(--change "LABEL lab.stand-in=debian-$from")
    shift 2
    for change in "$@"; do changes+=(--change "$change"); done
    docker import --message 'stand-in from Debian packages' "${changes[@]}" "$tar" "$image" >/dev/null
    rm "$tar"
}

build_nginx() {
    # The official image's user has the uid 101. Its main configuration file includes only conf.d.
    # shellcheck disable=SC2016  # $1 is expanded by the hook
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
    # The official image's user has the uid 999. Debian's default cluster is removed, and so is JIT compilation, which takes
    # most of the space. The folder of the socket must be kept; otherwise /run is emptied.
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

# Identifies the Cargo.lock whose crates are in the image.
crates_label() { printf 'lab.crates=%s' "$(sha256sum ../../Cargo.lock | cut -c 1-16)"; }

# The toolchain is one image and the crates are a layer on top, so a changed Cargo.lock takes seconds.
build_rust() {
    local toolchain base registry
    toolchain=$(rustc --print sysroot)
    base=lab-rust:$(rustc --version | cut -d ' ' -f 2)
    # Downloads missing crates into cargo's registry folder.
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

# is_current NAME IMAGE: succeeds if the image exists and is either the official one or a stand-in from the suite in $from.
is_current() {
    local labels
    labels=$(labels_of "$2") || return 1
    case "$1 $labels" in
    # The official image has no such label and downloads crates. A stand-in must contain the crates of this Cargo.lock.
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

# attempt NAME IMAGE: builds an image from the suite in $from, and reports the result.
attempt() {
    local begun=$SECONDS
    say "$2: building from the packages of Debian $from"
    # Not as the condition itself, because `set -e` has no effect in a condition.
    build "$1" "$2" >"$folder/$1" 2>&1 &
    if wait $!; then
        say "$2: built in $((SECONDS - begun)) s, $(docker image inspect --format '{{.Size}}' "$2" | awk '{ printf "%d MB", $1 / 1e6 }')"
    else
        sed "s|^|offline: $2: |" "$folder/$1" >&2
        return 1
    fi
}

# provide NAME IMAGE: builds an image from the suite in $from, or from the fallback.
provide() {
    if attempt "$1" "$2"; then return; fi
    [ -z "$suite" ] && [ "$from" != "$fallback" ] || fail "$2: not built"
    if [ -z "$force" ] && [[ "$(labels_of "$2")" = *lab.stand-in=* ]]; then
        say "$2: not built from Debian $from; the existing stand-in is kept"
        return
    fi
    say "$2: not built from Debian $from; trying Debian $fallback, which has an older version than the official image"
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
        [ -n "$suite" ] || fail '--suite needs a Debian suite, such as bookworm'
        shift
        ;;
    nginx | postgres | prometheus | rust) wanted+=("$1") ;;
    *)
        sed -n '2,12s/^# \{0,1\}//p' build.sh
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
    [ -n "$image" ] || fail "neither ../compose.yaml nor the Dockerfile names an image for $name"
    from=$(suite_of "$name")
    if [ -z "$force" ] && is_current "$name" "$image"; then
        say "$image exists"
        continue
    fi
    command -v mmdebstrap >/dev/null || fail 'mmdebstrap is not installed: apt-get install mmdebstrap'
    [ -n "$mirror" ] || { mirror=$(../../scripts/debian.sh mirror) && keyring=$(../../scripts/debian.sh keyring); }
    # In parallel, because each one mostly waits for downloads.
    provide "$name" "$image" &
    jobs+=($!)
done
status=0
for job in "${jobs[@]}"; do wait "$job" || status=1; done
exit "$status"
