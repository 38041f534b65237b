"""From a settings model's complaint to one sentence that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ValidationError

from napari_dmu.errors import SettingsError

Settings = TypeVar("Settings", bound=BaseModel)


def _without_sign(value: object) -> object:
    return value.strip().lstrip("×xX") if isinstance(value, str) else value


# For settings files: 64, or x64 and ×64 as commands take and print it.
Ratio = Annotated[float, BeforeValidator(_without_sign)]

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
    elif first["type"] in ("model_type", "dict_type"):
        advice = "give it settings of its own, one 'name: value' a line below it"
    else:
        message = first["msg"].replace("Input should be", "it should be").partition(", unable to")[0]
        advice = f"{message[:1].lower()}{message[1:]}"
    value = first["input"]
    shown = f"{value:g}" if isinstance(value, float) else repr(value)
    return SettingsError(f"A value of {shown} is not possible for the {name or 'settings'}: {advice}.")


def file_error(error: ValidationError, name: str, model: type[BaseModel]) -> SettingsError:
    """The first complaint about a settings file called ``name`` that should hold a ``model``.

    An unknown entry comes first, with the nearest known one: it explains what else is missing.
    """
    complaints = error.errors(include_url=False)
    first = next((c for c in complaints if c["type"] == "extra_forbidden"), complaints[0])
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = list(_model_at(model, first["loc"][:-1]).model_fields)
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        advice = f"write {near[0]!r} if that is meant" if near else f"choose from {', '.join(known)}"
        return SettingsError(f"In '{name}' there is no setting {place!r}: {advice}.")
    text = str(settings_error(error))
    # Our own validators speak of entries beside each other, not of where they are; entries of a list have a number.
    told = first["type"] != "value_error" and not any(isinstance(part, int) for part in first["loc"])
    where = f" at {place}" if place and not told else ""
    if ": " not in text:  # what is wrong alone, which is advice enough
        return SettingsError(f"'{name}' cannot be used{where}: {text[:1].lower()}{text[1:]}")
    return SettingsError(f"'{name}' cannot be used because{where} {text[:1].lower()}{text[1:]}")


def _model_at(model: type[BaseModel], place: Sequence[int | str]) -> type[BaseModel]:
    """The model of the entry at a place; numbers in it are items of a list."""
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def checked_update(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """A copy of the settings with some of them changed, and checked; what is ``None`` stays as it is.

    Raises
    ------
    SettingsError
        Where a value is not possible.
    """
    return checked_replacement(settings, {key: value for key, value in changes.items() if value is not None})


def checked_replacement(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The same where ``None`` is a value of its own, as for a detector without a full well.

    Raises
    ------
    SettingsError
        Where a value is not possible.
    """
    try:
        return type(settings).model_validate({**settings.model_dump(), **changes})
    except ValidationError as error:
        raise settings_error(error) from error
