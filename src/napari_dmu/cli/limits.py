"""``napari-dmu limits``: how far a pattern set is from what its samples, its light and a linear decoder allow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_dmu.cli.options import AsJson, Background, Family, Luminance, Photons, Ratio, ReadNoise, Seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_dmu.evaluation.limit_lines import Arm
    from napari_dmu.evaluation.limits import Limits
    from napari_dmu.microscope.acquisition import Acquisition
    from napari_dmu.zoo.pattern_set import PatternSet


def limits(
    images: Annotated[list[Path], typer.Argument(help="Images to judge by.", show_default=False)],
    ratio: Ratio = 64.0,
    set_name: Annotated[
        str | None, typer.Option("--set", help="Pattern set to judge, see 'napari-dmu sets'.", show_default="none")
    ] = None,
    family: Family = "learned",
    exposures: Annotated[
        int | None, typer.Option(min=1, help="Number of patterns.", show_default="the set's own, else 4")
    ] = None,
    photons: Photons = None,
    read_noise: ReadNoise = None,
    background: Background = None,
    train: Annotated[
        Path | None,
        typer.Option(help="Folder of images that say what specimens are like.", show_default="the other images"),
    ] = None,
    doubling_gain: Annotated[
        float | None, typer.Option(help="What twice the decoder gained in training (dB).", show_default="not known")
    ] = None,
    seed_spread: Annotated[
        float | None, typer.Option(help="Spread of the set over training seeds (dB).", show_default="not known")
    ] = None,
    seed: Seed = 0,
    luminance: Luminance = False,
    as_json: AsJson = False,
) -> None:
    """What is reached, what could be, and what is left.

    Every line is a mean over the images, measured with exact noise. Patterns for a linear decoder are searched, which
    takes a minute or so.
    """
    from napari_dmu.cli.running import Work, say
    from napari_dmu.engine import verbs
    from napari_dmu.engine.progress import check, report
    from napari_dmu.errors import PatternSetError, SettingsError
    from napari_dmu.microscope.checking import checked_update

    instrument = None if set_name is None else verbs.load(set_name, ratio=ratio, family=family)
    if instrument is not None and exposures not in (None, instrument.acquisition.exposures):
        raise SettingsError(
            f"The set has {instrument.acquisition.exposures} exposures, not {exposures}: leave --exposures out."
        )
    start = _geometry(ratio, exposures or 4) if instrument is None else instrument.acquisition
    light = {"photons": photons, "read_noise": read_noise, "background": background}
    acquisition = checked_update(start, light)
    specimens = [plane for path in images for plane in _planes(path, luminance)]
    others = [] if train is None else [plane for path in _files(train) for plane in _planes(path, luminance)]

    from napari_dmu.evaluation.limits import limits as yardstick

    plain = None
    if instrument is not None and set_name is not None and family != "plain":
        try:
            plain = verbs.load(set_name, ratio=ratio, family="plain")
        except PatternSetError:
            plain = None  # then there is no such line
    with Work() as work:

        def step(done: int, total: int, what: str) -> None:
            check(work.cancel)
            report(work.progress, done, total, what)

        found = yardstick(
            specimens,
            acquisition,
            ours=None if instrument is None else _arm(instrument, light),
            plain=None if plain is None else _arm(plain, light),
            training=others,
            doubling_gain=doubling_gain,
            seed_spread=seed_spread,
            seed=seed,
            progress=step,
        )
    if as_json:
        say(found.model_dump_json(indent=2))
    else:
        _print(found, "" if instrument is None else f" · {instrument.name}, {instrument.family}")


def _geometry(ratio: float, exposures: int) -> Acquisition:
    """Settings of no set: bins of √(C·T), a period of one bin."""
    from napari_dmu.errors import SettingsError
    from napari_dmu.microscope.acquisition import Acquisition
    from napari_dmu.microscope.checking import checked_update

    area = ratio * exposures
    side = math.isqrt(round(area)) if 0 < area <= 2**20 else 0
    if side < 1 or side**2 != area:
        raise SettingsError(
            f"A ratio of ×{ratio:g} with {exposures} exposures has no whole bin: choose 1, 4 or 16 exposures and "
            "a ratio such as 64."
        )
    return checked_update(
        Acquisition(bin=1, exposures=1, period=1), {"bin": side, "exposures": exposures, "period": side}
    )


def _files(folder: Path) -> list[Path]:
    from napari_dmu.errors import FileError

    shown = [p for p in folder.iterdir() if not p.name.startswith(".")] if folder.is_dir() else []
    found = sorted(p for p in shown if p.suffix.lower() in (".tif", ".tiff"))
    if not found:
        raise FileError(f"There are no TIFF images in '{folder}': name a folder of images like those to judge.")
    return found


def _planes(path: Path, luminance: bool) -> list[NDArray[np.float32]]:
    """Every plane of an image, 0 … 1 over the stack; what the reader says of the file is passed on."""
    from napari_dmu.cli.reading import read_image
    from napari_dmu.cli.running import notes_of
    from napari_dmu.engine.stacks import as_stack, plane, stack_range
    from napari_dmu.microscope.measurement import check_plane, normalise

    image = read_image(path, luminance=luminance)
    notes_of(image, path)
    stack = as_stack(image.data)
    count = math.prod(stack.shape[:-2])
    span = stack_range(stack, None)
    return [normalise(check_plane(plane(stack, index), index), span) for index in range(count)]


def _arm(instrument: PatternSet, light: dict[str, float | None]) -> Arm:
    """A set under the light of this comparison."""
    import numpy as np
    import torch

    from napari_dmu.evaluation.limit_lines import Arm
    from napari_dmu.microscope.checking import checked_update
    from napari_dmu.reconstruction.inference import decode

    settings = checked_update(instrument.acquisition, light)

    def picture(counts: NDArray[np.unsignedinteger]) -> NDArray[np.floating]:
        found = decode(instrument.decoder, torch.from_numpy(counts.astype(np.float32))[None], settings)
        image: NDArray[np.floating] = found.image[0, 0].float().numpy()
        return image

    return Arm(instrument.patterns, settings, picture)


def _print(found: Limits, what: str) -> None:
    from napari_dmu.cli.running import counted, figure, print_table, say

    title = (
        f"×{found.ratio:g}{what}: T {found.exposures}, d {found.bin}, P {found.period}, {found.photons:g} photons, "
        f"read noise {found.read_noise:g} ({counted(found.images, 'image')})"
    )
    rows = [(line.title, f"{line.psnr:.2f}", f"{line.mse:.5f}") for line in found.lines]
    print_table(title, ("", "PSNR (dB)", "MSE"), rows)
    say(f"Statistics of the specimens: {found.statistics}.")
    if found.linear_efficiency is not None or found.headroom is not None:
        say(f"Linear efficiency {figure(found.linear_efficiency, '.3f')}")
        say(f"Pattern gain {figure(found.pattern_gain, '+.2f')} dB")
        say(f"Headroom {figure(found.headroom, '.2f')} dB")
    say(
        f"Doubling the decoder gains {figure(found.doubling_gain, '.2f')} dB, seeds spread over "
        f"{figure(found.seed_spread, '.2f')} dB (– is not known)."
    )
    say(found.sentence)
