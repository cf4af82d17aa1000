# shellcheck shell=sh
# What postgres.sh and redis.sh share: `password NAME` rejects a value of this variable that can be
# guessed, or that a URL cannot contain as it is.
password() {
    eval "value=\${$1-}"
    # shellcheck disable=SC2154  # eval sets it
    case $value in
    *[!A-Za-z0-9_-]*) reason="has characters other than letters, digits, - and _" ;;
    ????????????????*) return ;;
    *) reason="has fewer than 16 characters" ;;
    esac
    echo "$1 $reason; write a random one, such as \`openssl rand -hex 32\` prints." >&2
    exit 2
}
