"""Python that runs inside a uWSGI worker, beside the app or around it."""
