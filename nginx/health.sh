#!/bin/bash
# Does nginx answer, and does it reach the app? Debian's slim image has no curl; bash can connect.
set -euo pipefail

mount=${MOUNTS%%=*}
name=${SERVER_NAMES%% *}
exec 3<>"/dev/tcp/127.0.0.1/${LISTEN##*:}"
printf 'GET %s/ HTTP/1.0\r\nHost: %s\r\n\r\n' "${mount%/}" "${name:-localhost}" >&3
read -r _ status _ <&3
case $status in
502 | 503 | 504)
    echo "nginx answers $status for ${mount%/}/" >&2
    exit 1
    ;;
esac
