"""The same changes, made with this bundle and in the usual way, under the same load.

    .venv/bin/python -m tests.rollout.compare [REQUESTS]

prints the table in docs/rollout.md. It takes a few minutes, and Docker.
"""

import sys
from collections.abc import Callable

from tests.rollout.conftest import Shop, compose_site
from tests.rollout.load import Load
from tests.rollout.test_changes_under_load import BROKEN
from tests.servers import ComposeSite, until

# What tutorials and templates have: one socket, the server and the mount on a command line, nginx
# with stock parameters. Only the images are the bundle's own.
USUAL = """\
services:
  app:
    build: {context: ., target: app}
    command: >
      uwsgi --master --socket /run/web/sockets/app.sock --chmod-socket=660 --manage-script-name
      --mount /path=shop:app --workers 4 --threads 4 --die-on-term
    environment: {COUNTED: /app/instance/counted}
    healthcheck: {disable: true}
    volumes: [sockets:/run/web/sockets, data:/app/instance]
  nginx:
    build: {context: ., target: nginx}
    command: nginx -c /etc/usual.conf
    healthcheck: {disable: true}
    configs: [{source: usual, target: /etc/usual.conf}]
    ports: ["127.0.0.1:$HTTP_PORT:8080"]
    volumes: [sockets:/run/web/sockets:ro]
    depends_on: [app]
configs:
  usual:
    content: |
      daemon off;
      pid /tmp/nginx.pid;
      error_log stderr;
      events { worker_connections 1024; }
      http {
        access_log off;
        client_body_temp_path /tmp/body;
        uwsgi_temp_path /tmp/uwsgi;
        proxy_temp_path /tmp/proxy;
        fastcgi_temp_path /tmp/fastcgi;
        scgi_temp_path /tmp/scgi;
        server {
          listen 8080;
          location /path {
            include /etc/nginx/uwsgi_params;
            uwsgi_pass unix:/run/web/sockets/app.sock;
          }
        }
      }
volumes:
  sockets:
    driver_opts: {type: tmpfs, device: tmpfs, o: "uid=10001,gid=10001,mode=2750"}
  data:
"""


class Usual(Shop):
    """The shop, run and changed in the usual way."""

    def __init__(self, site: ComposeSite) -> None:
        super().__init__(site, lambda: "")
        (site.folder / "docker-compose.yml").write_text(USUAL)

    def up(self) -> None:
        self.site.compose("up", "--detach", "--build", check=False)


def measure(what: str, shop: Shop, change: Callable[[], object], requests: int) -> None:
    """Make a change in the middle of a load, and print a line of the table."""
    with Load(shop.site.port) as load:
        load.until(requests // 3)
        change()
        load.until(max(requests, len(load.requests) + requests // 3))
    failed = sorted(request.sent for request in load.failed)
    gap = f"{failed[-1] - failed[0]:.1f} s" if failed else ""
    cells = what, len(load.requests), len(failed), gap, f"{load.slowest:.2f} s"
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def is_up(site: ComposeSite) -> bool:
    try:
        return site.ask("/path/").status == 200
    except OSError:
        return False


def main() -> None:
    requests = int(sys.argv[1]) if sys.argv[1:] else 20_000
    print("| change | requests | failed | duration of failures | slowest |")
    print("|---|---|---|---|---|", flush=True)

    with compose_site() as site:
        usual = Usual(site)
        usual.up()
        until(lambda: is_up(site), "the usual way to respond")
        usual.write()
        measure("usual: `docker compose up -d --build`", usual, usual.up, requests)

        def stop_and_start() -> None:
            site.compose("stop", "app")
            site.compose("start", "app")

        measure("usual: `docker compose stop app`, `start app`", usual, stop_and_start, requests)
        usual.write(**BROKEN["cannot be imported"])
        broken = "usual: `up -d --build` of a release that cannot be imported"
        measure(broken, usual, usual.up, requests)

    with compose_site() as site:
        shop = Shop(site, lambda: "")
        site.start()
        shop.write()
        shop.rollout()
        shop.write()
        measure("`python -m deploy rollout`", shop, shop.rollout, requests)
        measure("`python -m deploy rollback`", shop, lambda: shop.deploy("rollback"), requests)
        shop.write(**BROKEN["cannot be imported"])
        broken = "`python -m deploy rollout` of a release that cannot be imported"
        measure(broken, shop, lambda: shop.deploy("rollout"), requests)
        again = "up", "--detach", "--no-deps", "--force-recreate", "nginx"
        measure("nginx's container replaced", shop, lambda: site.compose(*again), requests)


if __name__ == "__main__":
    main()
