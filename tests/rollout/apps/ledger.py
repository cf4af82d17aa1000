"""An app with a database, whose schema is Flask-Migrate's business."""

import os

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
db = SQLAlchemy(app)
Migrate(app, db)


class Entry(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    text = db.Column(db.String(80))
    # MORE COLUMNS


@app.get("/")
def entries() -> dict[str, list[str]]:
    found = db.session.execute(db.select(Entry).order_by(Entry.id)).scalars()
    columns = [column.name for column in Entry.__table__.columns]
    return {"columns": columns, "texts": [entry.text for entry in found]}


@app.post("/<text>")
def write(text: str) -> str:
    db.session.add(Entry(text=text))
    db.session.commit()
    return text
