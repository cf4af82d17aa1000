"""The checks of `python -m deploy check`, one module for each subject."""
