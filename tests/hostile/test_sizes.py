"""A request of any size gets the app's response or a clear error status."""

from pathlib import Path

import pytest

from deploy.server.programs import find
from tests.hostile.recipe import Recipe
from tests.hostile.sizes import DIMENSIONS, PROBE, Dimension, walk
from tests.hostile.wire import Wire, request
from tests.servers import PROJECT, HostSite, Site


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=lambda dimension: dimension.name)
def test_every_size_arrives_whole_or_is_refused_by_name(site: Site, dimension: Dimension) -> None:
    walked = walk(site.port, dimension)
    outcomes = [outcome for _, outcome in walked]
    unclear = [pair for pair in walked if pair[1] not in {"whole", "413", "414", "431"}]
    assert not unclear, "neither the app's response nor a clear error status"
    assert outcomes[0] == "whole"
    assert outcomes == sorted(outcomes, key="whole".__ne__), "a larger one passes, a smaller not"


def test_no_number_of_headers_is_too_much_where_nginx_does_not_count_them() -> None:
    """The arithmetic in limits.conf, for an nginx that has no `max_headers` or a higher one."""
    site = HostSite(files=(PROBE,), MOUNTS="/path=probe:app", WORKERS=1)
    if b"max_headers" in Path(find("nginx", "nginx")).read_bytes():
        with (site.folder / "nginx" / "snippets" / "limits.conf").open("a") as limits:
            limits.write("max_headers 100000;\n")
    # All of one name, and each with its own.
    dimensions = [d for d in DIMENSIONS if d.unit == "headers"]
    with site:
        outcomes = [dict(walk(site.port, dimension)) for dimension in dimensions]
    for seen in outcomes:
        assert set(seen.values()) == {"whole", "431"}
        assert seen[1_750] == "whole"
    assert outcomes[-1][5_000] == "whole"


def test_the_usual_recipe_fails_at_this(recipe: Recipe) -> None:
    """What this is for, with the same requests."""
    # Whether a body or a large response is lost depends on which end closes first.
    requests = [d for d in DIMENSIONS if not d.name.startswith(("body", "`Set-Cookie`"))]
    outcomes = {d.name: {outcome for _, outcome in walk(recipe.port, d)} for d in requests}
    assert len(outcomes) == 11
    assert not [name for name, seen in outcomes.items() if not seen & {"502", "lost"}]


def test_the_table_in_the_docs_has_every_dimension() -> None:
    text = (PROJECT / "docs" / "limits.md").read_text()
    assert not [d.name for d in DIMENSIONS if f"| {d.name} |" not in text]


def test_requests_that_are_sent_without_waiting_are_all_answered_in_order(site: Site) -> None:
    # More than all the buffers for headers hold, so that some are cut at a buffer's end.
    targets = [f"/path/seen/{number}-{'x' * (37 * number % 2000)}" for number in range(200)]
    with Wire(site.port) as wire:
        wire.send(*(request(target) for target in targets))
        for target in targets:
            reply = wire.reply()
            assert (reply.status, target.encode() in reply.body) == (200, True), target


@pytest.mark.parametrize("head", [b"X-Large: " + b"x" * 9_000, b"X: x\r\n" * 3_000])
def test_a_refusal_of_large_headers_names_the_reason(site: Site, head: bytes) -> None:
    with Wire(site.port) as wire:
        reply = wire.send(request("/path/seen", head)).reply()
    assert reply.status == 431
    assert b"headers are too large" in reply.body
    assert reply.headers["X-Request-ID"]
