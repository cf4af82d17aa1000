"""Each page does what it says, on its own and below any mount."""

import hashlib
import json
import os
import re
import threading
import tracemalloc
from datetime import UTC, datetime
from html import unescape
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, TestResponse

MOUNTS = ["", "/path", "/a/b"]


def mounted(app: Flask, mount: str) -> Client:
    """A client that knows nothing of mounts: it asks for whole paths."""
    return Client(DispatcherMiddleware(NotFound(), {mount: app}))


def post_name(client: Client, name: str, page: str = "/form", **more: Any) -> TestResponse:
    token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', client.get(page).text)
    assert token, f"{page} has no CSRF token in its form"
    return client.post(page, data={"name": name, "csrf_token": token[1]}, **more)


def shown(html: str, name: str) -> str:
    found = re.search(rf'id="{name}">([^<]*)<', html)
    assert found, f"nothing on the page has the id {name!r}"
    return unescape(found[1])


# The mount


@pytest.mark.parametrize("mount", MOUNTS)
def test_every_link_of_every_page_stays_inside_the_mount_and_leads_somewhere(
    app: Flask, mount: str
) -> None:
    client = mounted(app, mount)
    seen, todo = set(), {f"{mount}/"}
    while todo:
        seen.add(path := todo.pop())
        if urlsplit(path).path in (f"{mount}/boom", f"{mount}/wait"):
            continue  # these keep their promises below
        with client.get(path) as response:
            assert response.status_code == 200, f"{path}: {response.status}"
            if response.mimetype != "text/html":
                continue
            attributes = r'(?:href|src|action|data-source)="([^"]*)"'
            links = set(map(unescape, re.findall(attributes, response.text)))
        strays = [link for link in links if not link.startswith(f"{mount}/")]
        assert not strays, f"{path} leads out of {mount or '/'}: {strays}"
        todo |= links - seen
    pages = ["form", "upload", "stream", "events", "copy"]
    pages += ["inspect", "archive", "flags", "boom", "wait"]
    missed = [page for page in pages if not any(p.startswith(f"{mount}/{page}") for p in seen)]
    assert not missed, f"no page leads to {missed}"


def test_the_welcome_page_shows_how_the_request_arrived(client: FlaskClient) -> None:
    html = client.get(
        "/",
        base_url="https://shop.example.com:8443/a/b",
        headers={"X-Request-ID": "<7f3a>"},
        environ_overrides={"REMOTE_ADDR": "192.0.2.7"},
    ).text
    expected = {
        "scheme": "https",
        "host": "shop.example.com:8443",
        "mount": "/a/b",
        "path": "/",
        "client": "192.0.2.7",
        "worker": str(os.getpid()),
        "thread": threading.current_thread().name,
        "request-id": "<7f3a>",
    }
    assert {name: shown(html, name) for name in expected} == expected


def test_the_pages_need_no_inline_script_or_style_and_nothing_from_elsewhere(
    client: FlaskClient,
) -> None:
    for page in ("/", "/form", "/upload", "/stream", "/copy", "/nowhere"):
        html = client.get(page).text
        assert not re.search(r"<style| style=| on\w+=|<script(?! src=)", html), page
        assert not re.search(r'(?:src|href)="(?:https?:)?//', html), page


# The form


@pytest.mark.parametrize("mount", MOUNTS)
def test_the_form_redirects_to_itself_and_greets_once(app: Flask, mount: str) -> None:
    client = mounted(app, mount)
    response = post_name(client, "  Ada ", f"{mount}/form")
    assert (response.status_code, response.location) == (303, f"{mount}/form")
    assert "Hello, Ada!" in client.get(f"{mount}/form").text
    assert "Hello, Ada!" not in client.get(f"{mount}/form").text, "the message stays"


def test_the_session_remembers_the_last_name_and_counts(client: FlaskClient) -> None:
    post_name(client, "Ada")
    html = post_name(client, "Grace & Co", follow_redirects=True).text
    assert (shown(html, "greetings"), shown(html, "name")) == ("2", "Grace & Co")


def test_a_post_without_a_csrf_token_changes_nothing(client: FlaskClient) -> None:
    response = client.post("/form", data={"name": "Mallory"})
    assert response.status_code == 400
    assert "CSRF token is missing" in response.text
    assert "We have not met" in client.get("/form").text


def test_a_csrf_token_of_somebody_else_changes_nothing(app: Flask) -> None:
    mallory, ada = app.test_client(), app.test_client()
    ada.get("/form")
    token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', mallory.get("/form").text)[1]
    assert ada.post("/form", data={"name": "Mallory", "csrf_token": token}).status_code == 400
    assert "We have not met" in ada.get("/form").text


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("", "Please type a name."), ("   ", "Please type a name."), ("x" * 41, "at most 40")],
)
def test_a_bad_name_is_refused_with_a_sentence(
    client: FlaskClient, name: str, sentence: str
) -> None:
    response = post_name(client, name)
    assert response.status_code == 400
    assert sentence in response.text


# The upload


def digest(content: bytes) -> dict[str, object]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize("content", [b"", b"hello", bytes(range(256)) * 1000])
def test_an_upload_is_answered_with_its_size_and_sha256(
    client: FlaskClient, content: bytes
) -> None:
    multipart = client.post("/upload", data={"file": (BytesIO(content), "photo.jpg")})
    assert multipart.json == digest(content)
    for kind in (None, "application/octet-stream", "application/x-www-form-urlencoded"):
        assert client.post("/upload", data=content, content_type=kind).json == digest(content), kind


def test_an_upload_without_a_file_is_refused_with_a_sentence(client: FlaskClient) -> None:
    response = client.post("/upload", data={"other": (BytesIO(b"x"), "x")})
    assert response.status_code == 400
    assert "'file'" in response.json["error"]


MULTIPART = {
    "content_type": "multipart/form-data; boundary=limit",
    "head": b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n',
    "tail": b"\r\n--limit--\r\n",
}
RAW = {"content_type": "application/octet-stream", "head": b"", "tail": b""}


@pytest.mark.parametrize("kind", [RAW, MULTIPART], ids=["raw", "multipart"])
def test_a_large_upload_is_never_whole_in_memory(
    client: FlaskClient, tmp_path: Path, kind: dict[str, Any]
) -> None:
    size = 32 * 1024 * 1024
    with (tmp_path / "body").open("wb+") as body:
        body.write(kind["head"])
        body.truncate(len(kind["head"]) + size)  # zeros, which take no room on the disk
        body.seek(0, SEEK_END)
        body.write(kind["tail"])
        length = body.tell()
        body.seek(0)
        tracemalloc.start()
        try:
            response = client.post(
                "/upload",
                input_stream=body,
                content_length=length,
                content_type=kind["content_type"],
            )
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert response.json == digest(bytes(size))
    assert peak < size / 8, f"it took {peak} bytes of memory to upload {size}"


# The stream


def test_the_stream_sends_as_many_events_as_asked_for(client: FlaskClient) -> None:
    response = client.get("/events?count=3&interval=0")
    assert response.mimetype == "text/event-stream"
    assert response.headers["X-Accel-Buffering"] == "no"
    events = response.text.split("\n\n")
    assert events.pop() == "", "the last event has no end"
    assert all(event.startswith("data: ") for event in events)
    assert [json.loads(event[6:])["number"] for event in events] == [1, 2, 3]


def test_the_stream_sends_the_first_event_at_once_and_waits_between_the_others(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("yourapplication.pages.time.sleep", slept.append)
    events = iter(client.get("/events?count=3&interval=0.5").response)
    next(events)
    assert slept == []
    assert len(list(events)) == 2
    assert slept == [0.5, 0.5], "it should wait between two events, not after the last"


# The copy for all


@pytest.mark.parametrize("mount", MOUNTS)
def test_the_copy_says_when_it_was_made_and_how_long_everybody_may_have_it(
    app: Flask, mount: str
) -> None:
    before = datetime.now(UTC)
    response = mounted(app, mount).get(f"{mount}/copy")
    made = datetime.fromisoformat(re.search(r'datetime="([^"]*)"', response.text)[1])
    assert before <= made <= datetime.now(UTC)
    assert response.cache_control.public
    assert shown(response.text, "fresh") == f"{response.cache_control.max_age} s"


def test_the_copy_has_nothing_of_the_visitor_in_it(client: FlaskClient) -> None:
    post_name(client, "Ada")
    response = client.get("/copy")
    assert "Ada" not in response.text
    assert "Set-Cookie" not in response.headers
    assert "Vary" not in response.headers


# The wait, and numbers that are none


def test_the_wait_says_how_long_it_was(client: FlaskClient) -> None:
    waited = client.get("/wait?seconds=0.05").json["waited"]
    assert 0.05 <= waited < 5


@pytest.mark.parametrize("seconds", ["-1", "300.1", "1e9", "nan", "inf", "soon", ""])
def test_a_wait_that_is_no_number_of_seconds_is_refused(client: FlaskClient, seconds: str) -> None:
    response = client.get("/wait", query_string={"seconds": seconds})
    assert response.status_code == 400
    assert response.json == {"error": "seconds must be a number from 0 to 300."}


@pytest.mark.parametrize("query", ["count=0", "count=1001", "count=2.5", "interval=61"])
def test_a_stream_without_bounds_is_refused(client: FlaskClient, query: str) -> None:
    response = client.get(f"/events?{query}")
    assert response.status_code == 400
    assert response.json["error"].startswith(query.partition("=")[0])


# The rules


def test_a_path_may_stand_in_the_middle_of_a_rule(client: FlaskClient) -> None:
    path = "/archive/letters/2nd%20half/1911/1912"
    response = client.get(path, base_url="http://localhost/a").json
    assert response == {"folder": "letters/2nd half/1911", "year": 1912, "url": f"/a{path}"}


@pytest.mark.parametrize(
    ("path", "flag", "opposite"),
    [("/flags/true", True, "/flags/false"), ("/flags/false", False, "/flags/true")],
)
def test_a_flag_is_true_or_false(client: FlaskClient, path: str, flag: bool, opposite: str) -> None:
    assert client.get(path).json == {"flag": flag, "opposite": opposite}


@pytest.mark.parametrize("flag", ["True", "1", "yes", "truefalse", "nottrue", ""])
def test_a_flag_is_nothing_else(client: FlaskClient, flag: str) -> None:
    assert client.get(f"/flags/{flag}").status_code == 404


# Errors


def test_the_error_is_a_page_that_gives_nothing_away(client: FlaskClient) -> None:
    response = client.get("/boom?visitor=Ada", base_url="http://localhost/a")
    assert response.status_code == 500
    assert 'href="/a/static/style.css"' in response.text
    assert "ZeroDivisionError" not in response.text
    assert "Ada" not in response.text


def test_the_error_reaches_a_debugger_with_its_frames(app: Flask) -> None:
    app.debug = True
    with pytest.raises(ZeroDivisionError) as caught:
        app.test_client().get("/boom?visitor=Ada")
    view, helper = caught.traceback[-2:]
    assert view.frame.f_locals["visitor"] == "Ada"
    assert helper.frame.f_locals["guests"] == 0


def test_a_page_that_does_not_exist_is_404_in_the_look_of_the_app(client: FlaskClient) -> None:
    response = client.get("/<nowhere>", base_url="http://localhost/a")
    assert response.status_code == 404
    assert 'href="/a/static/style.css"' in response.text
    assert "&lt;nowhere&gt;" in response.text


def test_a_method_that_is_not_allowed_is_answered_with_those_that_are(
    client: FlaskClient,
) -> None:
    response = client.delete("/form")
    assert response.status_code == 405
    assert response.allow.as_set(preserve_casing=True) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert int(response.headers["Content-Length"]) == len(response.data)
