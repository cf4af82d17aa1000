"""Servers for these tests, and people who use them meanwhile."""

import threading
from http.client import HTTPException

import pytest

from tests.debugger.debugged_uwsgi import Server


@pytest.fixture
def uwsgi(tmp_path):
    """Start a uWSGI: ``uwsgi(mounts=..., options=..., environment=...)``."""
    started = []

    def start(**settings):
        started.append(Server(tmp_path, **settings))
        return started[-1].serving()

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory):
    """One uWSGI at 4x4, for tests that neither hurt it nor look at its log."""
    server = Server(tmp_path_factory.mktemp("shared"))
    try:
        yield server.serving()
    finally:
        server.stop()


@pytest.fixture
def rejected(tmp_path):
    """Start a uWSGI that exits; its output."""

    def start(**settings):
        server = Server(tmp_path, **settings).start()
        try:
            status = server.process.wait(60)
        finally:
            server.stop()
        assert status != 0, server.log
        return server.log

    return start


@pytest.fixture
def users():
    """Other users of the app: ``with users(server) as responses`` sends requests in the block.

    A response with their own token counts as right; others are in ``responses.wrong``.
    """

    class Users:
        def __init__(self, server, number=4):
            self.server, self.number = server, number
            self.right, self.wrong = 0, []
            self.done = threading.Event()

        def __enter__(self):
            self.threads = [
                threading.Thread(target=self.visit, args=(n,)) for n in range(self.number)
            ]
            for thread in self.threads:
                thread.start()
            return self

        def visit(self, number):
            visits = 0
            while not self.done.is_set():
                visits += 1
                token = f"user{number}visit{visits}"
                try:
                    response = self.server.get(f"/path/fine/{token}")
                    got = response.status, response.text
                except (OSError, HTTPException) as error:
                    got = error
                if got == (200, token):
                    self.right += 1
                else:
                    self.wrong.append(got)

        def __exit__(self, *_):
            self.done.set()
            for thread in self.threads:
                thread.join()

    return Users
