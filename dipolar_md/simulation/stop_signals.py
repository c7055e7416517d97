"""How a run is told to stop: the first signal after the present chunk, the second at once.

Python's own handlers wait until an engine comes back from its chunk. So a thread hears the signals,
too, and ends the process where the second finds the engine at work; the last checkpoint is kept.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_s = 1.0
"""Time that the second signal leaves the run to end by itself."""


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT, SIGTERM or SIGHUP set, while a run is under way.

    Signals that are ignored, as by nohup, stay ignored. Outside the main thread none is heard.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def told(*_: int | FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    names = [name for name in NAMES if signal.getsignal(name) is not signal.SIG_IGN]
    before = {name: signal.signal(name, told) for name in names}
    with _impatient(names):
        try:
            yield stopped
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)


@contextmanager
def _impatient(names: list[signal.Signals]) -> Iterator[None]:
    """End the process soon after the second signal, should it not end by itself."""
    hearing, telling = os.pipe()
    os.set_blocking(telling, False)
    over = threading.Event()
    listener = threading.Thread(target=_listen, args=(hearing, {*names}, over), daemon=True)
    listener.start()
    before = signal.set_wakeup_fd(telling, warn_on_full_buffer=False)
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        os.close(telling)  # which ends the listener
        listener.join()
        os.close(hearing)


def _listen(hearing: int, names: set[signal.Signals], over: threading.Event) -> None:
    heard = 0
    while number := os.read(hearing, 1):
        heard += number[0] in names
        if heard >= 2 and not over.wait(GRACE_s):
            os.write(2, b"interrupted at once; the last checkpoint is kept\n")
            os._exit(130)
