"""How the bundle gets onto a machine and is run there: ``python -m deploy --help``."""
