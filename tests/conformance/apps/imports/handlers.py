"""Sets signal handlers, as clients of message brokers do."""

import signal

from imports import app_that_says

before = signal.signal(signal.SIGUSR1, lambda *_: None)
signal.signal(signal.SIGALRM, lambda *_: None)
app = app_that_says(lambda: callable(signal.getsignal(signal.SIGALRM)))
