"""This bundle and the servers a user would otherwise pick, side by side in one run."""
