"""What it was measured on, and with which versions."""

import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

from benchmarks.places import Place
from tests.servers import PROJECT

_PACKAGES = ("uWSGI", "Flask", "Werkzeug", "granian", "gunicorn", "waitress", "bjoern")


def run() -> dict[str, str]:
    """When, and with which commit."""
    return {
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _said("git", "describe", "--always", "--dirty", word=r"\S+"),
    }


def describe(place: Place) -> dict[str, str]:
    """Hardware, system and versions."""
    memory = psutil.virtual_memory().total / 1e9
    return {
        "CPU": f"{_cpu()}, {psutil.cpu_count()} cores",
        "memory": f"{memory:.0f} GB",
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}",
        "servers run": place.name,
        "versions": ", ".join(_versions(place)).replace("nginx version: nginx/", "nginx "),
    }


def _versions(place: Place) -> list[str]:
    found = [*place.versions(), f"wrk {_said('wrk', '-v', word=r'[0-9.]+')}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return models[0] if models else platform.machine()


def _said(*command: str, word: str) -> str:
    try:
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    except OSError:
        return "?"
    match = re.search(word, done.stdout + done.stderr)
    return match[0] if match else "?"
