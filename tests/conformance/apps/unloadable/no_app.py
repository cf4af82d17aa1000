"""Has no app."""

application = None
