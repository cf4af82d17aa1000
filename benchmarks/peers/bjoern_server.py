"""bjoern has no command: WORKERS processes that share a port, each with its own event loop."""

import os
import sys

import bjoern
from measured import app

port, workers = map(int, sys.argv[1:])
bjoern.listen(app, "127.0.0.1", port)
children = []
for _ in range(workers):
    if not (child := os.fork()):
        bjoern.run()
        break
    children.append(child)
for child in children:
    os.waitpid(child, 0)
