"""Handing tasks to a `concurrent.futures.Executor`: what is heavy goes to each worker once.

What is heavy (a loaded device, a mapping) is a `Parcel`, pickled once and unpacked once per worker thread; a task
carries a reference to it and its own small part. A task is a function of what it carries alone, so that one which is
run again after its worker died gives the same.
"""

from __future__ import annotations

import contextlib
import pickle
import tempfile
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final

import attrs

from hal.errors import ConfigError, ExecutorError, HalError
from hal.watch import Watch

KEPT: Final = 4
"""Parcels that a worker keeps; what it dropped it unpacks again."""


@attrs.frozen
class Parcel:
    """A reference to something heavy, sent along with `where` it is: its pickle, or the file that has it.

    name: unlike that of any other parcel. version: of neurohal where it was packed.
    """

    name: str
    version: str


class Held:
    """What one parcel holds, unpacked: as many copies as threads of this process use at once."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._free: list[Any] = []

    @contextlib.contextmanager
    def lent(self) -> Iterator[Any]:
        """A copy that no other thread has meanwhile."""
        try:
            copy = self._free.pop()
        except IndexError:
            copy = pickle.loads(self.content)
        yield copy
        # after an error it is not given back: nobody knows its state
        self._free.append(copy)


_held: OrderedDict[str, Held] = OrderedDict()
_lock = threading.Lock()
received: OrderedDict[str, int] = OrderedDict()
"""How often this process took in each of its latest parcels."""


def _taken_in(parcel: Parcel, where: bytes | Path) -> Held:
    from hal import __version__

    if parcel.version != __version__:
        raise ConfigError(
            f"this worker has neurohal {__version__}, the batch comes from {parcel.version}",
            hint="install the same version everywhere",
        )
    with _lock:
        if parcel.name not in _held:
            _held[parcel.name] = Held(where if isinstance(where, bytes) else where.read_bytes())
            received[parcel.name] = received.get(parcel.name, 0) + 1
        _held.move_to_end(parcel.name)
        while len(_held) > KEPT:
            _held.popitem(last=False)
        while len(received) > 64 * KEPT:
            received.popitem(last=False)
        return _held[parcel.name]


def _same(content: bytes) -> bytes:
    """A task of Dask's whose result is the pickle."""
    return content


def _work(task: Callable[..., Any], parcel: Parcel, where: bytes | Path, arguments: tuple[Any, ...]) -> Any:
    """What a worker does: task(what the parcel holds, *arguments)."""
    with _taken_in(parcel, where).lent() as content:
        return task(content, *arguments)


class Sender:
    """Hands tasks to an executor, and parcels along with them; use as a context manager.

    Threads are given the pickle itself, processes of this machine a file of it, Dask a task that makes it: Dask brings
    its result to each worker once, and makes it again where the worker that had it died. Any other executor is given
    the pickle with every task.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._folder = contextlib.ExitStack()
        self._wheres: dict[str, Any] = {}
        self._futures: list[Future[Any]] = []

    def pack(self, content: Any, what: str) -> Parcel:
        """Pickle once. Raises ConfigError for what cannot be pickled."""
        from hal import __version__

        try:
            pickled = pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise ConfigError(
                f"{what} cannot be sent to workers: {type(error).__name__}: {error}",
                hint="run it here, without executor=",
            ) from error
        parcel = Parcel(uuid.uuid4().hex, __version__)
        self._wheres[parcel.name] = self._put(parcel, pickled)
        return parcel

    def _put(self, parcel: Parcel, pickled: bytes) -> Any:
        client = getattr(self._executor, "_client", None)
        if client is not None:
            return client.submit(_same, pickled, key=f"neurohal-{parcel.name}")
        if isinstance(self._executor, ProcessPoolExecutor):
            folder = self._folder.enter_context(tempfile.TemporaryDirectory(prefix="neurohal-"))
            path = Path(folder) / parcel.name
            path.write_bytes(pickled)
            return path
        return pickled

    def submit(self, task: Callable[..., Any], parcel: Parcel, *arguments: Any) -> Future[Any]:
        """Hand out one task. Raises what the executor raises when it takes no more."""
        future: Future[Any] = self._executor.submit(_work, task, parcel, self._wheres[parcel.name], arguments)
        self._futures.append(future)
        return future

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        for future in self._futures:
            future.cancel()
        if isinstance(self._executor, ThreadPoolExecutor | ProcessPoolExecutor):
            wait(self._futures)  # what runs still reads the files, and holds a worker
        self._folder.close()
        self._wheres.clear()


def collect(tasks: Mapping[int, Future[Any]], done: dict[int, Any], watch: Watch) -> None:
    """Put the results into `done` as they come. Raises what went wrong first, with `done` holding all that went well.

    Raises ExecutorError when a worker died and the executor does not run its task again, DeviceTimeoutError.
    """
    keys = {future: key for key, future in tasks.items()}
    failed: BaseException | None = None
    waiting = set(keys)
    while waiting and failed is None:
        left = None if watch.deadline is None else max(0.0, watch.deadline - time.monotonic())
        ended, waiting = wait(waiting, left, FIRST_COMPLETED)
        if not ended:
            watch(0)
        for future in ended:
            # a task may be cancelled by its executor, which is no Exception
            error = future.exception() if not future.cancelled() else RuntimeError("the executor cancelled it")
            if error is None:
                done[keys[future]] = future.result()
            failed = failed or error
    if failed is not None and not isinstance(failed, HalError):
        raise lost(failed) from failed
    if failed is not None:
        raise failed


def lost(error: BaseException) -> ExecutorError:
    """What is said when an executor itself failed; the caller adds what came back."""
    return ExecutorError(
        f"the executor did not answer for every task: {type(error).__name__}: {error}",
        hint="what came back is in .data['recordings'], the numbers of what did not in .data['left']; "
        "run again with a new executor",
    )
