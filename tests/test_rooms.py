"""Rooms of `deploy`: which process runs a line, and which room may import which."""

import ast
import sys
from pathlib import Path

import pytest

from deploy.settings.knobs import PROJECT

# What each room may import. `server.loading` runs in a uWSGI that exits, not in a worker.
MAY_IMPORT = {
    "problems": set(),
    "settings": {"problems"},
    "worker": {"settings", "problems"},
    "install": {"settings", "problems"},
    "server": {"settings", "problems"},
    "release": {"install", "server", "settings", "problems"},
    "commands": {"install", "release", "server", "settings", "problems"},
    "__main__": {"commands", "install", "release", "server", "settings", "problems"},
}
MODULES = sorted((PROJECT / "deploy").rglob("*.py"))


def names(path: Path) -> list[str]:
    """The dotted names that a module imports, wherever in it."""
    package = "deploy"
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
            assert node.module != package or all(
                (PROJECT / package / alias.name).exists()
                or (PROJECT / package / f"{alias.name}.py").exists()
                for alias in node.names
            )
    return found


def room(path: Path) -> str:
    return path.relative_to(PROJECT / "deploy").with_suffix("").parts[0]


def modules_of(path: Path) -> set[Path]:
    """The modules of `deploy` that a module imports."""
    found = set()
    for name in names(path):
        parts = name.split(".")
        for end in (len(parts), len(parts) - 1):
            file = PROJECT.joinpath(*parts[:end]).with_suffix(".py")
            if parts[0] == "deploy" and file.is_file():
                found.add(file)
                break
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PROJECT)))
def test_no_import_climbs(path: Path) -> None:
    own = room(path)
    climbing = {
        name
        for name in names(path)
        if name.startswith("deploy.") and name.split(".")[1] not in {own, *MAY_IMPORT.get(own, ())}
    }
    assert not climbing, f"{path.relative_to(PROJECT)} imports {climbing}"


def test_imports_make_no_circle() -> None:
    imports = {path: modules_of(path) for path in MODULES}
    assert any(imports.values())
    while True:
        leaves = {path for path, needs in imports.items() if not needs & imports.keys()}
        if not leaves:
            break
        imports = {path: needs for path, needs in imports.items() if path not in leaves}
    assert not imports, f"a circle: {sorted(str(path.relative_to(PROJECT)) for path in imports)}"


def test_only_main_imports_inside_of_functions() -> None:
    """`health` runs every few seconds, and must not load what other commands need."""
    inside = [
        f"{path.relative_to(PROJECT)}:{node.lineno}"
        for path in MODULES
        if room(path) != "__main__"
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert not inside


def test_a_host_with_containers_needs_no_other_packages() -> None:
    """A rollout's modules, and those that they import, are of the standard library."""
    seen, new = set(), {PROJECT / "deploy" / "commands" / "operate.py"}
    while new:
        path = new.pop()
        seen.add(path)
        others = {n.split(".")[0] for n in names(path)} - sys.stdlib_module_names - {"deploy"}
        assert not others, f"{path.relative_to(PROJECT)} imports {others}"
        new |= modules_of(path) - seen
    assert PROJECT / "deploy" / "release" / "rollout.py" in seen
