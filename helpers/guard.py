"""Walls around a student's code: a time limit, and a random state that stays as it was."""

from __future__ import annotations

import contextlib
import ctypes
import random
import signal
import sys
import threading

import numpy as np


class TimeUp(BaseException):
    """The code ran longer than it may. A BaseException, so that ``except Exception`` in the code does not swallow it."""


@contextlib.contextmanager
def time_limit(seconds: float):
    """Raise TimeUp inside the block after ``seconds``.

    Python code is stopped between two of its steps; one long call into C (a huge matrix product) ends first.
    Where a bare ``except:`` swallows TimeUp, it comes again every 50 ms until it gets through.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and hasattr(signal, "setitimer"):
        yield from _by_signal(seconds)
    else:
        yield from _by_thread(seconds)


def _by_signal(seconds):
    def ring(signum, frame):
        raise TimeUp

    before = signal.signal(signal.SIGALRM, ring)
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 0.05)
    try:
        yield
    finally:
        # A ring between these two lines would escape: first silence it, then put the old timer back.
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, remaining, interval)
        signal.signal(signal.SIGALRM, before)


def _by_thread(seconds):
    """Windows has no SIGALRM, and a signal reaches only the main thread: a helper thread throws the exception."""
    target = ctypes.c_ulong(threading.get_ident())
    throw = ctypes.pythonapi.PyThreadState_SetAsyncExc
    done = threading.Event()
    turn = threading.Lock()

    def watch():
        pause = seconds
        while not done.wait(pause):
            with turn:
                if not done.is_set():
                    throw(target, ctypes.py_object(TimeUp))
            pause = 0.05

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        with turn:
            done.set()
            throw(target, None)  # takes back an exception that was thrown but has not arrived


@contextlib.contextmanager
def same_random_state(seed: int = 0):
    """Run the block with all generators seeded, then put Python's, NumPy's and torch's global states back."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    torch = sys.modules.get("torch")
    torch_state = torch.random.get_rng_state() if torch else None
    cuda_states = torch.cuda.get_rng_state_all() if torch and torch.cuda.is_initialized() else None
    random.seed(seed)
    np.random.seed(seed)
    if torch:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        if torch:
            torch.random.set_rng_state(torch_state)
            if cuda_states is not None:
                torch.cuda.set_rng_state_all(cuda_states)
