"""Full precision where a GPU would round."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Convolutions of float32 in float32: NVIDIA GPUs otherwise round what they multiply to TF32, 10 bits.

    That is far above the noise of a bright sample, and a forward model that rounds has no exact adjoint. Elsewhere
    nothing is rounded and nothing changes. See https://docs.pytorch.org/docs/stable/notes/cuda.html.
    """
    if device.type != "cuda":
        return contextlib.nullcontext()
    return _HELD.back()


class _Held:
    """PyTorch's switch is one for all threads: the first who needs it turns it off, the last one turns it back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users, self._before = 0, True

    @contextlib.contextmanager
    def back(self) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                self._before = bool(torch.backends.cudnn.allow_tf32)
                torch.backends.cudnn.allow_tf32 = False
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    torch.backends.cudnn.allow_tf32 = self._before


_HELD = _Held()
