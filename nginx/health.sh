#!/bin/bash
# Does nginx answer, and does it reach the app? Debian's slim image has no curl; bash can connect,
# and openssl can where the app is behind TLS. Usage: health.sh DIRECTORY, as for start.sh.
set -euo pipefail

mount=${MOUNTS%%=*}
name=${SERVER_NAMES%% *}
name=${name:-localhost}
# With a cookie, or the answer could be a kept one.
request="GET ${mount%/}/ HTTP/1.0"$'\r\n'"Host: $name"$'\r\nCookie: health=1\r\n\r\n'

case ${PROXY_PROTOCOL,,} in 1 | true | yes | on) request=$'PROXY UNKNOWN\r\n'$request ;; esac

if [[ ! -c $TLS_CERTIFICATE && $request != PROXY* ]]; then
    # A name that matches *.example.com, since no client asks for the star.
    answer=$(printf '%s' "$request" | openssl s_client -quiet -connect "127.0.0.1:${LISTEN_TLS##*:}" \
        -servername "${name/#\*/any}" 2>&1)
    # What openssl says of the certificate comes first.
    answer=$(grep -a -m 1 '^HTTP/' <<<"$answer")
else
    exec 3<>"/dev/tcp/127.0.0.1/${LISTEN##*:}"
    printf '%s' "$request" >&3
    read -r answer <&3
fi

read -r _ status _ <<<"$answer"
# 503 with a socket of the app in place is overload, which a restart of nginx would not end.
[[ $status == 503 && -S $1/sockets/live.sock ]] && exit 0
case $status in
502 | 503 | 504)
    echo "nginx answers $status for ${mount%/}/" >&2
    exit 1
    ;;
esac
