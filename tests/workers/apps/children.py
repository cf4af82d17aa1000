"""An app that starts processes, in each way that Python has."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from flask import Flask, Response

app = Flask(__name__)

FORKED = []
os.register_at_fork(after_in_child=lambda: FORKED.append(os.getpid()))


@app.get("/")
def pid() -> str:
    return str(os.getpid())


@app.get("/forked")
def forked() -> dict:
    """The processes in which the hook has run, from the oldest ancestor to this one."""
    return {"pid": os.getpid(), "hooks": FORKED}


@app.get("/blocked")
def blocked() -> str:
    """The signals that a child finds blocked."""
    code = "import signal; print(len(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout


@app.get("/popen/<int:number>")
def popen(number: int) -> str:
    child = subprocess.Popen(["sleep", "60"])
    child.send_signal(number)
    return str(child.wait(50))


@app.get("/timeout")
def timeout() -> str:
    return str(subprocess.run(["timeout", "0.1", "sleep", "60"], timeout=50).returncode)


@app.get("/alarm")
def alarm() -> str:
    code = "import signal, time; signal.setitimer(signal.ITIMER_REAL, 0.1); time.sleep(60)"
    return str(subprocess.run([sys.executable, "-c", code], timeout=50).returncode)


def wait(begun) -> None:
    begun.set()
    time.sleep(60)


@app.get("/process/<method>/<int:number>")
def process(method: str, number: int) -> str:
    context = multiprocessing.get_context(method)
    begun = context.Event()
    child = context.Process(target=wait, args=(begun,))
    child.start()
    begun.wait(50)
    os.kill(child.pid, number)
    child.join(50)
    return str(child.exitcode)


def nothing() -> None:
    pass


@app.get("/exit/<method>")
def exit_status(method: str) -> str:
    child = multiprocessing.get_context(method).Process(target=nothing)
    child.start()
    child.join(50)
    return str(child.exitcode)


@app.get("/terminate/<method>")
def terminate(method: str) -> str:
    """End a child that may not have begun yet."""
    child = multiprocessing.get_context(method).Process(target=time.sleep, args=[60])
    child.start()
    child.terminate()
    child.join(50)
    return str(child.exitcode)


@app.get("/pool/<method>")
def pool(method: str) -> str:
    with multiprocessing.get_context(method).Pool(2) as pool:
        return str(pool.map(abs, range(-3, 0)))


@app.get("/executor/<method>")
def executor(method: str) -> str:
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as executor:
        return str(list(executor.map(abs, range(-3, 0))))


@app.get("/os-fork")
def os_fork() -> str:
    """SIGTERM has its usual effect in a child that does not even belong to multiprocessing."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.write(writing, b".")
        time.sleep(60)
        os._exit(1)
    os.read(reading, 1)
    os.kill(child, signal.SIGTERM)
    return str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


@app.get("/stream")
def stream() -> Response:
    """A body without a length, which ends when the connection does; a child forked before it."""
    if not os.fork():
        time.sleep(60)
        os._exit(0)
    return Response(iter(["all"]))


LEFT = ["sleep", "3141"]


@app.post("/descriptors")
def descriptors() -> str:
    """Those that a child gets which closes nothing itself; `ls` opens the last one."""
    return subprocess.run(
        ["ls", "/proc/self/fd"], close_fds=False, capture_output=True, text=True
    ).stdout


@app.get("/leave/<how>")
def leave(how: str) -> str:
    """Start a process, and leave it alone."""
    if how == "Popen":
        subprocess.Popen(LEFT)
    elif how == "Popen in a session of its own":
        subprocess.Popen(LEFT, start_new_session=True)
    elif how == "Popen in a group of its own":
        subprocess.Popen(LEFT, process_group=0)
    elif how == "os.system in the background":
        os.system(f"{' '.join(LEFT)} >/dev/null 2>&1 &")
    elif how == "one that ignores SIGTERM":
        subprocess.Popen(["sh", "-c", f"trap '' TERM; {' '.join(LEFT)}; :"])
    elif how == "os.fork":
        if not os.fork():
            os.execvp(LEFT[0], LEFT)
    elif how == "a daemon":
        os.system(f"setsid sh -c '{' '.join(LEFT)} >/dev/null 2>&1 &'")
    return how
