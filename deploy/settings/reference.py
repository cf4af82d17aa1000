"""docs/settings.md, made of ``deploy/defaults.env`` and of what each setting may be.

``python -m deploy.settings.reference >docs/settings.md``
"""

import re
from collections.abc import Iterator

from deploy.settings.kinds import KINDS
from deploy.settings.knobs import DEFAULTS

_TOP = """# Settings

Write the settings that you change into `.env`, beside `docker-compose.yml`, or set them in the
environment, which overrides `.env`. In `.env`, a value with a `$` in it needs single quotes.
`python -m deploy check` prints what is wrong with your settings.

This page is made of [`deploy/defaults.env`](../deploy/defaults.env) and
[`deploy/settings/kinds.py`](../deploy/settings/kinds.py) by `make settings`.
"""


def page() -> str:
    """The text of docs/settings.md."""
    _, *sections = re.split(r"^# --- (.*?) -+\n", DEFAULTS.read_text(), flags=re.MULTILINE)
    text = _TOP
    for title, content in zip(sections[::2], sections[1::2], strict=True):
        text += f"\n## {_linked(title)}\n\n| setting | value | default | |\n|---|---|---|---|\n"
        text += "".join(_rows(content))
    return text


def _rows(section: str) -> Iterator[str]:
    for paragraph in section.strip().split("\n\n"):
        lines = paragraph.splitlines()
        comment = " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))
        settings = [line.partition("=") for line in lines if not line.startswith("#")]
        cells = [
            "<br>".join(f"`{name}`" for name, _, _ in settings),
            "<br>".join(KINDS[name].text for name, _, _ in settings),
            "<br>".join(f"`{default}`" if default else "empty" for _, _, default in settings),
            _linked(re.sub(r"([*|<])", r"\\\1", comment)),
        ]
        yield f"| {' | '.join(cells)} |\n"


def _linked(text: str) -> str:
    return re.sub(r"\bdocs/(\w+\.md)", r"[docs/\1](\1)", text)


if __name__ == "__main__":
    print(page(), end="")
