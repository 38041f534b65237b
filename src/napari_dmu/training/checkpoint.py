"""Checkpoints without pickle: tensors and numbers of a training in one safetensors file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from napari_dmu.errors import FileError
from napari_dmu.files.atomic import atomic_path


def save_checkpoint(path: Path, modules: dict[str, Any], numbers: dict[str, Any], *, training: str = "") -> None:
    """Write the state of modules, optimisers and generators, and JSON-able numbers; whole or not at all.

    ``training`` tells this training from others whose parts have the same shapes.
    """
    tensors: dict[str, Tensor] = {}
    for name, part in modules.items():
        for key, value in _tensors_of(part).items():
            tensors[f"{name}/{key}"] = value.detach().to("cpu", copy=True).contiguous()
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={"numbers": json.dumps(numbers), "training": training}))


def load_checkpoint(path: Path, modules: dict[str, Any], *, training: str = "") -> dict[str, Any]:
    """Restore what ``save_checkpoint`` wrote into the same parts; returns the numbers.

    Raises
    ------
    FileError
        Where the file is damaged or belongs to another training.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            numbers: dict[str, Any] = json.loads(metadata["numbers"])
            if metadata["training"] != training:  # the model card would not be true
                raise ValueError("another training")
            # Copies, not views of the mapped file: the next checkpoint replaces it.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118 (no mapping)
        for name, part in modules.items():
            prefix = f"{name}/"
            _restore(part, {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise FileError(
            f"The checkpoint {path.name} does not fit this training (the recipe, the images or the start have changed, "
            "or it is damaged): delete it to start anew."
        ) from error
    return numbers


def _tensors_of(part: Any) -> dict[str, Tensor]:
    if isinstance(part, nn.Module):
        return dict(part.state_dict())
    if isinstance(part, torch.Generator):
        return {"state": part.get_state()}
    assert isinstance(part, torch.optim.Optimizer)
    states = part.state_dict()["state"]
    return {f"{index}.{key}": torch.as_tensor(value) for index, s in states.items() for key, value in s.items()}


def _restore(part: Any, tensors: dict[str, Tensor]) -> None:
    if isinstance(part, nn.Module):
        part.load_state_dict(tensors)
    elif isinstance(part, torch.Generator):
        part.set_state(tensors["state"])
    else:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})
