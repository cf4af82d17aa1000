"""However many files the system lets a process open, uWSGI makes room for a sensible number."""

import re

from tests.servers import Site


def test_uwsgi_makes_room_for_sixteen_thousand_files_at_most(site: Site) -> None:
    found = re.search(r"detected max file descriptor number: (\d+)", site.logs())
    assert 0 < int(found[1]) <= 16_384
