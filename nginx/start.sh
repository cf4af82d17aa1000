#!/bin/sh
# Fill in the knobs and become nginx: start.sh DIRECTORY [NGINX OPTIONS]
#
# The knobs come from the environment, checked before (python -m deploy). DIRECTORY is where nginx
# runs: `sockets` and `static` in it come from the app, `nginx` and `spool` are made here.
set -eu

source=$(cd "$(dirname "$0")" && pwd)
cd "$1"
shift

rm -rf nginx/*  # but not the folder itself, which may be a mount
mkdir -p nginx/mounts nginx/mode nginx/servers spool
cp -R "$source/." nginx/
cd nginx

# fill_in TEMPLATE RESULT: only these names are replaced, nginx's own variables stay.
fill_in() {
    # shellcheck disable=SC2016  # names for envsubst, not for this shell
    envsubst '$LISTEN $SERVER_NAMES $MAX_BODY_SIZE $REQUEST_TIMEOUT $MOUNT $DEBUG_PASSWORD_FILE' <"$1.template" >"$2"
}

case $(echo "$UWSGI_DEBUG" | tr '[:upper:]' '[:lower:]') in
1 | true | yes | on)
    # Whoever looks into a stopped request takes more time than any request should.
    export REQUEST_TIMEOUT=86400
    cp modes/debugger.conf mode/
    if [ -n "$DEBUG_ALLOW" ]; then
        for network in $DEBUG_ALLOW; do echo "allow $network;"; done >mode/allow.conf
        echo "deny all;" >>mode/allow.conf
    fi
    if [ -f "$DEBUG_PASSWORD_FILE" ]; then
        export DEBUG_PASSWORD_FILE
        fill_in modes/debugger-passwords.conf mode/debugger-passwords.conf
    fi
    ;;
*)
    if [ "$ENVIRONMENT" = production ]; then cp modes/production.conf mode/; fi
    ;;
esac

# No name given is any name: this server is then the only one, and gets what others would.
if [ -n "$SERVER_NAMES" ]; then
    fill_in unknown-names.conf servers/unknown-names.conf
else
    export SERVER_NAMES=localhost
fi
fill_in server.conf servers/server.conf

: >trusted-proxies.conf
: >trusted-proxies.geo
for proxy in $TRUSTED_PROXIES; do
    echo "set_real_ip_from $proxy;" >>trusted-proxies.conf
    echo "$proxy 1;" >>trusted-proxies.geo
done

outside=yes
number=0
# shellcheck disable=SC2153  # MOUNTS is all of them, MOUNT one
for mount in $MOUNTS; do
    number=$((number + 1))
    path=${mount%%=*}
    export MOUNT="${path%/}"
    fill_in mount.conf "mounts/$number.conf"
    if [ -n "$MOUNT" ]; then
        fill_in mount-without-slash.conf "mounts/$number-without-slash.conf"
    else
        outside=no
    fi
done
if [ $outside = yes ]; then cp outside.conf mounts/; fi

cd ..
# -e: what goes wrong before the configuration is read is told here, too.
exec nginx -e stderr -p "$PWD/" -c nginx/nginx.conf "$@"
