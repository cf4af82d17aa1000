"""The error of all commands."""


class Refusal(Exception):
    """A setting or a machine with which a command cannot run.

    The message is one sentence with the setting, its value and the fix. It is printed without a
    traceback, and the exit status is 2.
    """
