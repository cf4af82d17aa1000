# Two small images from one file: `app` (uWSGI and your Flask app) and `nginx` (the front).

# Debian's own nginx and Python: both get Debian's security updates, the two images share their base,
# and with this Python an app is fastest: see deploy/install_uwsgi.py.
ARG DEBIAN_IMAGE=debian:trixie-slim
# For another Python, an image that has it, such as python:3.14-slim.
ARG PYTHON_IMAGE=${DEBIAN_IMAGE}


# --- Python ---
FROM ${PYTHON_IMAGE} AS python

RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    command -v python3 || \
    { apt-get update && apt-get install --yes --no-install-recommends python3 ca-certificates; }


# --- What needs a compiler, and stays behind ---
FROM python AS build

RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && \
    apt-get install --yes --no-install-recommends gcc libc6-dev patch python3-dev python3-venv

WORKDIR /build
# The link: Flask's instance folder of an app that is installed as a package is in /venv/var.
RUN python3 -m venv /venv && ln -s /app/instance /venv/var
COPY deploy/patches patches
COPY requirements.txt requirements-build.txt deploy/install_uwsgi.py ./
RUN /venv/bin/python install_uwsgi.py requirements.txt requirements-build.txt
RUN --mount=type=cache,target=/downloads \
    /venv/bin/pip install --cache-dir /downloads --require-hashes --requirement requirements.txt


# --- This folder, for any user to read, whatever umask it was checked out with ---
FROM python AS source

WORKDIR /app
COPY . .
# Without what only the build needs; compiled once here, since the running container cannot write. A
# file that is no Python of this version, such as a template, is reported and left alone.
RUN rm -r requirements*.txt deploy/compose deploy/install_uwsgi.py deploy/patches && \
    chmod -R a+rX,go-w . && { python3 -m compileall -q . || true; }


# --- Its static files, as small as they get, which takes a second for each megabyte ---
FROM build AS compressed

COPY --from=source /app /app
WORKDIR /app
RUN /venv/bin/python -m deploy compress .


# --- The app ---
FROM python AS app

# A user without rights, and a group that it shares with nginx's: the socket belongs to both. What it
# writes to is group 0's as well, in which OpenShift runs its random users. Nothing raises rights.
RUN groupadd --gid 10001 web && \
    useradd --uid 10001 --gid web --no-create-home --home-dir /nonexistent app && \
    install --directory --owner=app --group=0 --mode=0775 /run/web /run/web/static && \
    install --directory --owner=app --group=0 --mode=2770 /app/instance /run/web/tmp && \
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +

COPY --from=build /venv /venv
COPY --from=compressed /app /app
WORKDIR /app

# Numbers, since Kubernetes cannot tell from a name that it is not root's.
USER 10001:10001
# HOME, where libraries keep their caches, is in DATA_DIR, the only lasting place that is writable.
ENV PATH=/venv/bin:$PATH RUN_DIR=/run/web HOME=/app/instance
# SIGTERM, which Docker sends by itself, is a graceful stop: see uwsgi.ini.
CMD ["python", "-m", "deploy", "app"]
HEALTHCHECK --interval=10s --timeout=15s --start-period=240s --start-interval=1s \
    CMD ["python", "-m", "deploy", "health"]


# --- nginx ---
FROM ${DEBIAN_IMAGE} AS nginx

RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install --yes --no-install-recommends \
        nginx libnginx-mod-http-brotli-static gettext-base openssl

RUN groupadd --gid 10001 web && \
    useradd --uid 10002 --gid web --no-create-home --home-dir /nonexistent web && \
    install --directory --owner=web --group=0 --mode=0770 \
        /run/web/nginx /run/web/spool /run/web/certificates /run/web/acme && \
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +

COPY --from=source /app/nginx /etc/nginx/bundle

USER 10002:10001
# In here; which address that is outside is the compose file's business.
ENV LISTEN=8080 LISTEN_TLS=8443
EXPOSE 8080 8443
# Finish what has been accepted. On SIGTERM nginx would drop it.
STOPSIGNAL SIGQUIT
CMD ["/etc/nginx/bundle/start.sh", "/run/web"]
HEALTHCHECK --interval=10s --timeout=15s --start-period=60s --start-interval=1s \
    CMD ["/etc/nginx/bundle/health.sh", "/run/web"]


# --- certbot, only for deploy/compose/acme.yml ---
FROM ${DEBIAN_IMAGE} AS certbot

RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install --yes --no-install-recommends certbot

# The same user as nginx: it may read the key, and nobody else.
RUN groupadd --gid 10001 web && \
    useradd --uid 10002 --gid web --no-create-home --home-dir /nonexistent web && \
    install --directory --owner=web --group=0 --mode=0770 /run/web/certificates /run/web/acme && \
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +

COPY deploy/compose/certbot.sh /usr/local/bin/

USER 10002:10001
CMD ["certbot.sh"]
# Is there a certificate, and will there still be one tomorrow?
HEALTHCHECK --interval=1h --start-period=5m --start-interval=1s \
    CMD ["openssl", "x509", "-noout", "-checkend", "86400", \
        "-in", "/run/web/certificates/live/site/fullchain.pem"]
