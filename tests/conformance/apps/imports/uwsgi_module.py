"""Looks for the module that uWSGI brings."""

from imports import app_that_says

try:
    import uwsgi
except ImportError:
    uwsgi = None
app = app_that_says(lambda: "loaded")
