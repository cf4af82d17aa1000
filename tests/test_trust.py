"""What the app may believe about a request: what nginx knows, and not what the client says."""

import re
from typing import Any

import pytest

from tests.servers import Response, Site, until

SPOOFED = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-SSL": "on",
    "X-Forwarded-For": "192.0.2.66",
    "X-Forwarded-Host": "spoofed.example",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/spoofed",
    "X-Forwarded-Server": "spoofed.example",
    "X-Forwarded-Scheme": "https",
    "X-Scheme": "https",
    "X-Real-IP": "192.0.2.66",
    "X-Request-ID": "spoofed",
    "X-Request-Start": "t=1",
    "X-Original-URL": "/spoofed",
    "X-Rewrite-URL": "/spoofed",
    "Forwarded": "for=192.0.2.66;host=spoofed.example;proto=https",
    "Script-Name": "/spoofed",
    "Proxy": "http://spoofed.example",
}


def seen(response: Response) -> dict[str, Any]:
    """What the inspector saw, without the request's id and start, which are always others."""
    assert response.status == 200, response.text
    everything = response.json()
    own = {"X-Request-Id", "X-Request-Start"}
    headers = [pair for pair in everything["headers"] if pair[0] not in own]
    return everything | {"headers": headers}


@pytest.mark.parametrize(("name", "value"), SPOOFED.items(), ids=SPOOFED)
def test_a_forged_header_changes_nothing(site: Site, name: str, value: str) -> None:
    honest = seen(site.ask("/path/inspect?x=1"))
    for way in (
        [(name, value)],
        [(name.lower(), value)],
        [(name.replace("-", "_"), value)],
        [(name, ""), (name, value)],
        [(name, value), (name, value)],
    ):
        assert seen(site.ask("/path/inspect?x=1", way)) == honest, f"sent as {way}"


def test_a_trusted_proxy_is_believed_about_scheme_host_and_address(crowd: Site) -> None:
    response = seen(crowd.ask("/a/b/inspect?x=1", SPOOFED))
    assert response["scheme"] == "https"
    assert response["host"] == "spoofed.example"
    assert response["remote_addr"] == "192.0.2.66"
    assert response["url"] == "https://spoofed.example/a/b/inspect?x=1"
    assert response["external_url"] == "https://spoofed.example/a/b/"


def test_a_trusted_proxy_is_believed_about_nothing_else(crowd: Site) -> None:
    allowed = {"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For"}
    spoofed = {name: value for name, value in SPOOFED.items() if name not in allowed}
    assert seen(crowd.ask("/a/b/inspect", spoofed)) == seen(crowd.ask("/a/b/inspect"))


def test_wsgi_variables_cannot_be_forged_either(crowd: Site) -> None:
    allowed = {"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For"}
    spoofed = {name: value for name, value in SPOOFED.items() if name not in allowed}
    environ = crowd.ask("/plain/x", spoofed).json()
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/plain", "/x")
    assert environ["wsgi.url_scheme"] == "http"
    assert "HTTP_PROXY" not in environ, "it becomes the proxy of every child process"
    assert not {"HTTPS", "HTTP_FORWARDED", "HTTP_X_FORWARDED_PREFIX"} & environ.keys()
    assert not re.search(r"spoofed|192\.0\.2\.66", str(environ))


@pytest.mark.parametrize("scheme", ["javascript", "https, http", "wss", ""])
def test_a_scheme_is_http_or_https_whoever_says_otherwise(crowd: Site, scheme: str) -> None:
    assert seen(crowd.ask("/inspect", {"X-Forwarded-Proto": scheme}))["scheme"] == "http"


@pytest.mark.parametrize(
    ("hops", "client"),
    [
        (["198.51.100.2"], "198.51.100.2"),
        (["2001:db8::7"], "2001:db8::7"),
        (["198.51.100.2, 10.0.0.9"], "198.51.100.2"),
        (["192.0.2.66, 198.51.100.2, 10.0.0.9, 172.16.0.1"], "198.51.100.2"),
        (["192.0.2.66", "198.51.100.2", "10.0.0.9"], "198.51.100.2"),
    ],
)
def test_the_client_is_the_last_hop_that_is_not_a_proxy_of_ours(
    crowd: Site, hops: list[str], client: str
) -> None:
    response = crowd.ask("/inspect", [("X-Forwarded-For", hop) for hop in hops])
    assert seen(response)["remote_addr"] == client
    assert crowd.access(response.headers["X-Request-ID"])["client"] == client


def test_a_hop_that_is_no_address_is_not_believed(crowd: Site) -> None:
    response = seen(crowd.ask("/inspect", {"X-Forwarded-For": "<script>"}))
    assert response["remote_addr"] == seen(crowd.ask("/inspect"))["remote_addr"]


# --- Host names ---


@pytest.mark.parametrize("host", ["anything.example", "localhost", "[::1]", "192.0.2.1:81"])
def test_any_name_is_answered_until_server_names_are_set(site: Site, host: str) -> None:
    assert seen(site.ask("/path/inspect", {"Host": host}))["host"] == host


@pytest.mark.parametrize(
    "host", ["example.com", "EXAMPLE.COM", "example.com:8443", "a.example.org", "a.b.example.org"]
)
def test_a_name_of_ours_is_answered(crowd: Site, host: str) -> None:
    assert crowd.ask("/inspect", {"Host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["spoofed.example", "localhost", "wwwexample.com", "www.example.com", "xexample.org"]
)
def test_another_name_is_refused_and_never_reaches_python(crowd: Site, host: str) -> None:
    for target in ("/inspect", "/a/b", "/static/style.css", "/shop/"):
        response = crowd.ask(target, {"Host": host})
        assert response.status == 421, target
        assert not crowd.reached_the_app(response)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com:@spoofed.example",
        "example.com:80@spoofed.example",
        "example.com:spoofed",
        "spoofed.example@example.com",
        "example.com/spoofed.example",
        "example.com, spoofed.example",
    ],
)
def test_a_name_cannot_hide_another(crowd: Site, host: str) -> None:
    response = crowd.ask("/inspect", {"Host": host})
    assert response.status in {400, 421}, response.text


def test_a_request_has_one_host(crowd: Site) -> None:
    two = [("Host", "example.com"), ("Host", "spoofed.example")]
    assert crowd.ask("/inspect", two).status == 400


def test_a_request_line_with_a_whole_url_cannot_bring_a_host(crowd: Site, site: Site) -> None:
    for place, path in ((crowd, "/inspect"), (site, "/path/inspect")):
        response = place.ask(f"http://example.com{path}", {"Host": "spoofed.example"})
        assert response.status == 400
        assert not place.reached_the_app(response)


# --- Request ids ---

EVERY_KIND_OF_ANSWER = [
    (200, "GET", "/a/b/"),
    (200, "GET", "/static/style.css"),
    (200, "GET", "/plain/own-request-id"),
    (308, "GET", "/a/b"),
    (400, "GET", "/inspect/%00"),
    (400, "GET", "http://example.com/"),
    (404, "GET", "/nowhere"),
    (405, "DELETE", "/form"),
    (500, "GET", "/boom"),
    (502, "GET", "/plain/exit"),
    (504, "GET", "/wait?seconds=60"),
]


def ids_of(response: Response) -> list[str]:
    """The request ids of a response, all in nginx's format."""
    ids = response.headers.get_all("X-Request-ID", [])
    assert all(re.fullmatch("[0-9a-f]{32}", text) for text in ids), ids
    return ids


def test_every_answer_has_an_id_of_its_own_that_nginx_made(crowd: Site, site: Site) -> None:
    responses = [
        (status, target, crowd.ask(target, {"X-Request-ID": "spoofed"}, method))
        for status, method, target in EVERY_KIND_OF_ANSWER
    ]
    responses += [
        (404, "outside the mount", site.ask("/")),
        (413, "too large", site.ask("/path/upload", {"Content-Length": "99999999"}, "POST")),
        (421, "unknown name", crowd.ask("/", {"Host": "spoofed.example"})),
    ]
    tag = site.ask("/path/static/style.css").headers["ETag"]
    responses.append((304, "tag", site.ask("/path/static/style.css", {"If-None-Match": tag})))
    until(lambda: crowd.ask("/").status == 200, "the worker that takes the place of the ended one")
    seen_ids = set()
    for status, what, response in responses:
        assert response.status == status, what
        assert len(ids_of(response)) == 1, f"{what} has not one id: {response.headers}"
        seen_ids.update(ids_of(response))
    assert len(seen_ids) == len(responses), "an id was used twice"


def test_the_app_sees_the_id_that_the_client_and_the_log_get(site: Site) -> None:
    response = site.ask("/path/inspect", {"X-Request-ID": "spoofed"})
    (request_id,) = ids_of(response)
    ids = [value for name, value in response.json()["headers"] if name == "X-Request-Id"]
    assert ids == [request_id]
    assert site.access(request_id)["uri"] == "/path/inspect"
