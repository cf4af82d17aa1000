"""Replacing one release by another.

Standard library only: a host with containers has no other packages.
"""
