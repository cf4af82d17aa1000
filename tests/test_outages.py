"""Responses while the app is down, and after it is up again."""

from tests.servers import Response, Site, until


def say_when_to_try_again(response: Response) -> None:
    """Assert that this is a page for people, with what machines need to know."""
    assert int(response.headers["Retry-After"]) > 0
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Type"].startswith("text/html")
    assert "try again" in response.text


def test_an_answer_that_takes_too_long_is_a_friendly_504(crowd: Site) -> None:
    response = crowd.ask("/wait?seconds=60")
    assert response.status == 504
    say_when_to_try_again(response)
    assert crowd.access(response.headers["X-Request-ID"])["seconds"] < 50


def test_a_worker_that_dies_is_a_friendly_502_and_replaced(crowd: Site) -> None:
    # More often than there are workers: were they not replaced, none would be left.
    for _ in range(6):
        response = crowd.ask("/plain/exit")
        assert response.status == 502
        say_when_to_try_again(response)
        # uWSGI pauses for two seconds when workers die one right after the other.
        until(lambda: crowd.ask("/a/b/").status == 200, "the next worker")


def test_the_apps_own_errors_pass_unchanged(crowd: Site) -> None:
    response = crowd.ask("/a/b/nowhere")
    assert response.status == 404
    assert 'href="/a/b/static/style.css"' in response.text
    assert crowd.ask("/plain/missing").json()["PATH_INFO"] == "/missing"
