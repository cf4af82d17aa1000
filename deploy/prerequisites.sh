#!/bin/sh
# Prerequisites of this machine, checked before a build or a start.
#
#   sh deploy/prerequisites.sh build    Python with venv, what uWSGI is patched and compiled with, and APT_BUILD_PACKAGES
#   sh deploy/prerequisites.sh run      nginx (with brotli), envsubst, perl, APT_PACKAGES and APT_BUILD_PACKAGES,
#                                       installed if that needs no password
#   sh deploy/prerequisites.sh bench    these, wrk, and the header files of libev for bjoern
#   sh deploy/prerequisites.sh test     nginx, envsubst, wrk and, as root, Chromium, libmagic,
#                                       redis-server, haproxy and iproute2 (else their tests skip)
#
# If something is missing, one sentence on standard error says what to type, and the exit status
# is 1. PYTHON names the interpreter to build with, CC the compiler, as for make and pip.

set -eu

# Debian keeps nginx in /usr/sbin, which is not in the PATH of an ordinary user.
PATH=$PATH:/usr/sbin:/sbin
python=${PYTHON:-python3}

missing=
packages=
lacks() {    # lacks WHAT PACKAGE: what people call it, and which Debian package it is in
    missing="$missing${missing:+, }$1"
    packages="$packages $2"
}

has() { command -v "$1" >/dev/null; }

lacks_nginx() {    # and what fills in its configuration, and relays its log
    has nginx || lacks nginx 'nginx libnginx-mod-http-brotli-static'
    has envsubst || lacks envsubst gettext-base
    has perl || lacks perl perl-base
}

names_packages() {    # whether the environment or .env may name packages of the app
    [ -z "${APT_PACKAGES-}${APT_BUILD_PACKAGES-}" ] || return 0
    [ -r .env ] || return 1
    while read -r line || [ "$line" ]; do
        case $line in *APT_*) return 0 ;; esac
    done <.env
    return 1
}

lacks_packages_of() {    # lacks_packages_of SETTING
    names_packages || return 0
    python_says 'import sys; sys.exit(sys.version_info < (3, 11))' || return 0  # `build` says so
    for package in $("$python" -m deploy packages "$1" || echo reported); do
        if [ "$package" = reported ]; then exit 2; fi
        lacks "$package ($1)" "$package"
    done
}

python_says() { "$python" -c "$1" 2>/dev/null; }

install_packages() {
    echo "Installing$packages ..." >&2
    # Debian starts a web server of its own on port 80 as soon as nginx is unpacked. A policy
    # (see invoke-rc.d(8)) forbids that for the moment; one that the machine has already stays.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 1' HUP INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    # A source that cannot be reached may not matter; if it does, the next line says so.
    apt-get update -qq || :
    # shellcheck disable=SC2086  # a list of words
    apt-get install -qq --no-install-recommends $packages </dev/null >/dev/null
    # And not at the next boot either.
    case $packages in *nginx*) update-rc.d nginx disable ;; esac
    case $packages in *redis*) update-rc.d redis-server disable ;; esac
    case $packages in *haproxy*) update-rc.d haproxy disable ;; esac
}

case ${1-} in
build)
    python_says 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        lacks "Python 3.11 or newer (PYTHON=... names another than $python)" python3
    # Debian's python3 has venv, but not the ensurepip that venv calls.
    python_says 'import ensurepip, venv' || lacks "Python's venv" python3-venv
    python_says 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' ||
        lacks "Python's header files" python3-dev
    # uWSGI's build calls the compiler that made this Python, unless CC says otherwise. A gcc
    # without the C library's headers is one that was installed without its recommendations.
    compiler=${CC:-$(python_says 'import sysconfig; print(sysconfig.get_config_var("CC"))' || echo gcc)}
    # shellcheck disable=SC2086  # it may bring options
    echo '#include <stdio.h>' | $compiler -fsyntax-only -x c - 2>/dev/null ||
        lacks "a C compiler (${compiler%% *})" "gcc libc6-dev"
    has patch || lacks patch patch
    lacks_packages_of APT_BUILD_PACKAGES
    ;;
run)
    lacks_nginx
    lacks_packages_of APT_PACKAGES
    lacks_packages_of APT_BUILD_PACKAGES
    ;;
test)
    lacks_nginx
    has wrk || lacks wrk wrk
    if [ "$(id -u)" -eq 0 ] && has apt-get; then
        has chromium || lacks Chromium chromium
        has redis-server || lacks redis-server redis-server
        has haproxy || lacks haproxy haproxy
        has ip || lacks ip iproute2
        python_says 'import ctypes; ctypes.CDLL("libmagic.so.1")' || lacks libmagic libmagic1
    fi
    ;;
bench)
    lacks_nginx
    has wrk || lacks wrk wrk
    echo '#include <ev.h>' | ${CC:-cc} -fsyntax-only -x c - 2>/dev/null ||
        lacks "libev's header files" libev-dev
    ;;
*)
    echo "usage: sh $0 build|run|test|bench" >&2
    exit 2
    ;;
esac
[ "$missing" ] || exit 0

if ! has apt-get; then
    advice="Install what is missing, and try again."
elif [ "$1" = build ]; then
    advice="As root, type: apt-get update && apt-get install$packages"
elif [ "$(id -u)" -eq 0 ]; then
    install_packages
    exit
elif has sudo && sudo -n true 2>/dev/null; then
    exec sudo -n sh "$0" "$1"
else
    advice="As root, type: sh $0 $1"
fi
echo "This machine lacks $missing. $advice" >&2
exit 1
