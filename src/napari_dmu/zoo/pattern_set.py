"""Pattern sets and their file, ``.dmu.safetensors``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_dmu.errors import PatternSetError
from napari_dmu.zoo.header import SCHEMA_VERSION, SetHeader, read_header

if TYPE_CHECKING:
    import torch

    from napari_dmu.microscope.acquisition import Acquisition
    from napari_dmu.microscope.forward import Microscope
    from napari_dmu.reconstruction.error_bar import ErrorHead
    from napari_dmu.reconstruction.refinement import Decoder
    from napari_dmu.segmentation.head import SegmentationHead


@dataclass(frozen=True)
class PatternSet:
    """Patterns, acquisition settings, decoder, optional segmenter and error head, model card, at one ratio.

    Attributes
    ----------
    header
        Everything but the tensors.
    patterns
        (T, P, P) uint8, binary.
    decoder
        In evaluation mode, float32.
    segmenter
        In evaluation mode, or None.
    hash
        sha256 of the tensors as stored.
    error_head
        In evaluation mode, or None in sets without error bars; ``header.trust`` calibrates it.
    """

    header: SetHeader
    patterns: NDArray[np.uint8]
    decoder: Decoder
    segmenter: SegmentationHead | None
    hash: str
    error_head: ErrorHead | None = None

    @property
    def name(self) -> str:
        """Domain that the set was trained for, e.g. ``"nuclei"``."""
        return self.header.name

    @property
    def family(self) -> str:
        """Pattern family, e.g. ``"learned"``."""
        return self.header.family

    @property
    def acquisition(self) -> Acquisition:
        """Acquisition settings that the set was trained for."""
        return self.header.acquisition

    @property
    def ratio(self) -> float:
        """Compression ratio C = d² / T."""
        return self.header.acquisition.ratio

    def microscope(
        self,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        *,
        acquisition: Acquisition | None = None,
    ) -> Microscope:
        """The linear operator of these patterns on ``device``, with other settings than the set's where given."""
        import torch

        from napari_dmu.microscope.forward import Microscope

        patterns = torch.from_numpy(self.patterns).to(device=device, dtype=dtype or torch.float32)
        return Microscope(patterns, acquisition or self.acquisition)

    def to(self, device: torch.device | str) -> PatternSet:
        """Move the networks to ``device`` (in place, as torch modules do) and return the set."""
        import torch

        for module in (self.decoder, self.segmenter, self.error_head):
            if module is not None:
                module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self


def build_networks(header: SetHeader) -> tuple[Decoder, SegmentationHead | None, ErrorHead | None]:
    """Untrained networks of the shapes that a header describes; the global random state is left as it is."""
    import torch

    from napari_dmu.reconstruction.error_bar import ErrorHead
    from napari_dmu.reconstruction.refinement import Decoder
    from napari_dmu.segmentation.head import SegmentationHead

    a = header.acquisition
    features, stride = header.decoder.widths[0], header.decoder.stride
    with torch.random.fork_rng(devices=[]):
        decoder = Decoder(a.exposures, a.bin, a.period, header.decoder)
        head = SegmentationHead(features, stride, header.head) if header.head else None
        error_head = ErrorHead(features, stride, header.error) if header.error else None
    return decoder, head, error_head


def write_set(
    path: Path,
    header: SetHeader,
    patterns: NDArray[np.uint8],
    decoder: Decoder,
    segmenter: SegmentationHead | None = None,
    *,
    error_head: ErrorHead | None = None,
) -> PatternSet:
    """Write a pattern set; the file appears whole or not at all.

    Weights are stored in 8 and 16 bits, see ``zoo.weights``. The set that is returned is the one read back, so that
    whatever is measured on it holds for the file.
    """
    import torch

    from napari_dmu.zoo.weights import packed

    tensors = {"patterns": torch.from_numpy(np.ascontiguousarray(patterns, dtype=np.uint8))}
    for prefix, module in (("decoder", decoder), ("segmenter", segmenter), ("error_head", error_head)):
        if module is not None:
            for key, value in packed(module.state_dict()).items():
                tensors[f"{prefix}.{key}"] = value
    return _write(path, header, tensors)


def write_header(path: Path, out: Path, header: SetHeader) -> PatternSet:
    """Write the pattern set of ``path`` to ``out`` with another header; the tensors stay bit by bit as they are."""
    from safetensors.torch import load

    return _write(out, header, load(path.read_bytes()))


def _write(path: Path, header: SetHeader, tensors: dict[str, torch.Tensor]) -> PatternSet:
    """Write header and tensors as stored, whole or not at all, and read them back."""
    from safetensors.torch import save

    from napari_dmu.files.atomic import atomic_path

    complete = header.model_copy(update={"schema_version": SCHEMA_VERSION, "tensors_sha256": _tensors_hash(tensors)})
    entry = complete.model_dump_json()
    _check_readable(path, entry)
    data = save(tensors, metadata={"napari_dmu": entry})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return read_set(path)


def _check_readable(path: Path, entry: str) -> None:
    """Refuse a header that would not read back: JSON has neither infinity nor "not a number"."""
    try:
        SetHeader.model_validate_json(entry)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise PatternSetError(
            f"{path.name} was not written because its {place} is infinite or no number: leave out validation images "
            "that show nothing."
        ) from error


def read_set(path: Path) -> PatternSet:
    """Read a pattern set and check its checksum.

    Raises
    ------
    PatternSetError
        Where the file is missing, damaged, no pattern set, or written by a newer version.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    from napari_dmu.zoo.weights import unpacked

    header = read_header(path)
    try:
        # Not mapped from the file: replacing the file while the set is in use must not end the program.
        tensors = load(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise PatternSetError(f"The pattern set {path.name} is damaged: get the file again.") from error
    if _tensors_hash(tensors) != header.tensors_sha256:
        raise PatternSetError(f"The checksum of the pattern set {path.name} is wrong: get the file again.")
    decoder, segmenter, error_head = build_networks(header)
    for prefix, module in (("decoder", decoder), ("segmenter", segmenter), ("error_head", error_head)):
        if module is None:
            continue
        try:
            module.load_state_dict(unpacked(_part(tensors, prefix)))
        except RuntimeError as error:
            raise PatternSetError(f"The tensors of {path.name} do not fit its header: get the file again.") from error
        module.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return PatternSet(header, tensors["patterns"].numpy(), decoder, segmenter, header.tensors_sha256, error_head)


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors below ``prefix``, named without it."""
    return {k[len(prefix) + 1 :]: v for k, v in tensors.items() if k.startswith(prefix + ".")}


def _tensors_hash(tensors: dict[str, Any]) -> str:
    """sha256 over names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name].numpy()
        digest.update(json.dumps([name, str(array.dtype), list(array.shape)]).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
