"""The sample's entries, on real servers with SQLite in DATA_DIR."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.servers import Serve, Site, until

SETTINGS = {
    "DATABASE_URL": "sqlite:///entries.db",
    "RELEASE_COMMAND": "flask --app yourapplication db upgrade",
}


def keep(site: Site, text: str) -> httpx.Response:
    """Fill in the form, as a browser does."""
    with site.client() as client:
        page = client.get("/path/entries").text
        token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', page)[1]
        return client.post("/path/entries", data={"text": text, "csrf_token": token})


def kept(site: Site) -> list[str]:
    response = site.ask("/path/entries")
    assert response.status == 200, site.logs()
    return re.findall(r"<li><p>(.*?)</p>", response.text)


def rollout(site: Site) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "deploy", "rollout"],
        cwd=site.folder,
        env=site.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{site.logs()}"
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_entries_are_kept_by_several_workers_and_over_a_rollout(serve: Serve) -> None:
    # Each worker loads the app; in test_backing_services.py, the master does.
    site = serve("host", WORKERS=2, THREADS=4, LOAD_APPS="each", **SETTINGS)
    until(lambda: (site.folder / ".run" / "control").exists(), "serve to take commands")
    response = site.ask("/path/entries")
    assert response.status == 503
    assert "type: flask --app yourapplication db upgrade" in response.text
    assert site.ask("/path/").status == 200
    assert "Traceback" not in site.logs()

    assert "RELEASE_COMMAND: flask" in rollout(site)
    texts = {f"entry {number}" for number in range(16)}
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda text: keep(site, text), sorted(texts)))
    assert {response.status_code for response in responses} == {303}, site.logs()
    assert set(kept(site)) == texts
    rollout(site)
    assert set(kept(site)) == texts
    assert (site.folder / "instance" / "entries.db").exists()
