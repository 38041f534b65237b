"""Loads torch in a thread without making the window wait."""

import ctypes
import gc
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

# In this order: what torch itself loads first comes first.
_LIBRARIES = {
    "linux": ("libtorch_global_deps.so", "libtorch_python.so"),
    "darwin": ("libtorch_global_deps.dylib", "libtorch_python.dylib"),
}


def torch_is_loaded() -> bool:
    """Whether torch can be used without a wait."""
    return "torch" in sys.modules


def load_torch() -> None:
    """Import torch; to be called in a thread.

    ``import torch`` alone holds Python's lock while the linker goes through hundreds of megabytes, and the window
    stands still for as long. Called by way of ctypes the linker does not need the lock, and the import finds its
    libraries loaded.
    """
    if torch_is_loaded():
        return
    spec = find_spec("torch")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "lib"
        for name in _LIBRARIES.get(sys.platform, ()):
            _load_library(folder / name, os.RTLD_NOW | (os.RTLD_GLOBAL if "global" in name else os.RTLD_LOCAL))
    collecting = gc.isenabled()
    gc.disable()  # in the middle of the import it would stop all threads to go through everything that napari made
    try:
        import torch  # noqa: F401
    finally:
        if collecting:
            gc.enable()


def _load_library(path: Path, mode: int) -> None:
    """Load it if it is there; what is wrong with it the import will say."""
    # ctypes.CDLL(path) would hold the lock in Python 3.11; a call of the C function itself lets it go.
    with suppress(OSError, AttributeError):
        load = ctypes.CDLL(None).dlopen
        load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
        load(os.fsencode(path), mode)
