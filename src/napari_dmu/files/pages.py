"""The planes of a TIFF series: read at once, or one at a time when somebody looks at them."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import DmuError, FileError

_log = logging.getLogger(__name__)

Convert = Callable[[NDArray[Any]], NDArray[Any]]


# Where the serious complaints about the file go that this thread is reading; None where it reads none.
_serious: ContextVar[list[str] | None] = ContextVar("serious", default=None)


class _Route(logging.Filter):
    """Keep tifffile's complaints about our files off the user's terminal, and remember the serious ones.

    All threads share tifffile's logger, and a filter that drops a record hides it from the filters behind it: so there
    is one filter, and the thread that a record comes from says whose it is.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        serious = _serious.get()
        if serious is None:  # somebody else is using tifffile
            return True
        if record.levelno >= logging.ERROR:
            serious.append(record.getMessage())
        _log.debug("tifffile: %s", record.getMessage())
        return False


_route = _Route()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[list[str]]:
    """Turn whatever goes wrong inside the block into one sentence; gives the list of serious complaints.

    Those that come from the calling thread, that is: let tifffile decode with ``maxworkers=1``.
    """
    logging.getLogger("tifffile").addFilter(_route)  # once, however often it is added
    serious: list[str] = []
    before = _serious.set(serious)
    try:
        yield serious
    except DmuError:
        raise
    except MemoryError as error:
        raise FileError(f"'{path.name}' does not fit into memory: save it uncompressed or as smaller files.") from error
    except PermissionError as error:
        raise FileError(f"'{path.name}' may not be read: check its permissions.") from error
    except Exception as error:  # tifffile, zlib, imagecodecs and struct each have their own kinds
        raise FileError(
            f"'{path.name}' is damaged, cut short or of a kind that cannot be decoded "
            f"({type(error).__name__}): get a fresh copy, or save it again as TIFF in Fiji."
        ) from error
    finally:
        _serious.reset(before)


class PlaneReader:
    """A stack that looks like an array and reads the planes that are asked for.

    Parameters
    ----------
    path
        The file.
    tif, series
        The open `tifffile.TiffFile` and the series; the file is opened for each read and closed after it, so that
        it can be moved or replaced in between.
    shape
        (..., Y, X) of what is handed out.
    dtype
        Of what is handed out.
    convert
        From a page as it is stored to a (Y, X) plane.
    reopen
        Makes an equal reader in another process; takes no argument.
    """

    def __init__(
        self,
        path: Path,
        tif: Any,
        series: Any,
        *,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        convert: Convert,
        reopen: tuple[Callable[..., Any], tuple[Any, ...]],
    ) -> None:
        self.path, self.shape, self.dtype = path, shape, dtype
        self._tif, self._series, self._convert, self._reopen = tif, series, convert, reopen
        self._lock = threading.Lock()
        self._stamp = self._stat()
        self._offset: int | None = series.dataoffset
        self._stored = np.dtype(series.dtype).newbyteorder(tif.byteorder)
        self._page_shape = tuple(int(n) for n in series.keyframe.shape)

    @property
    def ndim(self) -> int:
        """Number of axes; `shape` may be changed to one with as many planes."""
        return len(self.shape)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        # What the file alone does not say: how its axes are unfolded, and whether it has changed in between.
        return (*self._reopen, {"shape": self.shape, "_stamp": self._stamp})

    def _stat(self) -> tuple[int, int]:
        try:
            stat = os.stat(self.path)
        except OSError as error:
            raise FileError(f"'{self.path.name}' is no longer there: open it again.") from error
        return stat.st_size, stat.st_mtime_ns

    @property
    def token(self) -> str:
        """Changes when the file does."""
        return hashlib.sha256(repr((str(self.path), self._stamp, self.shape, self.dtype.str)).encode()).hexdigest()

    def check_end(self) -> None:
        """Refuse a file that ends before its last plane does, without reading the planes."""
        with reading(self.path), self._lock:
            self._tif.filehandle.open()
            try:
                for index in {0, len(self._series.pages) - 1}:
                    page = self._series.pages[index]
                    if page is None:
                        raise FileError(f"'{self.path.name}' lacks some of its planes: get a complete copy.")
                    ends = (o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False))
                    if page.parent is self._tif and max(ends, default=0) > self._stamp[0]:
                        raise FileError(f"'{self.path.name}' is cut short: get a complete copy.")
            finally:
                self._tif.filehandle.close()

    def _read(self, index: int) -> NDArray[Any]:
        if self._stat() != self._stamp:
            raise FileError(f"'{self.path.name}' has changed since it was opened: open it again.")
        with reading(self.path):
            if self._offset is not None:  # plain planes one after the other
                count = int(np.prod(self._page_shape, dtype=np.int64))
                offset = self._offset + index * count * self._stored.itemsize
                flat = np.fromfile(self.path, dtype=self._stored, count=count, offset=offset)
                return self._convert(flat.reshape(self._page_shape))
            with self._lock:
                self._tif.filehandle.open()
                try:
                    page = self._series.pages[index]
                    if page is None:
                        raise FileError(f"'{self.path.name}' lacks plane {index}: get a complete copy.")
                    raw = page.asarray(maxworkers=1)
                finally:
                    self._tif.filehandle.close()
            return self._convert(raw)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Basic indexing with integers, slices and an ellipsis."""
        parts = list(key) if isinstance(key, tuple) else [key]
        if any(part is Ellipsis for part in parts):
            at = next(i for i, part in enumerate(parts) if part is Ellipsis)
            parts[at : at + 1] = [slice(None)] * (self.ndim - len(parts) + 1)
        parts += [slice(None)] * (self.ndim - len(parts))
        leading = self.shape[:-2]
        chosen = [np.arange(n)[part] for part, n in zip(parts[:-2], leading, strict=True)]
        flat = np.arange(int(np.prod(leading, dtype=np.int64))).reshape(leading)
        wanted = flat[np.ix_(*(np.atleast_1d(c) for c in chosen))].ravel()
        rows_and_columns = tuple(parts[-2:])
        planes = [np.asarray(self._read(int(index))[rows_and_columns]) for index in wanted]
        shape = tuple(int(c.size) for c in chosen if np.ndim(c))
        if not planes:
            empty = np.empty(self.shape[-2:], self.dtype)[rows_and_columns]
            return np.empty((*shape, *empty.shape), self.dtype)
        return np.stack(planes).reshape(*shape, *planes[0].shape)

    def as_dask(self) -> Any:
        """The stack as a dask array with one plane a chunk."""
        import dask.array as da

        chunks = (*((1,) * n for n in self.shape[:-2]), *((n,) for n in self.shape[-2:]))
        return da.from_array(
            self, chunks=chunks, name=f"specimen-{self.token}", asarray=False, fancy=False,
            meta=np.empty((0,) * self.ndim, self.dtype),
        )  # fmt: skip
