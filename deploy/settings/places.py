"""Places in a project."""

from pathlib import Path


def instance(app_dir: Path) -> Path:
    """Flask's instance folder: beside the package of the app."""
    source = app_dir / "src"
    return (source if source.is_dir() else app_dir) / "instance"
