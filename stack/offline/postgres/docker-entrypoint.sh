#!/usr/bin/env bash
# Entry point of the stand-in for the official postgres image. It initialises an empty PGDATA from POSTGRES_USER,
# POSTGRES_PASSWORD, POSTGRES_DB, POSTGRES_INITDB_ARGS (each also as _FILE), POSTGRES_INITDB_WALDIR,
# POSTGRES_HOST_AUTH_METHOD and the *.sh, *.sql and *.sql.gz files in /docker-entrypoint-initdb.d, on a temporary server that
# listens on a local socket only. Then it runs the command.
set -Eeuo pipefail

if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
if [ "$1" != postgres ]; then exec "$@"; fi

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres {} +
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

# setting NAME [DEFAULT]: an environment variable, or the content of the file in NAME_FILE.
setting() {
    local file="$1_FILE"
    if [ -z "${!file:-}" ]; then
        printf '%s' "${!1:-${2:-}}"
    elif [ -n "${!1:-}" ]; then
        echo "error: both $1 and $file are set (but are exclusive)" >&2
        return 1
    else
        printf '%s' "$(<"${!file}")"
    fi
}
user=$(setting POSTGRES_USER postgres)
database=$(setting POSTGRES_DB "$user")
password=$(setting POSTGRES_PASSWORD)
arguments=$(setting POSTGRES_INITDB_ARGS)
[ -z "${POSTGRES_INITDB_WALDIR:-}" ] || arguments="--waldir=$POSTGRES_INITDB_WALDIR $arguments"

sql() { psql --no-psqlrc --quiet --no-password -v ON_ERROR_STOP=1 --username "$user" "$@"; }

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    if [ -z "$password" ] && [ "$method" != trust ]; then
        echo 'Error: Database is uninitialized and superuser password is not specified: set POSTGRES_PASSWORD' >&2
        exit 1
    fi
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA" 2>/dev/null || true
    # Unquoted to split it into arguments.
    # shellcheck disable=SC2086
    initdb --username="$user" --pwfile=<(printf '%s\n' "${password:-none}") $arguments
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
    PGPASSWORD=$password
    export PGPASSWORD
    pg_ctl -D "$PGDATA" -o "$(printf '%q ' "${@:2}" -c listen_addresses= -p "${PGPORT:-5432}")" -w start
    exists=$(sql --dbname postgres --tuples-only --set db="$database" <<<"SELECT 1 FROM pg_database WHERE datname = :'db'")
    [ -n "$exists" ] || sql --dbname postgres --set db="$database" <<<'CREATE DATABASE :"db"'
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
        *.sh)
            # shellcheck source=/dev/null
            if [ -x "$file" ]; then "$file"; else . "$file"; fi
            ;;
        *.sql) sql --dbname "$database" -f "$file" ;;
        *.sql.gz) gunzip -c "$file" | sql --dbname "$database" ;;
        *'*') ;;
        *) echo "$0: ignoring $file" ;;
        esac
    done
    pg_ctl -D "$PGDATA" -m fast -w stop
    unset PGPASSWORD
    echo 'PostgreSQL init process complete; ready for start up.'
fi
exec "$@"
