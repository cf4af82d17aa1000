"""Starts a thread at import."""

import threading
import time

from imports import app_that_says

ticks: list[float] = []


def tick() -> None:
    while True:
        ticks.append(time.time())
        time.sleep(0.05)


threading.Thread(target=tick, daemon=True).start()


def look() -> bool:
    count = len(ticks)
    for _ in range(600):
        if len(ticks) > count:
            return True
        time.sleep(0.05)
    return False


app = app_that_says(look)
