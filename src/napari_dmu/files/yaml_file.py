"""YAML files: their content, or one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_dmu.errors import FileError


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises
    ------
    FileError
        The file is missing or no YAML.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"'{path}' cannot be read ({error.strerror}): check the name and the folder.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # no text, an impossible date, endless brackets
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise FileError(f"'{path.name}' is not valid YAML{line}: check its colons, quotes and indents.") from error
