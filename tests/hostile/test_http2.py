"""HTTP/2 that no client should send: both servers survive it, and other clients do not notice."""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import trustme

from tests.conftest import Serve
from tests.hostile.http2 import CASES, FLOODS, PREFACE, Connection, Heard, ask, frame
from tests.hostile.sizes import PROBE
from tests.hostile.test_fuzz import ITS_OWN, PAINS
from tests.servers import HostSite, access_log, free_port

# `REQUESTS=20000` for a long run, with other dice each time.
REQUESTS = int(os.environ.get("REQUESTS", "2000"))
SEED = None if "REQUESTS" in os.environ else 1
# A stream that comes after those of the table.
LAST = 2**30 + 1
ABUSER = "127.0.0.2"


class Witness:
    """Another client, which asks all the time, on connections that it keeps and on new ones."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.responded = 0
        self.problems: list[str] = []

    def _ask(self) -> None:
        while not self._over.is_set():
            with Connection(self._port) as connection:
                for stream in range(1, 41, 2):
                    start = b"" if stream > 1 else PREFACE + frame(4)
                    connection.send(start, ask(stream=stream), frame(6, payload=b"the last"))
                    heard = connection.hear(60, expect=stream)
                    if heard.statuses.get(stream) != 200:
                        self.problems.append(f"{heard}")
                        return
                    self.responded += 1
                    if self._over.wait(0.01):
                        return

    def __enter__(self) -> "Witness":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture(scope="module")
def site(shared_site: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostSite]:
    """The probe behind TLS, whose processes have to be the same at the end."""
    folder = tmp_path_factory.mktemp("http2")
    made = trustme.CA().issue_cert("localhost")
    pair = {"TLS_CERTIFICATE": folder / "certificate.pem", "TLS_KEY": folder / "key.pem"}
    pair["TLS_CERTIFICATE"].write_bytes(made.cert_chain_pems[0].bytes())
    pair["TLS_KEY"].write_bytes(made.private_key_pem.bytes())
    knobs = {"MOUNTS": "/path=probe:app", "WORKERS": 2, "HTTPS_PORT": free_port(), **pair}
    site = shared_site("host", files=(PROBE,), MAX_BODY_SIZE="1m", **knobs)
    before = site.workers()
    assert len(before) > 3
    yield site
    assert site.workers() == before, "a process died"
    last = site.ask("/").headers["X-Request-ID"]
    site.access(last)  # the log has got as far
    statuses = Counter(line["status"] for line in access_log(site.logs()))
    assert statuses[200] > 10
    assert not [s for s in statuses if s >= 500 and s not in ITS_OWN], statuses
    said = [line for line in site.logs().encode().splitlines() if PAINS.search(line)]
    assert not said


@pytest.fixture
def port(site: HostSite) -> Iterator[int]:
    """The port of that site, which another client uses at the same time and without harm."""
    port = int(site.environment["HTTPS_PORT"])
    with Witness(port) as witness:
        yield port
        seen = witness.responded
        deadline = time.monotonic() + 60
        while witness.responded < seen + 2 and not witness.problems:
            assert time.monotonic() < deadline, "the other client gets no response any more"
            time.sleep(0.01)
    assert witness.problems == []


def unexplained(heard: Heard) -> list[int]:
    """Errors of the server that no request should be able to cause."""
    return [s for s in heard.statuses.values() if s >= 500 and s not in ITS_OWN]


def test_http2_is_spoken_at_all(port: int) -> None:
    with Connection(port) as connection:
        heard = connection.play(ask(), ask(stream=3), expect=3)
    assert (heard.statuses.get(3), heard.goodbye) == (200, False)


def test_no_odd_frame_or_header_is_more_than_an_error_of_its_client(port: int) -> None:
    for name, data in CASES.items():
        with Connection(port, ABUSER) as connection:
            heard = connection.play(data, ask(stream=LAST), seconds=2, expect=LAST)
        assert not unexplained(heard), (name, heard)


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_small_frames_harms_no_other_client(port: int, name: str) -> None:
    with Connection(port, ABUSER) as connection:
        heard = connection.play(FLOODS[name], seconds=2)
    assert not unexplained(heard), heard


def test_many_broken_connections_are_survived(port: int) -> None:
    """Requests as they should be, cases of the table, and bytes of either changed."""
    dice = random.Random(SEED)
    whole = [data for data in CASES.values() if len(data) < 4_000]
    sent = 0
    while sent < REQUESTS:
        parts, stream = [], 1
        for _ in range(dice.randrange(1, 12)):
            data = ask(stream=stream) if dice.random() < 0.7 else dice.choice(whole)
            if dice.random() < 0.1:
                broken = bytearray(data)
                for _ in range(dice.randrange(1, 4)):
                    broken[dice.randrange(len(broken))] = dice.randrange(256)
                data = bytes(broken)
            if dice.random() < 0.03:
                data = data[: dice.randrange(len(data) + 1)]
            parts.append(data)
            stream += 2
            sent += 1
        with Connection(port, ABUSER) as connection:
            # Where the connection survives it, the last request says that the others are done, too.
            heard = connection.play(*parts, ask(stream=LAST), seconds=0.3, expect=LAST)
        assert not unexplained(heard), (heard, parts)


def test_a_table_of_cases_has_errors_and_none() -> None:
    """So that the tests above mean something."""
    assert len(CASES) > 80
    assert len({*CASES.values(), *FLOODS.values()}) == len(CASES) + len(FLOODS)


def test_a_client_that_offers_http2_and_speaks_http1_is_told(site: HostSite) -> None:
    with Connection(int(site.environment["HTTPS_PORT"]), ABUSER) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not connection.hear(2).statuses
