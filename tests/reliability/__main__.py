"""Measure all rows, and write the tables of docs/reliability.md: `python -m tests.reliability`."""

from tests.reliability import held, page
from tests.reliability.kills import ROWS, victim
from tests.servers import ComposeSite, HostSite

KINDS = {"host": HostSite, "compose": ComposeSite}

if __name__ == "__main__":
    kills, holds = [], []
    for kind, site_of in KINDS.items():
        with victim(kind) as site:
            for row in ROWS:
                if row.kind == kind:
                    kills.append([*page.kill_cells(row), *page.kill_figures(site.measure(row))])
        with site_of(**held.SITE) as site:
            for holder in held.HOLDERS:
                pause = held.measure(site, holder).pause
                holds.append([*page.held_cells(kind, holder), f"{pause:.1f} s"])
    page.write("kills", kills)
    page.write("held", holds)
