#!/bin/sh
# Entry point of the stand-in for the official nginx image. It supports the same scripts folder and the same templates
# (NGINX_ENVSUBST_TEMPLATE_DIR, _TEMPLATE_SUFFIX, _OUTPUT_DIR, _FILTER; not those for streams), then runs the command.
set -e

# Generates a file from every template, replacing only variables that are set in the environment.
templates() {
    from=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
    suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
    to=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}
    [ -d "$from" ] || return 0
    if [ ! -w "$to" ]; then
        echo "$0: $to cannot be written: no templates" >&2
        return 0
    fi
    names=$(awk -v filter="${NGINX_ENVSUBST_FILTER:-}" \
        'BEGIN { for (name in ENVIRON) if (name ~ filter) printf "${%s} ", name }')
    find "$from" -follow -type f -name "*$suffix" | while read -r template; do
        file=${template#"$from/"}
        file=$to/${file%"$suffix"}
        mkdir -p "$(dirname "$file")"
        envsubst "$names" <"$template" >"$file"
    done
}

if [ "$1" = nginx ] || [ "$1" = nginx-debug ]; then
    templates
    # In the order of their numbers. An .envsh file sets variables, so it is sourced.
    for script in $(find /docker-entrypoint.d/ -follow -type f | sort -V); do
        [ -x "$script" ] || continue
        # shellcheck source=/dev/null
        case $script in
        *.envsh) . "$script" ;;
        *.sh) "$script" ;;
        esac
    done
fi
exec "$@"
