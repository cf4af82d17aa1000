"""What a fork changes. Werkzeug's server does not fork, and responds as one process does."""

from functools import partial

from tests.conformance.row import Row

row = partial(Row, "fork hooks", look=lambda reply: (reply.status, reply.body.decode()))
RIGHT = {
    "hook": ("os.register_at_fork(after_in_child=) at import", "True"),
    "client": ("a client that is renewed after a fork", "True"),
    "lock": ("a lock that is held across forks is free", "True"),
    "view": ("hooks when a view forks", "before child | before parent"),
    "nested": ("after_in_child when a view forks", "True"),
    "multiprocessing": ("hooks in multiprocessing's children", "child"),
    "random": ("random is seeded in each worker", "True"),
    "random-child": ("random differs in a child of a view", "True"),
    "uuid": ("uuid4 differs in a child of a view", "True"),
    "temporary": ("names of temporary files differ in a child", "True"),
    "main-thread": ("threading.main_thread is alive", "True"),
    "logging": ("logging's locks are free", "None"),
    "executor": ("a new ThreadPoolExecutor works", "7"),
    "getpid": ("os.getpid", "True"),
}
ROWS = tuple(
    row(text, (f"/x/forks/{name}",), right=(200, said)) for name, (text, said) in RIGHT.items()
)
