"""RELEASE_COMMAND, with a real migration of a real database."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rollout.conftest import Shop, remove
from tests.servers import PROJECT, ComposeSite, HostSite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

APP = Path(__file__).parent / "apps" / "ledger.py"
NEEDS = ("alembic", "flask-migrate", "flask-sqlalchemy", "greenlet", "mako", "sqlalchemy")
NEEDS += ("typing-extensions",)


class Ledger(Shop):
    """An app with a database. Its migrations are written as its developer would."""

    def add_column(self, name: str) -> Path:
        """Write a release whose model has one more column, and return its migration."""
        file = self.site.folder / "ledger.py"
        column = f"{name} = db.Column(db.String(80))\n    # MORE COLUMNS"
        file.write_text(file.read_text().replace("# MORE COLUMNS", column))
        return self.migrate(f"add {name}")

    def migrate(self, message: str) -> Path:
        """`flask db migrate`, on the developer's own database."""
        before = self.migrations()
        self.flask("migrate", "--message", message)
        self.flask("upgrade")
        (new,) = self.migrations() - before
        return new

    def flask(self, *words: str) -> None:
        url = f"sqlite:///{self.site.folder / 'developer.db'}"
        command = [sys.executable, "-m", "flask", "--app", "ledger", "db", *words]
        environment = os.environ | {"DATABASE_URL": url}
        done = subprocess.run(
            command, cwd=self.site.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def migrations(self) -> set[Path]:
        return set(self.site.folder.glob("migrations/versions/*.py"))

    def seen(self) -> dict[str, list[str]]:
        response = self.site.ask("/path/")
        assert response.status == 200, self.site.logs()
        return response.json()


@pytest.fixture(params=["host", pytest.param("compose", marks=pytest.mark.docker)])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """An app in its first release, with one entry in its database."""
    lines = ["MOUNTS=/path=ledger:app", "WORKERS=2", "THREADS=2"]
    lines.append("RELEASE_COMMAND='flask --app ledger db upgrade'")
    if request.param == "compose":
        # In a volume, as a database has to be; it outlives every container.
        env_file = "\n".join([*lines, "DATABASE_URL=sqlite:////app/instance/ledger.db", ""])
        site = ComposeSite(files=[APP], env_file=env_file)
        with (site.folder / "yourapplication" / "requirements.txt").open("a") as requirements:
            requirements.writelines(pinned(*NEEDS))
    else:
        site = HostSite(files=[APP], env_file="\n".join([*lines, ""]))
        site.environment["DATABASE_URL"] = f"sqlite:///{site.folder / 'ledger.db'}"
    ledger = Ledger(site, lambda: "")
    try:
        ledger.flask("init")
        ledger.migrate("first")
        if isinstance(site, ComposeSite):
            ledger.rollout()  # with nothing there before
        else:
            site.start()
            ledger.rollout()
        assert site.ask("/path/bread", method="POST").status == 200, site.logs()
        yield ledger
    finally:
        remove(site) if isinstance(site, ComposeSite) else site.clean_up()


def test_a_migration_is_done_before_the_release_that_needs_it_is_live(ledger: Ledger) -> None:
    ledger.add_column("price")
    ledger.rollout()
    assert ledger.seen() == {"columns": ["id", "text", "price"], "texts": ["bread"]}


def test_a_migration_that_fails_stops_the_rollout(ledger: Ledger) -> None:
    migration = ledger.add_column("price")
    good = migration.read_text()
    migration.write_text(good.replace("def upgrade():\n", "def upgrade():\n    1 / 0\n"))
    status, said = ledger.deploy("rollout")
    assert status == 1
    assert "ZeroDivisionError" in said
    assert "still serves" in said.splitlines()[-1]
    assert ledger.seen() == {"columns": ["id", "text"], "texts": ["bread"]}
    migration.write_text(good)
    ledger.rollout()
    assert ledger.seen()["columns"] == ["id", "text", "price"]


def pinned(*names: str) -> Iterator[str]:
    """The lines of deploy/requirements/dev.txt, with hashes, that these packages have there."""
    text = (PROJECT / "deploy" / "requirements" / "dev.txt").read_text()
    have = (PROJECT / "yourapplication" / "requirements.txt").read_text()
    for name in names:
        block = re.search(rf"^{re.escape(name)}==(?:.*\\\n)+.*\n", text, re.MULTILINE)
        assert block, f"dev.txt does not pin {name}"
        if not re.search(rf"^{re.escape(name)}==", have, re.MULTILINE):
            yield block[0]
