"""Rules over several settings."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.problems import Refusal
from deploy.settings import debugging, places

# Bytes. RFC 2104 (section 3) asks for a key as long as the hash; Flask signs with SHA-1.
_SHORTEST_KEY = 20
# Keys of examples, such as that of Flask's documentation (192b...): the first that an attacker
# tries.
_KEY_OF_AN_EXAMPLE = re.compile(
    r"change.?me|example|insecure|your.?(secret|key)|192b9bdd22ab9ed4", re.I
)


def check(
    text: Mapping[str, str],
    values: Mapping[str, Any],
    commands: Mapping[str, str],
    secret_key: str,
) -> None:
    """Check what one setting says of another.

    Args:
        text: the settings.
        values: the same, typed.
        commands: those of the Procfile.
        secret_key: the configured one, perhaps empty.

    Raises:
        Refusal: two settings contradict each other, or one needs another.
    """
    _headers(text, values)
    if "release" in commands and text["RELEASE_COMMAND"].strip():
        raise Refusal(
            f"RELEASE_COMMAND is {text['RELEASE_COMMAND']!r}, and the Procfile has a release line,"
            " which is the same step; remove one of the two."
        )
    if values["DRAIN_DELAY"] and not values["TRUSTED_PROXIES"]:
        raise Refusal(
            f"DRAIN_DELAY is {text['DRAIN_DELAY']!r} and TRUSTED_PROXIES is empty; name the load"
            " balancer, whose healthcheck is told to turn to other machines."
        )
    if values["PROXY_PROTOCOL"] and not values["TRUSTED_PROXIES"]:
        raise Refusal(
            "PROXY_PROTOCOL is on and TRUSTED_PROXIES is empty; name the proxies that send the"
            " client's address with it."
        )
    _tls(text)
    if text["ENVIRONMENT"] == "production":
        _production(text, values, secret_key)
    if values["UWSGI_DEBUG"]:
        debugging.check_guard(text)


def tls(text: Mapping[str, str]) -> bool:
    """Whether nginx serves HTTPS.

    Not whether the files exist: the app's container has their names only.
    """
    return text["TLS_CERTIFICATE"] != os.devnull


def _tls(text: Mapping[str, str]) -> None:
    if tls(text) != (text["TLS_KEY"] != os.devnull):
        missing = "TLS_KEY" if tls(text) else "TLS_CERTIFICATE"
        raise Refusal(f"{missing} is '/dev/null' and the other half of the pair is set; set both.")
    if tls(text) and text["HTTPS_PORT"] == text["HTTP_PORT"]:
        raise Refusal(
            f"HTTPS_PORT and HTTP_PORT are both {text['HTTP_PORT']!r}; give each its own, as in"
            " HTTPS_PORT=8443."
        )


def _headers(text: Mapping[str, str], values: Mapping[str, Any]) -> None:
    identity, passed = (text[n].lower().split() for n in ("IDENTITY_HEADERS", "PASS_HEADERS"))
    if both := sorted({*identity} & {*passed}):
        raise Refusal(
            f"IDENTITY_HEADERS and PASS_HEADERS both have {both[0]!r}, and any client could send"
            " the latter; remove it from PASS_HEADERS."
        )
    if not identity:
        return
    if not values["TRUSTED_PROXIES"] or values["PROXY_PROTOCOL"]:
        raise Refusal(
            f"IDENTITY_HEADERS is {text['IDENTITY_HEADERS']!r} and no proxy is trusted to send"
            " them; name the proxy that sets these headers in TRUSTED_PROXIES, without"
            " PROXY_PROTOCOL."
        )
    if debugging.too_wide(text["TRUSTED_PROXIES"]):
        raise Refusal(
            f"IDENTITY_HEADERS is set and TRUSTED_PROXIES is {text['TRUSTED_PROXIES']!r}, a large"
            " part of the Internet, which could sign in as any user; name only the addresses of"
            " your proxies."
        )


def _production(text: Mapping[str, str], values: Mapping[str, Any], secret_key: str) -> None:
    for name in ("UWSGI_DEBUG", "FLASK_DEBUG"):
        if values[name]:
            raise Refusal(
                f"ENVIRONMENT is 'production' and {name} is {text[name]!r}, which discloses source"
                f" code to clients; leave {name} empty."
            )
    if not values["SERVER_NAMES"]:
        raise Refusal(
            "ENVIRONMENT is 'production' and SERVER_NAMES is empty; set the names of your site, as"
            " in SERVER_NAMES=example.com."
        )
    if not secret_key:
        raise Refusal(
            "ENVIRONMENT is 'production' and there is no secret key; set SECRET_KEY_FILE, or"
            " SECRET_KEY, for example to what `openssl rand -hex 32` prints."
        )
    # Without any part of the key: logs are less private.
    if problem := problem_of_key(secret_key):
        raise Refusal(
            f"ENVIRONMENT is 'production' and the secret key {problem}, so an attacker could guess"
            " it and sign in as any user; make one with `openssl rand -hex 32`."
        )
    if debugging.too_wide(text["TRUSTED_PROXIES"]):
        raise Refusal(
            f"ENVIRONMENT is 'production' and TRUSTED_PROXIES is {text['TRUSTED_PROXIES']!r}, which"
            " is a large part of the Internet; name the addresses of your proxies alone."
        )
    # With the PROXY protocol, a proxy passes TLS through.
    if not tls(text) and (values["PROXY_PROTOCOL"] or not values["TRUSTED_PROXIES"]):
        raise Refusal(
            "ENVIRONMENT is 'production' and there is no TLS; set TLS_CERTIFICATE and TLS_KEY, or"
            " name the reverse proxy that terminates TLS in TRUSTED_PROXIES. See docs/tls.md."
        )


def problem_of_key(key: str) -> str | None:
    """Why an attacker could guess a secret key; None if that is infeasible."""
    if len(key.encode()) < _SHORTEST_KEY:
        return f"has fewer than {_SHORTEST_KEY} bytes"
    if _KEY_OF_AN_EXAMPLE.search(key):
        return "is one that stands in examples"
    if len(set(key)) < 8:
        return "has only a few different characters"
    return None


def secret_key(text: Mapping[str, str]) -> str:
    """The configured key, or nothing.

    Raises:
        Refusal: the file cannot be read, or there are two keys.
    """
    key = _secret_from(text["SECRET_KEY_FILE"])
    if key and text["SECRET_KEY"]:
        raise Refusal("SECRET_KEY and SECRET_KEY_FILE are both set; leave one of them out.")
    return key or text["SECRET_KEY"]


def _secret_from(file: str) -> str:
    try:
        key = Path(file).read_text().strip()
        none = not Path(file).is_file()  # /dev/null
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(
            f"SECRET_KEY_FILE is {file!r}, which cannot be read ({error}); name a text file that"
            " holds the key and that this user may read."
        ) from None
    if not key and not none:
        raise Refusal(f"SECRET_KEY_FILE is {file!r}, which is empty; write the key into it.")
    return key


def app_dir(text: Mapping[str, str], project: Path) -> Path:
    """The directory that APP_DIR names.

    Raises:
        Refusal: there is none.
    """
    # An image has the project at one place, wherever it was on the host.
    in_image = project / ".project"
    path = (in_image if in_image.is_symlink() else project / text["APP_DIR"]).resolve()
    if not path.is_dir():
        raise Refusal(
            f"APP_DIR is {text['APP_DIR']!r}, and there is no directory {path}; write the path of"
            " your project, from docker-compose.yml on, as in ../shop."
        )
    return path


def data_dir(text: Mapping[str, str], project: Path) -> Path:
    """DATA_DIR: not where images, commits or a start would affect it.

    Raises:
        Refusal: it is there.
    """
    app_dir = Path(text["APP_DIR"])
    instance = places.instance(app_dir)
    allowed = instance, app_dir / "instance"
    path = Path(os.path.normpath(text["DATA_DIR"] or instance))
    reason = ""
    if not path.is_absolute():
        reason = "is relative"
    elif path.is_relative_to(text["RUN_DIR"]):
        reason = "is in RUN_DIR, which each start empties"
    elif any(
        place.is_relative_to(path)
        or (path.is_relative_to(place) and not any(map(path.is_relative_to, allowed)))
        for place in (project, app_dir)
    ):
        reason = f"is in the checkout or around it, so data would get into images ({project})"
    if reason:
        raise Refusal(
            f"DATA_DIR is {str(path)!r}, which {reason}; write an absolute path outside the"
            " checkout, or leave it empty for the directory `instance`."
        )
    return path
