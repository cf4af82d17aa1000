#!/bin/sh
# Render nginx's configuration and run nginx: start.sh DIRECTORY [NGINX OPTIONS]
#
# The settings come from the environment. DIRECTORY is nginx's prefix: `sockets` and `static` in it
# come from the app, `acme` from an ACME client; `nginx` and `spool` are created here.
set -eu

source=$(cd "$(dirname "$0")" && pwd)
cd "$1"
shift

# shellcheck source=nginx/defaults.sh
. "$source/defaults.sh"
# shellcheck source=nginx/settings.sh
. "$source/settings.sh"

# The cookie of healthchecks: the map in snippets/log.conf and health.sh read it. A test of another
# configuration here leaves it as it is.
token=$(cat nginx/health-token 2>/dev/null || od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
rm -rf nginx/*  # not the directory itself, which may be a mount
mkdir -p nginx/modules nginx/mounts nginx/mode nginx/client-limits nginx/cache nginx/disk-full \
    nginx/encodings nginx/servers nginx/ready spool
cp -R "$source/." nginx/
cd nginx

# fill_in TEMPLATE RESULT: replaces these names only, not nginx's own variables.
fill_in() {
    # shellcheck disable=SC2016  # names for envsubst, not for this shell
    envsubst '$LISTEN $SERVER_NAMES $MAX_BODY_SIZE $REQUEST_TIMEOUT $MOUNT $DEBUG_PASSWORD_FILE
        $CONNECTION_LIFETIME
        $CLIENT_REQUESTS_AT_ONCE $CLIENT_REQUESTS_PER_SECOND $CACHE_SIZE $LISTEN_APP $LISTEN_TLS
        $TLS_CERTIFICATE $TLS_KEY $TLS_GROUPS $HTTPS_PORT_IN_URL $HSTS_SECONDS $LOG_FORMAT' <"$1.template" >"$2"
}

# CPUs that this machine or container may use. nginx's `auto` counts all, and each worker takes memory.
usable_cpus() {
    # The quota and its period, in cgroup 2 or in cgroup 1.
    # shellcheck disable=SC2046  # two words
    set -- $(cat /sys/fs/cgroup/cpu.max 2>/dev/null ||
        cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null)
    cpus=$(nproc)
    case ${1:-max} in
    max | -1) ;;
    *) if [ $((($1 + $2 - 1) / $2)) -lt "$cpus" ]; then cpus=$((($1 + $2 - 1) / $2)); fi ;;
    esac
    echo "$cpus"
}
echo "worker_processes $(usable_cpus);" >worker-processes.conf

built=$(nginx -V 2>&1)
brotli=$(echo "$built" | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p')/ngx_http_brotli_static_module.so
if [ -f "$brotli" ]; then
    echo "load_module $brotli;" >modules/brotli.conf
    cp modes/brotli.conf encodings/
fi

(umask 077 && echo "$token" >health-token && echo "$token 0;" >health-token.conf)

# `auto` is resolved by what starts this script.
if [ "$LOG_FORMAT" = auto ]; then export LOG_FORMAT=text; fi
access_log=access-log
case $(echo "$UWSGI_DEBUG" | tr '[:upper:]' '[:lower:]') in
1 | true | yes | on)
    # A request at a breakpoint must not time out.
    export REQUEST_TIMEOUT=86400
    CACHE_SIZE=0  # show changes at once
    access_log=debugger-access-log
    if [ -n "$DEBUG_ALLOW" ]; then
        for network in $DEBUG_ALLOW; do echo "allow $network;"; done >mode/allow.conf
        echo "deny all;" >>mode/allow.conf
    fi
    if [ -f "$DEBUG_PASSWORD_FILE" ]; then
        export DEBUG_PASSWORD_FILE
        fill_in modes/debugger-passwords.conf mode/debugger-passwords.conf
    else
        cp modes/debugger-undeclared-proxy.conf mode/
    fi
    ;;
*)
    if [ "$ENVIRONMENT" = production ]; then cp modes/production.conf mode/; fi
    ;;
esac
fill_in "modes/$access_log.conf" access-log.conf

if [ "$CLIENT_REQUESTS_AT_ONCE" != 0 ]; then
    fill_in modes/client-connections.conf client-limits/connections.conf
fi
if [ "$CLIENT_REQUESTS_PER_SECOND" != 0 ]; then
    fill_in modes/client-rate.conf client-limits/rate.conf
    fill_in modes/client-rate-zone.conf servers/client-rate-zone.conf
fi

cp "modes/compress-$COMPRESS_RESPONSES.conf" servers/

if [ "$DRAIN_DELAY" != 0 ]; then
    # shellcheck disable=SC2153  # MOUNTS is all of them, MOUNT one
    first=${MOUNTS%%=*}
    MOUNT=${first%/} fill_in modes/ready.conf ready/ready.conf
    {
        echo "geo \$realip_remote_addr \$load_balancer { default 0;"
        for proxy in $TRUSTED_PROXIES; do echo "$proxy 1;"; done
        echo "}"
    } >servers/load-balancers.conf
fi

cp modes/no-cache.conf disk-full/
if [ "$CACHE_SIZE" != 0 ]; then
    fill_in modes/cache-zone.conf servers/cache-zone.conf
    cp modes/cache.conf cache/
fi

proxies_send_headers=yes
case $(echo "$PROXY_PROTOCOL" | tr '[:upper:]' '[:lower:]') in
1 | true | yes | on)
    proxies_send_headers=no
    export LISTEN="$LISTEN proxy_protocol" LISTEN_TLS="$LISTEN_TLS proxy_protocol"
    echo "real_ip_header proxy_protocol;" >trusted-proxies.conf
    ;;
*)
    echo "real_ip_header X-Forwarded-For;" >trusted-proxies.conf
    ;;
esac

# /dev/null (a character device, in Docker too) is no certificate.
if [ -c "$TLS_CERTIFICATE" ]; then tls=no; else tls=yes; fi

# Without SERVER_NAMES, this server is the default one and accepts any name.
if [ -n "$SERVER_NAMES" ]; then
    fill_in unknown-names.conf servers/unknown-names.conf
else
    export SERVER_NAMES=localhost
fi

: >security-headers.conf
send_header() {  # from the variable of its name; nginx omits empty headers
    echo "add_header $1 \$$(echo "$1" | tr 'A-Z-' 'a-z_') always;" >>security-headers.conf
}
for name in $SECURITY_HEADERS; do send_header "$name"; done
if [ -n "$HSTS_SECONDS" ]; then
    fill_in modes/hsts.conf servers/hsts.conf
    send_header Strict-Transport-Security
fi

if [ $tls = yes ]; then
    case $built in
    # HTTP/2 was a parameter of `listen` before nginx 1.25.1.
    *nginx/1.2[2-4].*) LISTEN_TLS="$LISTEN_TLS ssl http2" ;;
    *) LISTEN_TLS="$LISTEN_TLS ssl" && echo "http2 on;" >mode/http2.conf ;;
    esac
    TLS_GROUPS=X25519:prime256v1:secp384r1
    case $built in
    *'OpenSSL 3.'[0-4].*) ;;
    # Post-quantum key exchange, against recorded traffic.
    *) TLS_GROUPS=X25519MLKEM768:$TLS_GROUPS ;;
    esac
    # The public port. In a container nginx listens at another one.
    HTTPS_PORT_IN_URL=:$HTTPS_PORT
    if [ "$HTTPS_PORT" = 443 ]; then HTTPS_PORT_IN_URL=; fi
    export LISTEN_TLS TLS_GROUPS HTTPS_PORT_IN_URL LISTEN_APP="$LISTEN_TLS"

    fill_in modes/tls-server.conf mode/tls-server.conf
    fill_in modes/redirect-to-tls.conf servers/redirect-to-tls.conf
    # Not active until there is a certificate: an ACME client gets the first one over plain HTTP.
    mkdir with-certificate
    fill_in modes/tls.conf with-certificate/tls.conf
    fill_in server.conf with-certificate/server.conf
    if [ -f servers/unknown-names.conf ]; then
        fill_in unknown-names-tls.conf with-certificate/unknown-names-tls.conf
    fi
    if [ -e "$TLS_CERTIFICATE" ]; then
        cp with-certificate/* servers/
    else
        echo "nginx: there is no $TLS_CERTIFICATE yet; HTTPS begins when there is." >&2
    fi
else
    export LISTEN_APP="$LISTEN"
    cp snippets/acme.conf mode/
    fill_in server.conf servers/server.conf
fi

: >trusted-proxies.geo
for proxy in $TRUSTED_PROXIES; do
    echo "set_real_ip_from $proxy;" >>trusted-proxies.conf
    # With the PROXY protocol, forwarded headers are the client's own.
    if [ $proxies_send_headers = yes ]; then echo "$proxy 1;" >>trusted-proxies.geo; fi
done

# Dropped headers to pass: PASS_HEADERS from any client, IDENTITY_HEADERS from trusted proxies.
: >let-through.conf
: >let-through-maps.conf
variables=
let_through() {  # let_through NAME PREFIX-OF-THE-VARIABLE
    variable="\$$2_$(echo "$1" | tr A-Z- a-z_)"
    variables=$variables$variable
    echo "uwsgi_param HTTP_$(echo "$1" | tr a-z- A-Z_) $variable if_not_empty;" >>let-through.conf
}
for name in $PASS_HEADERS; do
    grep -q "^uwsgi_param HTTP_$(echo "$name" | tr a-z- A-Z_) " snippets/dropped-headers.conf ||
        reject PASS_HEADERS "$name" "names out of nginx/snippets/dropped-headers.conf"
    let_through "$name" http
done
for name in $IDENTITY_HEADERS; do
    ! grep -q "^uwsgi_param HTTP_$(echo "$name" | tr a-z- A-Z_) " snippets/params.conf ||
        reject IDENTITY_HEADERS "$name" "names of headers that nginx does not set itself"
    let_through "$name" identity
    echo "map \$from_trusted_proxy $variable { 1 \$http_${variable#*identity_}; default ''; }" \
        >>let-through-maps.conf
done
echo "map \"$variables\" \$let_through { '' ''; default 1; }" >>let-through-maps.conf

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

if [ -n "$METRICS_PORT" ]; then
    cp modes/metrics.conf servers/
    # Longest first: nginx takes the first regular expression that matches.
    for mount in $MOUNTS; do echo "${mount%%=*}"; done | awk '{ print length, $0 }' | sort -rn |
        while read -r _ path; do echo "'~^\\Q${path%/}\\E(?:[/?]|\$)' '$path';"; done >mount-names.conf
fi

cd ..

# Reload nginx when its certificate is renewed. In-flight requests are finished, and nginx keeps the
# old certificate if the new one does not match its key.
follow_certificate() {
    seen=$1
    tell_expiry
    while sleep 5 && kill -0 $$ 2>/dev/null; do
        now=$(certificate)
        if [ "$now" != "$seen" ] && [ -n "$now" ]; then
            seen=$now
            cp nginx/with-certificate/* nginx/servers/
            kill -HUP $$  # which passes it on to nginx
        fi
        tell_expiry
    done
}
# METRICS_PORT: again and again, since the exporter may have been started again.
tell_expiry() {
    if [ -n "$METRICS_PORT" ] && end=$(openssl x509 -noout -enddate -in "$TLS_CERTIFICATE" 2>&1); then
        (echo "certificate $(date -d "${end#*=}" +%s)" >&9) || :  # SIGPIPE
    fi
}
# While the disk of the spool is full, do not cache: nginx breaks off a response that it cannot write
# there. The directive is moved, since on the same disk it could not be written.
follow_disk() {
    while sleep 5 && kill -0 $$ 2>/dev/null; do
        lack=$(lacking)
        if [ -n "$lack" ] && [ -f nginx/disk-full/no-cache.conf ]; then
            echo "nginx: the spool ($PWD/spool) has no $lack left: delete files, or give it a larger" \
                "disk. Until then, request bodies over 16 kB are rejected with 503, large responses" \
                "to slow clients are cut off, and no response is cached." >&2
            mv nginx/disk-full/no-cache.conf nginx/cache/ && kill -HUP $$  # and it passes that on
        elif [ -z "$lack" ] && [ -f nginx/cache/no-cache.conf ]; then
            echo "nginx: the spool ($PWD/spool) has room again." >&2
            mv nginx/cache/no-cache.conf nginx/disk-full/ && kill -HUP $$
        fi
    done
}
lacking() {
    # Free blocks, their size, free inodes, all inodes (0: no fixed number).
    # shellcheck disable=SC2046  # four words
    set -- $(stat --file-system --format '%a %S %d %c' spool)
    if [ $(($1 * $2)) -lt 1048576 ]; then
        echo space
    elif [ "$3" = 0 ] && [ "$4" != 0 ]; then
        echo inodes
    fi
}
certificate() {
    stat --dereference --format '%i %s %.Y' "$TLS_CERTIFICATE" "$TLS_KEY" 2>/dev/null || :
}
metrics=
case " $* " in
*" -t "*) exec 9>/dev/null ;;  # test only
*)
    if [ -n "$METRICS_PORT" ]; then
        rm -f nginx/.connections  # of an nginx that was killed
        mkfifo nginx/metrics
        exec 9<>nginx/metrics  # without waiting for a reader
        "$source/metrics.pl" "$PWD/sockets/metrics" <nginx/metrics 9>&- &
        metrics=$!
        # For writing only: if that process ends, nginx's writes fail, and do not block.
        exec 9>nginx/metrics
    fi
    # Includes the cache, which an earlier, perhaps compromised, app has filled.
    find spool -type f -delete  # not its directories, which another nginx may use
    if [ $tls = yes ]; then follow_certificate "$(certificate)" & fi
    follow_disk &
    ;;
esac

# nginx's error log contains whole request lines, so it passes a filter. This shell stays their parent:
# the filter writes the last lines when nginx has exited.
mkfifo nginx/error-log
# stdbuf: a line in one write, since the access log may go to the same file.
# Restart it when it is killed.
while LC_ALL=C stdbuf -eL sed -n -f nginx/error-log.sed <nginx/error-log; [ $? -gt 128 ]; do :; done &
filter=$!
# -e: also for errors before the configuration is read.
nginx -e stderr -p "$PWD/" -c nginx/nginx.conf "$@" 2>nginx/error-log &
nginx=$!
for signal in HUP INT QUIT TERM USR1 WINCH; do
    # shellcheck disable=SC2064  # the numbers are known now
    trap "kill -$signal $nginx 2>/dev/null || :" $signal
done
if [ "$DRAIN_DELAY" != 0 ]; then
    # The load balancer's healthcheck fails, and then nginx stops.
    # shellcheck disable=SC2064  # the number is known now
    trap "{ : >nginx/draining; sleep $DRAIN_DELAY; kill -QUIT $nginx 2>/dev/null; } & trap : QUIT" QUIT
fi

# `wait` also returns after each signal.
while
    status=0
    wait $nginx || status=$?
    kill -0 $nginx 2>/dev/null
do :; done

# Workers outlive a killed master: they close the port and finish their requests, as at SIGQUIT. With
# the last of them, the filter ends.
kill -s QUIT -- -$$ 2>/dev/null || :
left=$((REQUEST_TIMEOUT * 20))
while kill -0 $filter 2>/dev/null; do
    if [ $left = 0 ]; then kill -s KILL -- -$$ || break; fi
    sleep 0.05
    left=$((left - 1))
done
if [ -n "$metrics" ]; then kill "$metrics" && wait "$metrics" || :; fi  # the last lines
exit $status
