"""The rows of the conformance table, a module for each family."""

from tests.conformance.row import Row

from . import (
    background,
    bodies,
    children,
    environment,
    forks,
    headers,
    imports,
    sessions,
    static,
    uploads,
)

FAMILIES = (
    bodies,
    headers,
    uploads,
    children,
    background,
    forks,
    imports,
    environment,
    static,
    sessions,
)
ROWS: tuple[Row, ...] = tuple(row for family in FAMILIES for row in family.ROWS)
