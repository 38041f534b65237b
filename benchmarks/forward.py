"""Speed and memory of the forward model.

    python benchmarks/forward.py [--side 2048] [--repeats 9] [--json]

A specimen of 2048×2048, T = 4, d = 16, with emission and excitation blur, against (a) the same maths written
directly, one float32 ``conv2d`` per pattern at full resolution and then binning, and (b) a copy of the specimen's
bytes on the same device. The three are timed in turn, so that other programs on the machine slow all of them alike.
Peak memory is that of one forward pass beyond what stood before it (the specimen itself not counted): on a CPU the
resident memory of a fresh process, on a GPU the allocator's.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from napari_dmu.microscope.acquisition import Acquisition, Psf
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.optics import psf_kernel
from napari_dmu.microscope.precision import full_precision

ACQUISITION = Acquisition(bin=16, exposures=4, period=16, emission=Psf(sigma=1.0), excitation=Psf(sigma=1.0))
CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def setting(side: int, device: str) -> tuple[Microscope, Tensor]:
    """The microscope and a specimen (side, side)."""
    generator = torch.Generator().manual_seed(0)
    period = ACQUISITION.period
    patterns = (torch.rand(ACQUISITION.exposures, period, period, generator=generator) > 0.5).float()
    return Microscope(patterns.to(device), ACQUISITION), torch.rand(side, side, generator=generator).to(device)


def direct(microscope: Microscope, specimen: Tensor) -> Tensor:
    """The equations of the forward model as they stand: multiply, blur, bin; pattern by pattern."""
    kernel = psf_kernel(ACQUISITION.emission).to(specimen)
    radius, d, period = kernel.shape[0] // 2, ACQUISITION.bin, ACQUISITION.period
    extended = functional.pad(specimen[None, None], (radius,) * 4, mode="reflect")
    place = (torch.arange(extended.shape[-1], device=specimen.device) - radius) % period
    frames = []
    with full_precision(specimen.device):
        for pattern in microscope.illumination:
            emission = extended * pattern[place][:, place]
            image = functional.conv2d(emission, kernel.flip(0, 1)[None, None])
            frames.append(functional.avg_pool2d(image, d)[0, 0] * d**2)
    return torch.stack(frames)


def timed(functions: dict[str, Callable[[], Any]], repeats: int, device: str) -> dict[str, list[float]]:
    """Seconds of every function, ``repeats`` times each, in turn, after one warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            _wait(device)
            start = time.perf_counter()
            function()
            _wait(device)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def cpu_memory(side: int) -> int:
    """Bytes by which one forward pass raises the peak resident memory of this process."""
    microscope, specimen = setting(side, "cpu")
    with torch.inference_mode():
        microscope.forward(specimen[:64, :64])  # the libraries' own memory
        _rewind()
        before = _peak()
        microscope.forward(specimen)
    return _peak() - before


def _rewind() -> None:
    """Make the peak of resident memory the present one, where the system can (Linux)."""
    if CLEAR.exists():
        CLEAR.write_text("5", encoding="ascii")


def _peak() -> int:
    """Peak of resident memory (bytes)."""
    if STATUS.exists():
        line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def gpu_memory(side: int) -> int:
    """Bytes that one forward pass takes from the GPU at its peak."""
    microscope, specimen = setting(side, "cuda")
    with torch.inference_mode():
        microscope.forward(specimen)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        microscope.forward(specimen)
        torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def measure(side: int, repeats: int, device: str) -> dict[str, Any]:
    """All figures of one device."""
    microscope, specimen = setting(side, device)
    target = torch.empty_like(specimen)
    with torch.inference_mode():
        error = (microscope.forward(specimen) - direct(microscope, specimen)).norm() / direct(
            microscope, specimen
        ).norm()
        functions: dict[str, Callable[[], Any]] = {
            "forward": lambda: microscope.forward(specimen),
            "direct": lambda: direct(microscope, specimen),
            "copy": lambda: target.copy_(specimen),
        }
        seconds = timed(functions, repeats, device)
    if device == "cpu":
        command = [sys.executable, __file__, "--memory", "--side", str(side)]
        memory = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    else:
        memory = gpu_memory(side)
    result: dict[str, Any] = {"device": device, "side": side, "difference": float(error)}
    for kind, pick in (("median", statistics.median), ("min", min)):
        value = {name: pick(values) for name, values in seconds.items()}
        result[kind] = {
            **{f"{name}_ms": 1e3 * v for name, v in value.items()},
            "times_faster_than_direct": value["direct"] / value["forward"],
            "times_a_copy": value["forward"] / value["copy"],
        }
    result["memory_of_specimen"] = memory / (specimen.numel() * 4)
    return result


def main() -> int:
    """Print the table, or JSON; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="Speed and memory of the forward model.")
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(cpu_memory(options.side))
        return 0
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    results = [measure(options.side, options.repeats, device) for device in devices]
    met = True
    for result in results:
        best = result["min"]
        checks = {
            "against one conv2d per pattern": best["times_faster_than_direct"] >= 3.0,
            "peak memory": result["memory_of_specimen"] <= 6.0,
        }
        if result["device"] == "cuda":
            checks["against a copy (GPU)"] = best["times_a_copy"] <= 8.0
        result["met"] = checks
        met = met and all(checks.values())
    if options.json:
        print(
            json.dumps({"threads": torch.get_num_threads(), "torch": torch.__version__, "results": results}, indent=2)
        )
        return 0 if met else 1
    print(f"{options.side}×{options.side}, T = 4, d = 16; torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'device':8}{'':8}{'forward':>12}{'direct':>12}{'copy':>12}{'× faster':>10}{'× copy':>9}{'memory':>9}")
    for result in results:
        for kind in ("median", "min"):
            row = result[kind]
            times = "".join(f"{row[name + '_ms']:>9.2f} ms" for name in ("forward", "direct", "copy"))
            memory = f"{result['memory_of_specimen']:>8.2f}×"
            ratios = f"{row['times_faster_than_direct']:>10.1f}{row['times_a_copy']:>9.1f}"
            print(f"{result['device']:8}{kind:8}{times}{ratios}{memory}")
        verdict = ", ".join(f"{name} {'met' if ok else 'MISSED'}" for name, ok in result["met"].items())
        print(f"{result['device']:8}targets: {verdict}; relative difference to direct {result['difference']:.1e}")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
