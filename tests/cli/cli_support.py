"""What a command leaves behind, for the tests of the command line."""

from collections.abc import Callable
from typing import NamedTuple


class Run(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str

    def sentence(self) -> str:
        """The one sentence of a command that refused; fails where there is more, or less, than that."""
        assert self.status == 2, self
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].endswith("."), lines[0]
        assert "Traceback" not in lines[0]
        return lines[0]


Command = Callable[..., Run]
