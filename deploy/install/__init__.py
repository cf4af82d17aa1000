"""What puts the app and its requirements into an environment, for `make` and for the image.

Standard library only, for any Python from 3.11 on.
"""
