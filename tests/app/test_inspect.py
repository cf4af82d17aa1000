"""The inspector returns Flask's view of a request; tests of the servers rely on it."""

import hashlib
from io import BytesIO

import pytest
from flask.testing import FlaskClient

from yourapplication.pages import INSPECTED


def test_it_shows_the_request_line_as_flask_sees_it_below_a_mount(client: FlaskClient) -> None:
    response = client.get(
        "/inspect/caf%C3%A9?x=1&x=2&y=%26",
        base_url="https://example.com:8443/a/b",
        environ_overrides={"REMOTE_ADDR": "192.0.2.7"},
    ).json
    expected = {
        "method": "GET",
        "path": "/inspect/café",
        "full_path": "/inspect/café?x=1&x=2&y=%26",
        "script_root": "/a/b",
        "url": "https://example.com:8443/a/b/inspect/café?x=1&x=2&y=%26",
        "base_url": "https://example.com:8443/a/b/inspect/café",
        "url_root": "https://example.com:8443/a/b/",
        "external_url": "https://example.com:8443/a/b/",
        "scheme": "https",
        "host": "example.com:8443",
        "remote_addr": "192.0.2.7",
        "rest": "café",
        "query_string": "x=1&x=2&y=%26",
        "args": {"x": ["1", "2"], "y": ["&"]},
        "form": {},
        "files": {},
        "json": None,
        "body_length": 0,
    }
    assert {name: response[name] for name in expected} == expected
    assert response.keys() - expected.keys() == {"headers"}


def test_it_shows_every_header(client: FlaskClient) -> None:
    headers = client.get("/inspect", headers={"X-Request-ID": "7f3a", "Accept": "a/b"}).json[
        "headers"
    ]
    assert ["X-Request-Id", "7f3a"] in headers
    assert ["Accept", "a/b"] in headers


@pytest.mark.parametrize("path", ["/inspect", "/inspect/some/page"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_it_answers_any_method(client: FlaskClient, method: str, path: str) -> None:
    assert client.open(path, method=method).json["method"] == method


def test_it_measures_the_raw_body_of_a_form(client: FlaskClient) -> None:
    body = b"name=Ada+L&name=Grace"
    response = client.post(
        "/inspect", data=body, content_type="application/x-www-form-urlencoded"
    ).json
    assert response["form"] == {"name": ["Ada L", "Grace"]}
    assert response["body_length"] == len(body)


def test_it_measures_the_raw_body_of_a_multipart_form(client: FlaskClient) -> None:
    body = (
        b'--limit\r\nContent-Disposition: form-data; name="name"\r\n\r\nAda\r\n'
        b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n'
        b"--limit--\r\n"
    )
    response = client.post(
        "/inspect",
        input_stream=BytesIO(body),
        content_length=len(body),
        content_type="multipart/form-data; boundary=limit",
    ).json
    assert response["form"] == {"name": ["Ada"]}
    assert response["files"] == {
        "file": [{"filename": "a.txt", "size": 5, "sha256": hashlib.sha256(b"hello").hexdigest()}]
    }
    assert response["body_length"] == len(body)


def test_it_measures_a_raw_body_and_reads_json(client: FlaskClient) -> None:
    raw = client.put("/inspect", data=bytes(70_000), content_type="image/png").json
    assert (raw["body_length"], raw["json"]) == (70_000, None)
    parsed = client.post(
        "/inspect", data=b'{"a": [1, "\xc3\xa9"]}', content_type="application/json"
    )
    assert parsed.json["json"] == {"a": [1, "é"]}
    broken = client.post("/inspect", data=b"{", content_type="application/json").json
    assert (broken["body_length"], broken["json"]) == (1, None)


def test_it_takes_one_large_field_of_a_form_but_not_more_than_it_can_hold(
    client: FlaskClient,
) -> None:
    field = b'--limit\r\nContent-Disposition: form-data; name="x"\r\n\r\n' + b"a" * 1_000_000
    form = "multipart/form-data; boundary=limit"
    response = client.post("/inspect", data=field + b"\r\n--limit--\r\n", content_type=form).json
    assert len(response["form"]["x"][0]) == 1_000_000
    assert client.post("/inspect", data=bytes(INSPECTED)).json["body_length"] == INSPECTED
    assert client.post("/inspect", data=bytes(INSPECTED + 1)).status_code == 413
