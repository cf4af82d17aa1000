#!/bin/bash
# Healthcheck: nginx responds and reaches the app. Debian's slim image has no curl; this uses bash, and
# openssl for TLS. Usage: health.sh DIRECTORY, as for start.sh.
set -euo pipefail

source=$(dirname "$0")
# shellcheck source=nginx/defaults.sh
. "$source/defaults.sh"

mount=${MOUNTS%%=*}
name=${SERVER_NAMES%% *}
name=${name:-localhost}
# The cookie bypasses the cache, and the access log: nginx/snippets/log.conf.
token=$(cat "$1/nginx/health-token")
request="GET ${mount%/}/ HTTP/1.0"$'\r\n'"Host: $name"$'\r\n'"Cookie: health=$token"$'\r\n\r\n'

case ${PROXY_PROTOCOL,,} in 1 | true | yes | on) request=$'PROXY UNKNOWN\r\n'$request ;; esac

if [[ ! -c $TLS_CERTIFICATE && $request != PROXY* ]]; then
    # A wildcard needs a name that matches it.
    response=$(printf '%s' "$request" | openssl s_client -quiet -connect "127.0.0.1:${LISTEN_TLS##*:}" \
        -servername "${name/#\*/any}" 2>&1)
    # openssl prints the certificate chain before the response.
    response=$(grep -a -m 1 '^HTTP/' <<<"$response")
else
    exec 3<>"/dev/tcp/127.0.0.1/${LISTEN##*:}"
    printf '%s' "$request" >&3
    read -r response <&3
fi

read -r _ status _ <<<"$response"
# 503 with a live socket is overload, which a restart of nginx does not fix.
[[ $status == 503 && -S $1/sockets/live.sock ]] && exit 0
case $status in
502 | 503 | 504)
    echo "nginx responds with $status to ${mount%/}/" >&2
    exit 1
    ;;
esac
