#!/bin/sh
# Run PostgreSQL. The first start creates the cluster, the role `app` and its database `app`. Each start
# sets the role's password to POSTGRES_PASSWORD. Arguments are options of `postgres`.
set -eu
# shellcheck source=deploy/compose/backing.sh
. /usr/local/bin/backing.sh

password POSTGRES_PASSWORD

version=$(basename /usr/lib/postgresql/*)
bin=/usr/lib/postgresql/$version/bin
# A directory for each major version: PostgreSQL reads no other's files.
data=/var/lib/postgresql/$version

# Run the statements on standard input. Not in a pipeline: a lock file that a killed server has left, with
# process 1 in it, is taken for a running server's by all but a child of process 1.
sql() {
    "$bin/postgres" --single -D "$1" -c log_min_messages=fatal postgres >/dev/null
}

if ! [ -d "$data" ]; then
    for other in /var/lib/postgresql/[0-9]*/PG_VERSION; do
        if [ -f "$other" ] && [ "$other" != "$data.new/PG_VERSION" ]; then
            echo "The volume has data of PostgreSQL $(cat "$other"), and this image is PostgreSQL" \
                "$version; dump and restore it: see docs/data.md, \"Major versions of PostgreSQL\"." >&2
            exit 2
        fi
    done
    # What a start left that did not finish.
    rm -rf "$data.new"
    # The builtin locale provider: an update of the C library does not change the order in indexes.
    "$bin/initdb" --pgdata="$data.new" --username=postgres --auth-local=peer \
        --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --locale-provider=builtin \
        --builtin-locale=C.UTF-8 --data-checksums >/dev/null
    echo "host all app all scram-sha-256" >>"$data.new/pg_hba.conf"
    sql "$data.new" <<EOF
CREATE ROLE app LOGIN
CREATE DATABASE app OWNER app
EOF
    mv "$data.new" "$data"
fi

sql "$data" <<EOF
ALTER ROLE app PASSWORD '$POSTGRES_PASSWORD'
EOF
unset POSTGRES_PASSWORD
exec "$bin/postgres" -D "$data" -c listen_addresses='*' "$@"
