"""Configures logging, as Flask's documentation has it."""

import logging
from logging.config import dictConfig

from imports import app_that_says

dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"short": {"format": "CONFIGURED %(levelname)s %(message)s"}},
        "handlers": {"here": {"class": "logging.StreamHandler", "formatter": "short"}},
        "loggers": {"imports.log": {"level": "INFO", "handlers": ["here"]}},
    }
)
app = app_that_says(lambda: logging.getLogger("imports.log").info("ünïcödé"))
