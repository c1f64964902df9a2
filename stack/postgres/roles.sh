# shellcheck shell=sh
# Creates the roles of an empty database: `lab` for the app, and `viewer` for `lab db query`. Sourced or run by the entry point
# of the image, whose user and database are in POSTGRES_USER and POSTGRES_DB.

psql --no-psqlrc --quiet --no-password -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    -v app_password="$LAB_APP_PASSWORD" -v viewer_password="$LAB_VIEWER_PASSWORD" <<'SQL'
-- Owns its schema and is no superuser: it can neither start programs nor read files of the server.
CREATE ROLE lab LOGIN PASSWORD :'app_password';
ALTER SCHEMA public OWNER TO lab;
-- Reads all data and statistics, and may end the sessions of other roles.
CREATE ROLE viewer LOGIN PASSWORD :'viewer_password' IN ROLE pg_read_all_data, pg_monitor, pg_signal_backend;
ALTER ROLE viewer SET default_transaction_read_only = on;
REVOKE TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT TEMPORARY ON DATABASE :"DBNAME" TO lab;
SQL
