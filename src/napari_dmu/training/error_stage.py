"""Error bars for a finished set: the error head is trained on the frozen decoder and calibrated on held-back images."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.forward import Microscope
from napari_dmu.reconstruction.error_bar import ErrorHead, interval_loss
from napari_dmu.training.data import CropSampler, Example, jitter
from napari_dmu.training.precision import autocast
from napari_dmu.training.recipe import ErrorStage, NoiseSpread
from napari_dmu.training.session import Report
from napari_dmu.training.stages import Average, Draw, SpikeGuard, one_cycle
from napari_dmu.training.trust import measure_trust
from napari_dmu.training.typicality import measure_typical
from napari_dmu.zoo.pattern_set import PatternSet, read_set, write_header, write_set
from napari_dmu.zoo.weights import packed, unpacked

log = logging.getLogger(__name__)
# Share of the crops with other light or optics than the set's own among those that say what is typical.
SHARE = 0.7


def add_error_bars(
    instrument: PatternSet,
    training: Sequence[Sequence[Example]],
    validation: Mapping[str, Sequence[Example]],
    out: Path,
    *,
    weights: Sequence[float] | None = None,
    stage: ErrorStage | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    report: Report | None = None,
    check_cancelled: Callable[[], None] | None = None,
) -> PatternSet:
    """Train an error head for a set, calibrate it, and write the set with both to ``out``.

    Patterns, decoder and segmenter stay as they are; a previous error head is replaced. Takes two or three minutes on
    one core, so there is no checkpoint.

    Parameters
    ----------
    instrument
        The set; its networks are moved to ``device``.
    training
        Groups of examples to learn from, those that the decoder was trained on.
    validation
        Examples by source, none of them trained on: they calibrate.
    out
        Pattern set file to write; may be the one that ``instrument`` was read from.
    weights
        Share of the crops of each group; all the same where not given.
    stage
        Settings; the defaults where not given.
    seed
        Of weights, crops and noise.
    report, check_cancelled
        Called with (steps done, all steps, what is going on); called at every step, raises to stop.

    Returns
    -------
    PatternSet
        As read back from ``out``.
    """
    stage, device = stage or ErrorStage(), device or torch.device("cpu")
    report, check_cancelled = report or (lambda done, total, what: None), check_cancelled or (lambda: None)
    instrument = instrument.to(device)
    sampler = CropSampler(training, weights or [1.0] * len(training), device=device)
    head = _trained(instrument, sampler, stage, seed, device, report, check_cancelled)
    report(stage.steps, stage.steps, "calibration of the error bars")
    typical = measure_typical(instrument, sampler, _borne(instrument), seed=seed, check_cancelled=check_cancelled)
    trust = measure_trust(
        instrument, head, validation, typical=typical, level=stage.level, check_cancelled=check_cancelled
    )
    card = instrument.header.provenance
    made = card.model_copy(update={"recipe": {**card.recipe, "error_bars": stage.model_dump(mode="json")}})
    header = instrument.header.model_copy(update={"error": stage.shape, "trust": trust, "provenance": made})
    return write_set(out, header, instrument.patterns, instrument.decoder, instrument.segmenter, error_head=head)


def calibrate_again(
    path: Path,
    training: Sequence[Sequence[Example]],
    validation: Mapping[str, Sequence[Example]],
    out: Path,
    *,
    weights: Sequence[float] | None = None,
    stage: ErrorStage | None = None,
    seed: int = 0,
    device: torch.device | None = None,
) -> PatternSet:
    """Measure anew what a set with error bars can be trusted with; none of its tensors changes.

    Takes as long as decoding the validation images three times. For the parameters see ``add_error_bars``.

    Parameters
    ----------
    path
        The set's file.

    Raises
    ------
    SettingsError
        Where the set has no error head.
    """
    stage, device = stage or ErrorStage(), device or torch.device("cpu")
    instrument = read_set(path).to(device)
    if instrument.error_head is None:
        raise SettingsError(f"{path.name} has no error bars that could be calibrated: add them first.")
    sampler = CropSampler(training, weights or [1.0] * len(training), device=device)
    typical = measure_typical(instrument, sampler, _borne(instrument), seed=seed)
    trust = measure_trust(instrument, instrument.error_head, validation, typical=typical, level=stage.level)
    return write_header(path, out, instrument.header.model_copy(update={"trust": trust}))


def _borne(instrument: PatternSet) -> NoiseSpread:
    """Light and optics that the decoder was trained to bear, as its recipe says; in most crops, not in some."""
    known = instrument.header.provenance.recipe.get("noise", {})
    return NoiseSpread.model_validate({**known, "share": SHARE})


def _trained(
    instrument: PatternSet,
    sampler: CropSampler,
    stage: ErrorStage,
    seed: int,
    device: torch.device,
    report: Report,
    check_cancelled: Callable[[], None],
) -> ErrorHead:
    """The averaged error head after all steps, frozen, its weights rounded to what the file keeps."""
    shape = instrument.header.decoder
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would set the GPUs' too, for good
        head = ErrorHead(shape.widths[0], shape.stride, stage.shape)
    head.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    draw = Draw(instrument.acquisition, stage.noise, torch.Generator().manual_seed(seed))
    microscope = instrument.microscope(device)
    optimiser = torch.optim.AdamW(head.parameters(), lr=stage.learning_rate, weight_decay=1e-4)
    average, guard = Average(head, stage.ema), SpikeGuard()
    for step in range(stage.steps):
        check_cancelled()
        for group in optimiser.param_groups:
            group["lr"] = stage.learning_rate * one_cycle(step, stage.steps)
        loss = error_step(microscope, instrument, head, sampler, draw, stage)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if guard.allows(head.parameters()):
            optimiser.step()
        average.update(head)
        if step % 20 == 0:
            report(step, stage.steps, "error bars")
    log.info("%s error head step %d loss %.5f", instrument.name, stage.steps, loss.item())
    # Calibrated is what the file holds.
    found: ErrorHead = average.module  # type: ignore[assignment]
    found.load_state_dict(unpacked(packed(found.state_dict())))
    return found.eval().requires_grad_(False)


def error_step(
    microscope: Microscope,
    instrument: PatternSet,
    head: ErrorHead,
    sampler: CropSampler,
    draw: Draw,
    stage: ErrorStage,
) -> Tensor:
    """One draw: the loss, with gradients to the error head alone."""
    period = instrument.acquisition.period
    side = math.ceil(stage.crop / period) * period
    specimen = jitter(sampler.draw(stage.batch, side, draw.generator)[:, :1], draw.generator)
    with torch.no_grad():
        # Outside of autocast: in half precision the signal's rounding would be above its noise.
        signal, level = draw.signal(specimen, microscope)
        with autocast(specimen.device):
            image, _lifted, features = instrument.decoder(signal, level)
    with autocast(specimen.device):
        scale = head(image.float(), features, level)
    return interval_loss(scale, image.float() - specimen, stage.level)
