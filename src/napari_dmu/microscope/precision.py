"""Full precision where a GPU would round."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

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
        self._users = 0
        self._before: tuple[bool, tuple[str, ...]] = (True, ())

    @contextlib.contextmanager
    def back(self) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                self._before = _switches()
                _turn_off()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    _turn_back(*self._before)


def _parts() -> tuple[Any, ...]:
    """The switches of convolutions and of recurrent networks, which newer PyTorch has beside the old one for both."""
    return tuple(getattr(torch.backends.cudnn, name) for name in ("conv", "rnn") if hasattr(torch.backends.cudnn, name))


def _switches() -> tuple[bool, tuple[str, ...]]:
    """How the old switch and the newer ones stand."""
    precisions = tuple(part.fp32_precision for part in _parts())
    try:
        return bool(torch.backends.cudnn.allow_tf32), precisions
    except RuntimeError:  # it cannot be read where somebody has used a newer one
        return True, precisions


def _turn_off() -> None:
    torch.backends.cudnn.allow_tf32 = False
    for part in _parts():
        # "tf32" for everything, which newer PyTorch has too, goes over the old switch.
        if part.fp32_precision == "tf32":
            part.fp32_precision = "ieee"


def _turn_back(allowed: bool, precisions: tuple[str, ...]) -> None:
    torch.backends.cudnn.allow_tf32 = allowed
    for part, precision in zip(_parts(), precisions, strict=True):
        if part.fp32_precision != precision:
            part.fp32_precision = precision


_HELD = _Held()
