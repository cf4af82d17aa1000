# Two images: `app` (uWSGI and your Flask app) and `nginx` (the reverse proxy).

# Base image. Debian's nginx and Python get Debian's security updates, both images share the base, and
# apps are fastest with this Python (deploy/install/uwsgi.py).
ARG DEBIAN_IMAGE=debian:trixie-slim
# For another Python, use an image such as python:3.14-slim.
ARG PYTHON_IMAGE=${DEBIAN_IMAGE}


# --- Python ---
FROM ${PYTHON_IMAGE} AS python

RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    command -v python3 || \
    { apt-get update && apt-get install --yes --no-install-recommends python3 ca-certificates; }


# --- Your project: the build context of that name, APP_DIR, or else this directory ---
FROM scratch AS project

COPY . /


# --- Source: the bundle, and the project without secrets and data (deploy/install/files.py) ---
FROM python AS source

WORKDIR /bundle
COPY .dockerignore uwsgi.ini ./
COPY nginx nginx
COPY yourapplication/requirements.txt yourapplication/
COPY deploy deploy
RUN --mount=type=bind,from=project,target=/project \
    python3 -m deploy.install copy /project /app && \
    python3 -m deploy.install requirements /project /requirements
# The release that errors and traces name. (Debian's sh has no pipefail.)
# hadolint ignore=DL4006
RUN find . /app -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c -12 >deploy/.release
# Without build files. Compile Python here, since the container's file system is read-only. compileall
# reports files that are not valid Python, such as templates; ignore its status.
RUN rm -r deploy/compose deploy/monitoring deploy/patches deploy/requirements && \
    chmod -R a+rX,go-w . && { python3 -m compileall -q . /app || true; }


# --- Build: everything that needs a compiler ---
FROM python AS build

RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && \
    apt-get install --yes --no-install-recommends gcc libc6-dev patch python3-dev python3-venv

WORKDIR /build
# Flask's instance folder of an installed package is below /venv/var.
RUN python3 -m venv /venv && ln -s /app/instance /venv/var
COPY deploy/patches deploy/patches
COPY deploy/requirements deploy/requirements
COPY deploy/install/uwsgi.py deploy/install/
RUN /venv/bin/python deploy/install/uwsgi.py \
    deploy/requirements/bundle.txt deploy/requirements/build.txt /tmp/wheels
# APT_BUILD_PACKAGES, for requirements that have to be compiled.
ARG APT_BUILD_PACKAGES
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    [ -z "$APT_BUILD_PACKAGES" ] || { apt-get update && \
    apt-get install --yes --no-install-recommends -- $APT_BUILD_PACKAGES; }

COPY .dockerignore ./
COPY yourapplication/requirements.txt yourapplication/
COPY deploy/__init__.py deploy/problems.py deploy/
COPY deploy/settings deploy/settings
COPY deploy/install deploy/install
# To the same place: paths in them are relative.
COPY --from=source /requirements /app
# Git only for requirements that are in a repository.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    ! grep -qr 'git+' /app || \
    { apt-get update && apt-get install --yes --no-install-recommends git; }
RUN --mount=type=cache,target=/downloads \
    PIP_CACHE_DIR=/downloads python3 -m deploy.install packages /app /venv
# Static files of packages, before the project: this is slow, and they change rarely.
COPY deploy/__main__.py deploy/
COPY deploy/server deploy/server
RUN /venv/bin/python -m deploy compress /venv/lib
COPY --from=source /app /app
RUN --mount=type=cache,target=/downloads \
    PIP_CACHE_DIR=/downloads python3 -m deploy.install project /app /venv && \
    ln -s /bundle/deploy /venv/lib/python3*/site-packages/ && \
    { [ ! -d /app/src ] || ln -s ../instance /app/src/instance; }


# --- Precompressed static files, at the highest level: a second for each megabyte ---
FROM build AS compressed

COPY --from=source /bundle /bundle
WORKDIR /app
# The app needs one file of nginx's: the pattern of fingerprinted file names.
RUN /venv/bin/python -m deploy compress . && \
    find /bundle/nginx -type f ! -name fingerprints.conf -delete && \
    find /bundle/nginx -type d -empty -delete && \
    rm -r /bundle/yourapplication /bundle/.dockerignore && ln -s /app /bundle/.project


# --- Lock: `docker compose run --rm lock`, for a machine without Python ---
FROM python AS lock

RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install --yes --no-install-recommends git python3-venv

WORKDIR /bundle
COPY yourapplication/requirements.txt yourapplication/
COPY deploy deploy
RUN python3 -m deploy.install tool uv .app
# The certificates of the base image, as for pip.
ENV APP_DIR=/project HOME=/tmp UV_SYSTEM_CERTS=1
ENTRYPOINT ["python3", "-m", "deploy", "lock"]
HEALTHCHECK NONE


# --- py-spy, which `python -m deploy profile` runs beside the app's container ---
# As root, since only root gets a capability.
FROM python AS profile

RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install --yes --no-install-recommends python3-venv

WORKDIR /bundle
COPY deploy/__init__.py deploy/problems.py deploy/defaults.env deploy/
COPY deploy/settings deploy/settings
COPY deploy/install deploy/install
COPY deploy/requirements deploy/requirements
RUN python3 -m deploy.install tool py-spy .app && \
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +
HEALTHCHECK NONE


# --- The app ---
FROM python AS app

# APT_PACKAGES, before setuid programs are dealt with.
ARG APT_PACKAGES
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    [ -z "$APT_PACKAGES" ] || { apt-get update && \
    apt-get install --yes --no-install-recommends -- $APT_PACKAGES; }

# An unprivileged user, and a group shared with nginx, which owns the socket. Writable directories
# belong to group 0, in which OpenShift runs arbitrary users. No setuid programs.
RUN groupadd --gid 10001 web && \
    useradd --uid 10001 --gid web --no-create-home --home-dir /nonexistent app && \
    install --directory --owner=app --group=0 --mode=0775 /run/web /run/web/static && \
    install --directory --owner=app --group=0 --mode=2770 \
        /app/instance /run/web/tmp /run/web/processes && \
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +

COPY --from=build /venv /venv
COPY --from=compressed /bundle /bundle
COPY --from=compressed /app /app
WORKDIR /app

# Numeric, so that Kubernetes can verify runAsNonRoot.
USER 10001:10001
# HOME, where libraries keep caches, is DATA_DIR, the only persistent directory that is writable.
ENV PATH=/venv/bin:$PATH RUN_DIR=/run/web HOME=/app/instance
# SIGTERM, Docker's default, is a graceful shutdown: see uwsgi.ini.
CMD ["python", "-m", "deploy", "app"]
HEALTHCHECK --interval=10s --timeout=15s --start-period=240s --start-interval=0.5s \
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

COPY --from=source /bundle/nginx /etc/nginx/bundle
COPY --from=source /bundle/deploy/defaults.env /etc/nginx/bundle/
COPY --from=source /bundle/deploy/log_relay.pl /usr/local/bin/

USER 10002:10001
# Ports in the container; Compose maps them to HTTP_PORT and HTTPS_PORT.
ENV LISTEN=8080 LISTEN_TLS=8443
EXPOSE 8080 8443
# Graceful shutdown. On SIGTERM, nginx drops in-flight requests.
STOPSIGNAL SIGQUIT
CMD ["log_relay.pl", "/etc/nginx/bundle/start.sh", "/run/web"]
HEALTHCHECK --interval=10s --timeout=15s --start-period=60s --start-interval=0.5s \
    CMD ["/etc/nginx/bundle/health.sh", "/run/web"]


# --- certbot, only for deploy/compose/acme.yml ---
FROM ${DEBIAN_IMAGE} AS certbot

RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install --yes --no-install-recommends certbot

# The same user as nginx's: only these two read the key.
RUN groupadd --gid 10001 web && \
    useradd --uid 10002 --gid web --no-create-home --home-dir /nonexistent web && \
    install --directory --owner=web --group=0 --mode=0770 /run/web/certificates /run/web/acme && \
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +

COPY deploy/compose/certbot.sh /usr/local/bin/

USER 10002:10001
CMD ["certbot.sh"]
# Healthy if there is a certificate that is valid for another day.
HEALTHCHECK --interval=1h --start-period=5m --start-interval=1s \
    CMD ["openssl", "x509", "-noout", "-checkend", "86400", \
        "-in", "/run/web/certificates/live/site/fullchain.pem"]


# --- PostgreSQL, only for deploy/compose/postgres.yml ---
FROM ${DEBIAN_IMAGE} AS postgres

# No default cluster: deploy/compose/postgres.sh creates one in the volume.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    groupadd --gid 10003 postgres && \
    useradd --uid 10003 --gid postgres --no-create-home --home-dir /nonexistent postgres && \
    apt-get update && apt-get install --yes --no-install-recommends postgresql-common && \
    sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' \
        /etc/postgresql-common/createcluster.conf && \
    apt-get install --yes --no-install-recommends postgresql && \
    install --directory --owner=postgres --group=postgres --mode=0700 /var/lib/postgresql && \
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +

COPY deploy/compose/backing.sh deploy/compose/postgres.sh /usr/local/bin/

USER 10003:10003
# Fast shutdown. On SIGTERM, PostgreSQL waits for all clients to disconnect.
STOPSIGNAL SIGINT
CMD ["postgres.sh"]
HEALTHCHECK --interval=10s --timeout=10s --start-period=120s --start-interval=0.5s \
    CMD ["pg_isready", "--quiet", "--dbname=app"]


# --- Redis, only for deploy/compose/redis.yml ---
FROM ${DEBIAN_IMAGE} AS redis

RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    groupadd --gid 10004 redis && \
    useradd --uid 10004 --gid redis --no-create-home --home-dir /nonexistent redis && \
    apt-get update && apt-get install --yes --no-install-recommends redis-server && \
    install --directory --owner=redis --group=redis --mode=0700 /var/lib/redis && \
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +

COPY deploy/compose/backing.sh deploy/compose/redis.sh /usr/local/bin/

USER 10004:10004
# SIGTERM, Docker's default, is a graceful shutdown, which writes all data to disk.
CMD ["redis.sh"]
HEALTHCHECK --interval=10s --timeout=10s --start-period=120s --start-interval=0.5s \
    CMD ["sh", "-c", "REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -e ping"]


# --- Prometheus and Alertmanager, only for the profile `monitoring` ---
FROM ${DEBIAN_IMAGE} AS prometheus

RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    groupadd --gid 10005 monitoring && \
    useradd --uid 10005 --gid monitoring --no-create-home --home-dir /nonexistent monitoring && \
    apt-get update && apt-get install --yes --no-install-recommends prometheus && \
    install --directory --owner=monitoring --group=0 --mode=0770 /var/lib/prometheus && \
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +

COPY deploy/monitoring/prometheus.yml deploy/monitoring/alerts.yml /etc/prometheus/

USER 10005:10005
WORKDIR /var/lib/prometheus
CMD ["prometheus", "--config.file=/etc/prometheus/prometheus.yml", \
    "--storage.tsdb.path=/var/lib/prometheus"]
HEALTHCHECK --interval=30s --start-period=60s --start-interval=1s \
    CMD ["promtool", "query", "instant", "http://127.0.0.1:9090", "1"]


FROM ${DEBIAN_IMAGE} AS alertmanager

RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    groupadd --gid 10005 monitoring && \
    useradd --uid 10005 --gid monitoring --no-create-home --home-dir /nonexistent monitoring && \
    apt-get update && \
    apt-get install --yes --no-install-recommends prometheus-alertmanager && \
    install --directory --owner=monitoring --group=0 --mode=0770 /var/lib/prometheus && \
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +

COPY deploy/monitoring/alertmanager.yml /etc/prometheus/

USER 10005:10005
WORKDIR /var/lib/prometheus
CMD ["prometheus-alertmanager", "--config.file=/etc/prometheus/alertmanager.yml", \
    "--storage.path=/var/lib/prometheus", "--cluster.listen-address="]
HEALTHCHECK --interval=30s --start-period=60s --start-interval=1s \
    CMD ["amtool", "--alertmanager.url=http://127.0.0.1:9093", "config", "show"]
