#!/bin/sh
# Get a certificate for SERVER_NAMES from ACME_SERVER, and renew it. nginx serves the challenges that
# certbot writes to /run/web/acme (HTTP-01).
set -eu

domains=
for name in $SERVER_NAMES; do
    case $name in
    \**)
        echo "certbot: SERVER_NAMES has $name; only a DNS challenge proves a wildcard, so get such a" \
            "certificate elsewhere and set TLS_CERTIFICATE, or write the names out." >&2
        exit 2
        ;;
    esac
    domains="$domains --domain $name"
done

trap 'exit 0' TERM
while :; do
    # Does nothing while the certificate is not due for renewal and has all of the names. No e-mail
    # address: Let's Encrypt no longer sends any.
    # shellcheck disable=SC2086  # domains is a list of words
    if certbot certonly --webroot --webroot-path /run/web/acme --server "$ACME_SERVER" \
        --cert-name site $domains --keep-until-expiring --renew-with-new-domains \
        --non-interactive --agree-tos --register-unsafely-without-email \
        --config-dir /run/web/certificates --work-dir /tmp/certbot --logs-dir /tmp/certbot; then
        pause=43200  # twice a day, so that days are left when an attempt fails
    else
        pause=900  # Let's Encrypt takes five failures an hour
    fi
    sleep $pause &
    wait $!
done
