"""What `python -m deploy check` looks at, one module a subject."""
