# Validation of the settings that start.sh writes into nginx's configuration, against injection: no
# value may end a directive or begin another. The app's container checks all settings in more depth
# (deploy/settings/knobs.py), but `docker compose up nginx` may start without it.
# shellcheck shell=sh

reject() {  # reject NAME VALUE WHAT TO WRITE
    echo "nginx: $1 has '$2'; write $3." >&2
    exit 2
}

line_feed='
'

# matches VALUE PATTERN: an extended regular expression that has to match the whole value.
matches() {
    case $1 in *"$line_feed"*) return 1 ;; esac  # grep would match each line by itself
    printf '%s\n' "$1" | LC_ALL=C grep -Eqx -- "$2"
}

# check NAME PATTERN WHAT TO WRITE: the value of a setting.
check() {
    value=
    eval "value=\${$1-}"
    matches "$value" "$2" || reject "$1" "$value" "$3"
}

# check_each NAME PATTERN WHAT TO WRITE: each word of a setting.
check_each() {
    set -f  # *.example.com is not a glob
    value=
    eval "value=\${$1-}"
    for word in $value; do matches "$word" "$2" || reject "$1" "$word" "$3"; done
    set +f
}

number='[0-9]{1,9}'
size='[0-9]{1,12}[kmgKMG]?'
port='[0-9]{1,5}'
network='[0-9A-Fa-f.:]+(/[0-9]{1,3})?'
file='[^][:cntrl:][ ;{}"'\''\\$#]+'
header='[A-Za-z][A-Za-z0-9-]{0,39}'

for name in LISTEN LISTEN_TLS; do
    check $name "(([0-9.]+|\[[0-9A-Fa-f:.]+\]):)?$port" "a port such as 8080, or 127.0.0.1:8080"
done
check HTTPS_PORT "$port" "a port such as 8443"
check_each MOUNTS '/[A-Za-z0-9._~/-]*=[A-Za-z0-9_.:()]+' "/path=module:callable"
check_each SERVER_NAMES '(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:]+\]' \
    "host names such as example.com *.example.com"
for name in TRUSTED_PROXIES DEBUG_ALLOW; do
    check_each $name "$network" "IP addresses and networks such as 10.0.0.0/8"
done
check MAX_BODY_SIZE "$size" "a size such as 16m"
check CACHE_SIZE "$size" "a size such as 100m, or 0"
for name in REQUEST_TIMEOUT DRAIN_DELAY CONNECTION_LIFETIME CLIENT_REQUESTS_AT_ONCE \
    CLIENT_REQUESTS_PER_SECOND; do
    check $name "$number" "a whole number"
done
check HSTS_SECONDS "($number)?" "a whole number, or nothing"
for name in TLS_CERTIFICATE TLS_KEY DEBUG_PASSWORD_FILE; do
    check $name "$file" "the name of a file, without spaces, quotes and any of ; { } \\ \$ #"
done
check METRICS_PORT '([0-9]{1,5})?' "a port such as 9117, or nothing"
check_each SECURITY_HEADERS "$header" "names of headers"
check_each PASS_HEADERS "$header" "names of headers such as X-Forwarded-Prefix"
check_each IDENTITY_HEADERS "$header" "names of headers such as X-Forwarded-User"
check COMPRESS_RESPONSES 'anonymous|all|off' "anonymous, all or off"
check ENVIRONMENT 'development|staging|production' "development, staging or production"
check LOG_FORMAT 'auto|json|text' "auto, json or text"
for name in PROXY_PROTOCOL UWSGI_DEBUG; do
    check $name '(1|0|[Tt][Rr][Uu][Ee]|[Yy][Ee][Ss]|[Oo][Nn]|[Ff][Aa][Ll][Ss][Ee]|[Nn][Oo]|[Oo][Ff][Ff])?' \
        "1 to switch it on, or nothing"
done
