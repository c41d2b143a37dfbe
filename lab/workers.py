"""Spreads work over the machine's cores: spawned processes that end with their parent, results as they come."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from lab.errors import EngineError
from lab.interrupts import held_from_children

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))


def spread(
    work: Callable[[Item], Result], items: Sequence[Item], title: Callable[[Item], str], workers: int = 0
) -> Iterator[tuple[int, Result]]:
    """(index, ``work(item)``) as items finish; what *work* raises is raised here.

    *work* is a function of a module, and items and results are plain data: both cross process borders.  At most
    *workers* processes (0: one per core); one item, or one worker, runs in this process.  EngineError, with the
    item's *title*, where a process died.
    """
    workers = min(len(items), workers or cores())
    if workers <= 1:
        for index, item in enumerate(items):
            yield index, work(item)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_with_parent) as pool:
        try:
            with held_from_children():
                futures: dict[Future[Result], int] = {pool.submit(work, item): i for i, item in enumerate(items)}
            for future in as_completed(futures):
                index = futures[future]
                try:
                    yield index, future.result()
                except BrokenProcessPool:
                    raise EngineError(f"{title(items[index])}: a worker process died; its job is lost") from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.kill()
            raise


def _leave_with_parent() -> None:
    """A worker whose parent is gone, however it went, would wait for its next job for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()
