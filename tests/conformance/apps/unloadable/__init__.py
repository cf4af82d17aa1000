"""Apps that cannot be loaded."""
