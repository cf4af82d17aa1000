"""An app that knows what it wants browsers to hear."""

import os

from flask import Flask, Response, request

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]


@app.get("/say")
def say() -> Response:
    """A response with the content type `type`, and the other arguments as headers."""
    headers = request.args.to_dict()
    return Response("said", content_type=headers.pop("type", "text/html"), headers=headers)
