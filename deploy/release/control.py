"""Control socket of ``serve``, for rollouts.

``serve`` listens on a unix socket in its RUN_DIR, which only its user may write to. It responds
with lines of progress; the last one begins with ``done`` or ``failed``.
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from deploy.problems import Refusal

Say = Callable[[str], None]


async def listen(run_dir: Path, rollout: Callable[[float, Say], Awaitable[None]]) -> asyncio.Server:
    """Run ``rollout`` for each request, one at a time.

    Args:
        run_dir: the directory of the socket.
        rollout: called with the timeout in seconds and a function that reports progress; raises
            Refusal if it fails.
    """
    lock = asyncio.Lock()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(text: str) -> None:
            # A rollout continues when its client has disconnected.
            writer.write(f"{text}\n".encode())

        try:
            if not (line := await reader.readline()):
                return  # is_up()
            timeout = float(line)
            if lock.locked():
                raise Refusal("another rollout is under way; wait until it has ended.")
            async with lock:
                await rollout(timeout, say)
            say("done")
        except Refusal as refusal:
            say(f"failed: {refusal}")
        finally:
            writer.close()

    socket_path = run_dir / "control"
    socket_path.unlink(missing_ok=True)  # of one that was killed: RUN_DIR is locked
    server = await asyncio.start_unix_server(handle, socket_path)
    socket_path.chmod(0o600)  # whatever the umask
    return server


def is_up(run_dir: Path) -> bool:
    """Whether a ``serve`` runs in this RUN_DIR.

    Raises:
        Refusal: one does, but this user may not connect to it.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(run_dir / "control"))
        except PermissionError:
            raise Refusal(
                f"RUN_DIR is {str(run_dir)!r}, where another user serves; do this as that user."
            ) from None
        except OSError:
            return False
    return True


def ask(run_dir: Path, timeout: float) -> int:
    """Request a rollout, and print its progress.

    Returns:
        Its exit status.
    """
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(run_dir / "control"))
        control.sendall(f"{timeout}\n".encode())
        for line in control.makefile():
            if line == "done\n":
                return 0
            if line.startswith("failed: "):
                print(f"deploy: {line.removeprefix('failed: ')}", end="", file=sys.stderr)
                return 1
            print(line, end="", flush=True)
    print("deploy: `serve` ended during the rollout; its log says why.", file=sys.stderr)
    return 1
