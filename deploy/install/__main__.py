"""Steps of the image's build: ``python -m deploy.install STEP FROM TO``."""

import sys
from pathlib import Path

from deploy.install import files, packages, project
from deploy.problems import Refusal


def main(step: str, source: Path, target: Path) -> None:
    """Run one step.

    Args:
        step: `copy` the project, copy its `requirements`, or install `uwsgi`, `packages`, a `tool`
            that reads locks, or the `project` itself.
        source: the directory of the project or of its requirements, or the name of the tool.
        target: the directory to make, or the environment.
    """
    match step:
        case "copy":
            project.read(source)
            files.copy(source, target)
        case "requirements":
            files.copy_requirements(project.read(source), target)
        case "uwsgi":
            packages.install_uwsgi(target, source)
        case "packages":
            packages.install(project.read(source), target, Path("/tmp/tools"))
        case "tool":
            packages.tool(str(source), target)
        case "project":
            packages.install_project(project.read(source), target)


if __name__ == "__main__":
    try:
        main(sys.argv[1], *map(Path, sys.argv[2:]))
    except Refusal as refusal:
        sys.exit(f"deploy: {refusal}")
