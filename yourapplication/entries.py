"""A page that keeps what visitors write, in the database of ``DATABASE_URL``.

``create_app`` imports this module only if there is such a setting. Tables are
made by the migrations beside it: ``flask --app yourapplication db upgrade``.
"""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from flask import Blueprint, Flask, current_app, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, String, event, select
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.exceptions import ServiceUnavailable

from .forms import EntryForm
from .pages import error

SHOWN = 20  # the newest entries, on the page


class Base(DeclarativeBase):
    """The base of all tables."""


db = SQLAlchemy(model_class=Base)
migrate = Migrate(directory=str(Path(__file__).with_name("migrations")))
bp = Blueprint("entries", __name__)


class Entry(db.Model):
    """What a visitor wrote, and when (in UTC; SQLite keeps no time zone)."""

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(EntryForm.LONGEST))
    written: Mapped[datetime] = mapped_column(
        default=lambda: datetime.now(UTC).replace(tzinfo=None)
    )


def init_app(app: Flask) -> None:
    """Give the app its database and this page."""
    # Tests a pooled connection before it is used, so that requests succeed after a restart of the
    # database.
    app.config.setdefault("SQLALCHEMY_ENGINE_OPTIONS", {"pool_pre_ping": True})
    db.init_app(app)
    migrate.init_app(app, db)
    app.register_blueprint(bp)


@event.listens_for(Engine, "connect")
def set_up_sqlite(connection: object, record: object) -> None:
    """Let SQLite's readers not wait for a writer, and a writer wait for another."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA busy_timeout = 10000")  # ms
        connection.execute("PRAGMA journal_mode = WAL")


@bp.route("/entries", methods=["GET", "POST"])
def entries() -> ResponseReturnValue:
    """List the newest entries, and take another; a bad form or CSRF token gets 400."""
    form = EntryForm()
    if form.validate_on_submit():
        db.session.add(Entry(text=form.text.data))
        db.session.commit()
        flash("Your entry is in the database.")
        return redirect(url_for(".entries"), 303)  # so that a reload does not post again
    newest = db.session.scalars(select(Entry).order_by(Entry.id.desc()).limit(SHOWN)).all()
    page = render_template("entries.html", form=form, entries=newest, database=db.engine.name)
    return page, 400 if form.is_submitted() else 200


@bp.errorhandler(OperationalError)
@bp.errorhandler(ProgrammingError)
def unavailable(problem: OperationalError | ProgrammingError) -> ResponseReturnValue:
    """Say in a sentence that there is no database, or not yet its tables; 503."""
    db.session.rollback()
    reason, *_ = str(problem.orig).splitlines()
    current_app.logger.error("The database failed: %s", reason)
    # A table or a column is missing: PostgreSQL's way to say it, and SQLite's.
    if isinstance(problem, ProgrammingError) or reason.startswith("no such"):
        sentence = (
            "The database does not have the tables of this release;"
            " type: flask --app yourapplication db upgrade"
        )
    else:
        sentence = "The database does not respond. Please try again in a moment."
    return error(ServiceUnavailable(sentence, retry_after=5))
