#!/bin/sh
# Get a certificate for SERVER_NAMES from ACME_SERVER, and renew it in time. nginx shows the authority
# what certbot writes into /run/web/acme.
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
    # It does nothing while the certificate is good for long enough and for all of the names.
    # No address: Let's Encrypt writes to nobody any more.
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
