"""From a settings model's complaint to one sentence that a user can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from napari_dmu.errors import SettingsError

Settings = TypeVar("Settings", bound=BaseModel)

_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "of at most"),
}


def settings_error(error: ValidationError) -> SettingsError:
    """The first complaint of pydantic as a `SettingsError`: what is wrong, and what to choose instead."""
    first = error.errors(include_url=False)[0]
    name = " ".join(str(part).replace("_", " ") for part in first["loc"] if not isinstance(part, int))
    context = first.get("ctx", {})
    if first["type"] == "value_error":
        # Our own validators: a clause that says both already.
        clause = str(context.get("error", first["msg"])).rstrip(".")
        sentence = f"{clause[:1].upper()}{clause[1:]}."
        return SettingsError(sentence)
    if first["type"] == "extra_forbidden":
        return SettingsError(f"There is no setting {name!r}: check its spelling.")
    if first["type"] == "missing":
        return SettingsError(f"The {name} is missing: give it a value.")
    if first["type"] in _BOUNDS:
        key, word = _BOUNDS[first["type"]]
        advice = f"choose one {word} {context[key]:g}"
    else:
        message = first["msg"].replace("Input should be", "it should be")
        advice = f"{message[:1].lower()}{message[1:]}"
    value = first["input"]
    shown = f"{value:g}" if isinstance(value, float) else repr(value)
    return SettingsError(f"A value of {shown} is not possible for the {name or 'settings'}: {advice}.")


def checked_update(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """A copy of the settings with some of them changed, and checked.

    Entries that are ``None`` stay as they are.

    Raises
    ------
    SettingsError
        Where a value is not possible.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    try:
        return type(settings).model_validate({**settings.model_dump(), **given})
    except ValidationError as error:
        raise settings_error(error) from error
