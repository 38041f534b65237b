"""Speed of a training step, of one process and of several that share the device.

    python benchmarks/steps.py [--recipe recipes/nuclei-x64-learned.yaml] [--processes 1 12] [--steps 100]

Steps of stage 1 as a recipe has them, patterns at rest, on simulated nuclei: draw, forward and backward pass,
optimiser, averaged weights. All processes begin their steps together. On a GPU the decoder's passes are launched one by
one and, as in training, recorded; on a CPU there is nothing to record. NVIDIA's multi-process service
(``nvidia-cuda-mps-control -d``) is the user's to start: without it the processes take turns on a GPU.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing import get_context

from napari_dmu.engine.device import resolve_device
from napari_dmu.files.samples import sample_folder
from napari_dmu.files.specimen import read_specimen
from napari_dmu.microscope.patterns import make_patterns
from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.training.data import CropSampler, as_example
from napari_dmu.training.optimiser import DecoderOptimiser
from napari_dmu.training.recipe import Recipe, read_recipe
from napari_dmu.training.recorded import RecordedDecoder
from napari_dmu.training.stages import Average, BinaryPatterns, Draw, SpikeGuard, content_step, fit_lifting

PROJECT = Path(__file__).resolve().parents[1]
# Before the time is taken: libraries choose their kernels, passes are recorded.
WARM_UP = 15
LIFTING_CROPS = 64
PATIENCE = 600.0  # seconds for a process that never answers


class OneByOne(RecordedDecoder):
    """The decoder's passes launched kernel by kernel."""

    def __call__(self, signal: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """As ``Passes.forward``."""
        return self._direct(signal, noise)


class Steps:
    """Steps of stage 1 of a recipe."""

    def __init__(self, recipe: Recipe, device: torch.device, *, recorded: bool, seed: int = 0) -> None:
        a, self.stage = recipe.acquisition, recipe.content
        kind = recipe.start if recipe.family == "learned" else recipe.family
        kind = "raster" if kind == "designed" else kind  # which mirrors are on costs no time
        start = make_patterns(kind, exposures=a.exposures, period=a.period, bin=a.bin, seed=recipe.seed)
        self.patterns = BinaryPatterns(start).to(device).requires_grad_(False)
        decoder = Decoder(a.exposures, a.bin, a.period, recipe.decoder).to(device)
        self.decoder = decoder.to(memory_format=torch.channels_last)
        plane = np.asarray(read_specimen(sample_folder() / "nuclei_2d.tif").data)
        self.sampler = CropSampler([[as_example("nuclei", plane, None)]], [1.0], device=device)
        self.draw = Draw(a, recipe.noise, torch.Generator().manual_seed(seed))
        short = self.stage.model_copy(update={"lifting_crops": LIFTING_CROPS})
        fit_lifting(self.decoder, self.patterns(), self.sampler, self.draw, short)
        self.passes = (RecordedDecoder if recorded else OneByOne)(self.decoder)
        self.optimiser, self.average = DecoderOptimiser(self.decoder), Average(self.decoder, self.stage.ema)
        self.guard = SpikeGuard()
        self.optimiser.set_rate(1e-4)

    def step(self) -> None:
        """One step."""
        loss = content_step(self.patterns, self.passes, self.sampler, self.draw, self.stage)
        self.optimiser.zero_grad()
        loss.backward()
        if self.guard.allows(self.decoder.parameters()):
            self.optimiser.step()
        self.average.update(self.decoder)


def work(recipe: Recipe, device: str, recorded: bool, steps: int, seed: int, barrier: Any, found: Any) -> None:
    """One process: steps per second, from when all are ready."""
    torch.set_num_threads(1)
    where = torch.device(device)
    training = Steps(recipe, where, recorded=recorded, seed=seed)
    for _ in range(WARM_UP):
        training.step()
    _wait(where)
    barrier.wait()
    start = time.perf_counter()
    for _ in range(steps):
        training.step()
    _wait(where)
    found.put(steps / (time.perf_counter() - start))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def rate(recipe: Recipe, device: torch.device, processes: int, steps: int, *, recorded: bool) -> float:
    """Steps per second of all processes together."""
    context = get_context("spawn")
    barrier, found = context.Barrier(processes, timeout=PATIENCE), context.Queue()
    workers = [
        context.Process(target=work, args=(recipe, str(device), recorded, steps, seed, barrier, found))
        for seed in range(processes)
    ]
    for worker in workers:
        worker.start()
    total = sum(found.get(timeout=PATIENCE) for _ in workers)
    for worker in workers:
        worker.join()
    return float(total)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=PROJECT / "recipes" / "nuclei-x64-learned.yaml")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    recipe, device = read_recipe(options.recipe), resolve_device(options.device)
    ways = (False, True) if device.type == "cuda" else (False,)
    stage = recipe.content
    print(f"{options.recipe.stem}, batch {stage.batch}, crops of {stage.crop}²; {device}, torch {torch.__version__}")
    print("steps per second, all processes together\n")
    print("| processes | one by one |" + " recorded |" * (len(ways) - 1))
    print("|---|---|" + "---|" * (len(ways) - 1))
    for count in options.processes:
        rates = [rate(recipe, device, count, options.steps, recorded=recorded) for recorded in ways]
        print(f"| {count} | " + " | ".join(f"{value:.1f}" for value in rates) + " |", flush=True)


if __name__ == "__main__":
    main()
