"""Two machines behind HAProxy, with the configuration in docs/scaling.md."""

import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.rollout.load import CONNECTIONS, IDLE_CLOSED, Load
from tests.scaling.conftest import DRAIN_DELAY, HAPROXY, PASS_THROUGH, REQUESTS, SLOW
from tests.scaling.machines import GATEWAY, Machine, Network, haproxy
from tests.servers import HostSite, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

APP = """
import os
from pathlib import Path
from flask import Flask, request

app = Flask(__name__)

@app.get("/")
def name():
    return os.environ["NAME"]

@app.post("/count/<id>")
def count(id):
    with Path(os.environ["COUNTED"]).open("ab", buffering=0) as file:
        file.write(f"{id}\\n".encode())
    return os.environ["NAME"]

@app.get("/client")
def client():
    return f"{request.scheme} {request.remote_addr} {request.url_root}"
"""


class MachineSite(HostSite):
    """`python -m deploy serve` on a machine."""

    def __init__(self, machine: Machine, counted: Path, **knobs: str | int) -> None:
        super().__init__(
            env_file=f"MOUNTS=/path=app:app\nNAME={machine.name}\nCOUNTED={counted}\n",
            HTTP_ADDRESS=machine.address,
            TRUSTED_PROXIES=GATEWAY,
            DRAIN_DELAY=DRAIN_DELAY,
            WORKERS=1,
            SECRET_KEY="the same on all machines",
            **knobs,
        )
        self.machine = machine
        (self.folder / "app.py").write_text(APP)

    def command(self) -> list[str]:
        return self.machine.entered(super().command(), self.folder)

    def _is_up(self) -> bool:
        return "\nServing " in self.logs() or self.logs().startswith("Serving ")

    def signal(self, number: int) -> None:
        # Not nsenter, which does not pass it on.
        for process in psutil.Process(self.process.pid).children():
            process.send_signal(number)

    @property
    def address(self) -> str:
        return f"{self.machine.address}:{self.port}"


class Machines:
    """Two sites behind HAProxy.

    Args:
        sites: their machines are "one" and "two".
        port: of HAProxy.
        counted: what both have counted.
    """

    def __init__(self, sites: list[MachineSite], port: int, counted: Path) -> None:
        self.one, self.two = sites
        self.port, self._counted = port, counted

    def ask(self, path: str) -> str:
        with httpx.Client(trust_env=False, timeout=60) as client:
            return client.get(f"http://127.0.0.1:{self.port}/path/{path}").text

    def until_both_respond(self) -> None:
        seen = set()

        def both() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                seen.add(self.ask(""))
            return seen >= {"one", "two"}

        until(both, "responses of both machines", 120)

    def counted(self) -> list[str]:
        return self._counted.read_text().split()


@pytest.fixture(scope="module", params=["http", "tcp"])
def machines(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("machines")
    counted = folder / "counted"
    counted.touch()
    knobs, configuration = {}, HAPROXY
    if request.param == "tcp":
        # Without TLS, which makes no difference here.
        knobs["PROXY_PROTOCOL"] = 1
        sections = PASS_THROUGH.replace("bind :443", "bind :80").replace(" port 8080", "")
        configuration = HAPROXY[: HAPROXY.index("frontend web")] + sections
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(Network())
        sites = []
        for name in ("one", "two"):
            site = MachineSite(network.machine(name), counted, **knobs)
            sites.append(stack.enter_context(site))
        for number, site in enumerate(sites, start=1):
            written = rf"\b10\.0\.0\.{number}:\d+"
            configuration = re.sub(written, site.address, configuration)
        port = stack.enter_context(haproxy(network, folder, configuration))
        made = Machines(sites, port, counted)
        made.until_both_respond()
        yield made


def test_the_app_sees_the_client_and_the_address_that_it_asked_for(machines: Machines) -> None:
    url = f"http://127.0.0.1:{machines.port}/path/"
    assert machines.ask("client") == f"http 127.0.0.1 {url}"


def test_a_machine_that_is_stopped_loses_no_request(machines: Machines) -> None:
    site = machines.two
    with Load(machines.port).around(REQUESTS) as load:
        site.signal(signal.SIGINT)
        assert site.wait(120) == 0, site.logs()[-2000:]
        load.until(len(load.requests) + 100)
        site.start()
        machines.until_both_respond()
    failed = [request for request in load.failed if request.problem != IDLE_CLOSED]
    assert not failed, load.summary()
    assert not load.miscounted(machines.counted())


@pytest.mark.parametrize("machines", ["http"], indirect=True)
def test_a_machine_that_loses_power_loses_only_what_it_had_in_flight(machines: Machines) -> None:
    with Load(machines.port).around(REQUESTS) as load:
        machines.two.machine.lose_power()
    # One on each connection, until HAProxy has given up on it.
    assert len(load.failed) <= CONNECTIONS, load.summary()
    assert load.slowest < SLOW, load.summary()
