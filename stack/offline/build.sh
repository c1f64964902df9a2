#!/usr/bin/env bash
# Builds stand-ins for the official images of ../compose.yaml from Debian 12's packages, for machines that reach a Debian
# mirror and no image registry. They keep to the official images' conventions (entry point, environment, users, init
# folder, templates) as far as the stack relies on them, and carry the label lab.stand-in. Grafana has no stand-in.
#
#   build.sh [--force] [nginx|postgres|prometheus|rust ...]     default: the first three; what is there is left as it is
#
# rust is the base of ../../Dockerfile: this machine's own Rust and the crates that it has, so that the build needs no
# network. Needs a Docker daemon, mmdebstrap and root. LAB_OFFLINE_MIRROR: another mirror than mmdebstrap's own.

set -euo pipefail
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")"

suite=bookworm
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

# rootfs NAME PACKAGES [OPTION ...]: a small root file system as a tar, for `import`. It is whole before it becomes an image:
# Docker makes one of half a tar as well, and of none.
rootfs() {
    local name=$1 packages=$2 mirror=()
    shift 2
    [ -z "${LAB_OFFLINE_MIRROR:-}" ] || mirror=("$LAB_OFFLINE_MIRROR")
    mmdebstrap --quiet --variant=essential --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/javascript/*' \
        "$@" "$suite" "$folder/$name.tar" "${mirror[@]}"
}

# import NAME IMAGE CHANGE...: what `rootfs` made under NAME as an image.
import() {
    local tar=$folder/$1.tar image=$2 change changes=(--change "LABEL lab.stand-in=debian-12")
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
    # The official image's user has the uid 999. The cluster that Debian makes is not wanted, nor is compiling queries,
    # which takes most of the room. The folder of its socket has to be kept: /run is emptied else.
    # shellcheck disable=SC2016
    rootfs postgres postgresql-15 --skip=cleanup/run \
        --essential-hook='echo postgres:x:999: >>"$1/etc/group"' \
        --essential-hook='echo postgres:x:999:999:postgres:/var/lib/postgresql:/bin/bash >>"$1/etc/passwd"' \
        --customize-hook="copy-in postgres/docker-entrypoint.sh /usr/local/bin" \
        --customize-hook='chmod 755 "$1/usr/local/bin/docker-entrypoint.sh" && mkdir -p "$1/docker-entrypoint-initdb.d"' \
        --customize-hook="sed -i \"s/^#listen_addresses = 'localhost'/listen_addresses = '*'/\" \"\$1/usr/share/postgresql/15/postgresql.conf.sample\"" \
        --customize-hook='rm -rf "$1"/var/lib/postgresql/15 "$1"/etc/postgresql/15 "$1"/usr/lib/postgresql/15/lib/llvmjit* "$1"/usr/lib/postgresql/15/lib/bitcode "$1"/usr/lib/*/libLLVM* "$1"/usr/lib/*/libz3*' \
        --customize-hook='chroot "$1" install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data' \
        --customize-hook='chroot "$1" install -d -o postgres -g postgres -m 3777 /run/postgresql'
    import postgres "$1" 'ENTRYPOINT ["docker-entrypoint.sh"]' 'CMD ["postgres"]' 'EXPOSE 5432' \
        'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin' \
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

# Whether an image is there, and holds what it is for.
is_there() {
    local labels
    labels=$(docker image inspect --format '{{range $name, $value := .Config.Labels}}{{$name}}={{$value}} {{end}}' "$2" 2>/dev/null) || return 1
    # The official image has no such label, and reaches a registry of crates; a stand-in has to have these crates.
    case "$1 $labels" in
    "rust "*lab.stand-in=*) [[ $labels = *"$(crates_label)"* ]] ;;
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

force=
wanted=()
for argument in "$@"; do
    case $argument in
    --force) force=1 ;;
    nginx | postgres | prometheus | rust) wanted+=("$argument") ;;
    *)
        sed -n '2,9s/^# \{0,1\}//p' build.sh
        exit 2
        ;;
    esac
done
[ ${#wanted[@]} -gt 0 ] || wanted=(nginx postgres prometheus)

docker version --format '{{.Server.Version}}' >/dev/null 2>&1 || fail 'no Docker daemon answers'
jobs=()
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for name in "${wanted[@]}"; do
    image=$(image_of "$name")
    [ -n "$image" ] || fail "neither ../compose.yaml nor the Dockerfile has an image of $name"
    if [ -z "$force" ] && is_there "$name" "$image"; then
        say "$image is there"
        continue
    fi
    command -v mmdebstrap >/dev/null || fail 'mmdebstrap is not installed: apt-get install mmdebstrap'
    say "$image: building from Debian's packages"
    # In parallel: most of the time each waits for its downloads.
    (
        begun=$SECONDS
        # Not as the condition itself, in which a command that fails would not end the function.
        build "$name" "$image" >"$folder/$name" 2>&1 &
        if wait $!; then
            say "$image: built in $((SECONDS - begun)) s, $(docker image inspect --format '{{.Size}}' "$image" | awk '{ printf "%d MB", $1 / 1e6 }')"
        else
            sed "s|^|offline: $image: |" "$folder/$name" >&2
            fail "$image: not built"
        fi
    ) &
    jobs+=($!)
done
status=0
for job in "${jobs[@]}"; do wait "$job" || status=1; done
exit "$status"
