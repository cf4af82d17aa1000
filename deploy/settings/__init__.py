"""Text to values: the settings, read and validated."""
