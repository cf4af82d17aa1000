"""Print the first requirement that a lock does not have. Runs with pip, without ``deploy``."""

import json
import sys

from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
from pip._vendor.packaging.utils import canonicalize_name


def main() -> None:
    """Read JSON: declared requirements with their places, and the locked versions by name."""
    given = json.load(sys.stdin)
    for place, text in given["declared"]:
        try:
            needed = Requirement(text)
        except InvalidRequirement:
            print(f"{place}: {text!r} is no requirement, and not in")
            return
        versions = given["locked"].get(canonicalize_name(needed.name))
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        if versions is None:
            print(f"{place}: {text!r} is not in")
            return
        known = [version for version in versions if version]
        if known and not any(needed.specifier.contains(v, prereleases=True) for v in known):
            print(f"{place}: {text!r} does not fit {needed.name} {known[0]} in")
            return


if __name__ == "__main__":
    main()
