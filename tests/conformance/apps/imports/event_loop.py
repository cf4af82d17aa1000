"""Runs an event loop at import."""

import asyncio

from imports import app_that_says


async def load() -> str:
    await asyncio.sleep(0)
    return "loaded by a loop"


value = asyncio.run(load())
app = app_that_says(lambda: value)
