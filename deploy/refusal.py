"""The one way in which this bundle says no."""


class Refusal(Exception):
    """A setting or a machine that nothing may be started with.

    The message is what the person at the terminal reads: one sentence that names the setting,
    its value and the mend. It is printed without a traceback, and the exit status is 2.
    """
