"""Converters for parts of a URL."""

from werkzeug.routing import BaseConverter


class BoolConverter(BaseConverter):
    """``<bool:name>`` takes ``true`` or ``false``, and nothing else."""

    regex = "(?:true|false)"

    def to_python(self, value: str) -> bool:
        """From the URL to the view."""
        return value == "true"

    def to_url(self, value: bool) -> str:
        """From ``url_for`` to the URL; anything true is ``true``."""
        return "true" if value else "false"
