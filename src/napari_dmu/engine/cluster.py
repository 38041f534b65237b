"""Work spread over a dask cluster, a task at a time; needs dask.distributed (the extra ``cluster``)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from napari_dmu.engine.progress import CancelToken, check
from napari_dmu.errors import SettingsError

# Seconds to wait for a scheduler's answer, and between two looks at whether the user wants to stop.
ANSWER, LOOK = 10.0, 0.2


def spread(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], scheduler: str, *, cancel: CancelToken | None = None
) -> Iterator[tuple[int, Any]]:
    """Call a function with each tuple of arguments on some worker.

    Parameters
    ----------
    function
        Importable on the workers, so napari-dmu must be installed there. What it raises comes back as a result.
    tasks
        Its arguments, one tuple a call.
    scheduler
        Address of the dask scheduler, such as ``tcp://node1:8786``.

    Yields
    ------
    tuple
        Number of the task, and what became of it, in the order in which they end.

    Raises
    ------
    SettingsError
        dask.distributed is not installed, the address is none, or no scheduler answers.
    Cancelled
        ``cancel`` was set; tasks that have not begun are taken back.
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ImportError as error:
        raise SettingsError("A dask cluster needs dask.distributed: pip install 'napari-dmu[cluster]'.") from error
    try:
        if not scheduler.startswith("inproc://"):  # which has no host
            get_address_host_port(scheduler)  # a client of no address is never done with, and says so at the end
    except ValueError as error:
        raise SettingsError(
            f"'{scheduler}' is no address of a dask scheduler: write one such as tcp://node1:8786."
        ) from error
    try:
        client = Client(scheduler, timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise SettingsError(f"No dask scheduler answers at '{scheduler}': check its address, or start it.") from error
    with client:
        # Not pure: the same call may have to be made again after its results were deleted.
        waiting: dict[Any, int] = {client.submit(function, *task, pure=False): n for n, task in enumerate(tasks)}
        try:
            while waiting:
                check(cancel)
                ended = [future for future in waiting if future.done()]
                for future in ended:
                    check(cancel)
                    failure = future.exception()
                    yield waiting.pop(future), future.result() if failure is None else failure
                if not ended:
                    time.sleep(LOOK)
        finally:
            client.cancel(list(waiting))
