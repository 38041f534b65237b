"""A run of the whole chain as one self-contained page: panel, figures, settings, dose, versions."""

from __future__ import annotations

import base64
import math
import platform
from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from typing import Any

from napari_dmu._version import __version__
from napari_dmu.engine.comparison import Comparison
from napari_dmu.engine.panel import DemoRun, demo_panel, png
from napari_dmu.microscope.digits import grouped
from napari_dmu.zoo.header import SetHeader

__all__ = ["DemoRun", "demo_panel", "demo_report", "png"]


def demo_report(run: DemoRun, panel: bytes, files: Sequence[str] = ()) -> str:
    """A self-contained HTML page.

    Parameters
    ----------
    run
        What was done.
    panel
        PNG of the pictures.
    files
        Names of the files beside the page, to be listed.
    """
    info, header = run.measurement.info, run.header
    title = f"{run.specimen.name} at ×{info.ratio:g}"
    blocks = [
        _table("How close it is", _figures(run.comparison)),
        _table("How it was measured", _settings(run)),
        _table("Light dose", _dose(header)),
        _table("Made with", _versions(run, header)),
    ]
    listed = "".join(f'<li><a href="{escape(name)}">{escape(name)}</a></li>' for name in files)
    picture = base64.b64encode(panel).decode("ascii")
    return _PAGE.format(
        title=escape(title),
        lead=escape(_lead(run)),
        picture=picture,
        blocks="\n".join(blocks),
        files=f"<h2>Files</h2><ul>{listed}</ul>" if files else "",
    )


def _lead(run: DemoRun) -> str:
    found = run.comparison
    frames = run.measurement.data
    text = (
        f"A simulated compressive microscope took {grouped(math.prod(frames.shape))} samples of "
        f"{grouped(math.prod(run.image.shape))} specimen pixels. From these alone the image was reconstructed "
        f"(PSNR {found.psnr:.1f} dB)"
    )
    if found.f1 is None:
        return text + "."
    return text + f" and {found.count} cells were found, where the ground truth has {found.truth_count}."


def _figures(found: Comparison) -> list[tuple[str, str, str]]:
    rows = [
        ("PSNR", f"{found.psnr:.2f} dB", "peak signal-to-noise ratio; 1 is the specimen's bright end"),
        ("SSIM", f"{found.ssim:.4f}", "structural similarity, 1 is identical"),
        ("NRMSE", f"{found.nrmse:.4f}", "root-mean-square error relative to the specimen, 0 is identical"),
    ]
    if found.f1 is None:
        return rows
    return [
        *rows,
        ("Cells found", str(found.count), f"{found.truth_count} in the ground truth"),
        ("F1", f"{found.f1:.3f}", "cells found and right, overlap of at least a half"),
        ("AP50", f"{found.ap50:.3f}", "matched ÷ (matched + missed + invented)"),
        ("Precision", f"{found.precision:.3f}", "of the cells found, those that are there"),
        ("Recall", f"{found.recall:.3f}", "of the cells there, those that were found"),
    ]


def _settings(run: DemoRun) -> list[tuple[str, str, str]]:
    info = run.measurement.info
    a = info.acquisition
    rows, columns = run.measurement.data.shape[-2:]
    saturated = f"{info.saturated:.2%} of the samples at full scale"
    return [
        ("Pattern set", f"×{info.ratio:g} {info.set_name}, {info.family}", f"sha256 {info.set_hash[:16]}…"),
        ("Compression ratio", f"×{info.ratio:g}", "specimen pixels per detector sample, d² ÷ T"),
        ("Exposures T", str(a.exposures), f"each of {columns} × {rows} detector pixels"),
        ("Binning d", f"{a.bin}", "side of a detector pixel in specimen pixels"),
        ("Pattern period P", f"{a.period}", "specimen pixels"),
        ("Peak photons k", f"{a.photons:g}", "of one specimen pixel in one exposure"),
        ("Background", f"{a.background:g}", "photons per detector pixel and exposure"),
        ("Read noise", f"{a.read_noise:g} e⁻", "standard deviation per detector pixel"),
        ("Digitiser", f"{a.bits} bits", saturated),
        ("Seed of the noise", str(info.seed), ""),
    ]


def _dose(header: SetHeader) -> list[tuple[str, str, str]]:
    return [
        ("Mean dose", f"{header.dose_mean:.2f}", "full-on exposures; a plain camera's single exposure is 1"),
        ("Largest dose", f"{header.dose_max:.2f}", "full-on exposures of the pixel that is lit most often"),
    ]


def _versions(run: DemoRun, header: SetHeader) -> list[tuple[str, str, str]]:
    spent = ", ".join(f"{name.lower()} {seconds:.2f} s" for name, seconds in run.seconds.items())
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "scikit-image"))
    trained = f"{header.provenance.minutes:g} min on {header.provenance.device}, {header.provenance.chosen}"
    return [
        ("napari-dmu", __version__, ""),
        ("Python", platform.python_version(), platform.platform(terse=True)),
        ("Libraries", libraries, ""),
        ("Time", spent, ""),
        ("Training of the set", trained, header.provenance.data_licence),
    ]


def _table(title: str, rows: Sequence[tuple[str, Any, str]]) -> str:
    cells = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{escape(str(value))}</td><td class=why>{escape(why)}</td></tr>"
        for name, value, why in rows
    )
    return f"<section><h2>{escape(title)}</h2><table>{cells}</table></section>"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · napari-dmu</title>
<style>
:root {{ color-scheme: light; }}
body {{ margin: 0; background: #f6f7f9; color: #181c22;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }}
main {{ max-width: 1080px; margin: 0 auto; padding: 40px 24px 64px; }}
h1 {{ font-size: 1.9rem; line-height: 1.2; margin: 0 0 8px; }}
h2 {{ font-size: 1.1rem; margin: 36px 0 8px; }}
.lead {{ font-size: 1.1rem; color: #454c57; margin: 0 0 24px; max-width: 46em; }}
img {{ display: block; width: 100%; height: auto; border-radius: 8px; box-shadow: 0 1px 4px rgb(0 0 0 / 18%); }}
table {{ border-collapse: collapse; width: 100%; background: #fff; border-radius: 8px; overflow: hidden;
  box-shadow: 0 1px 2px rgb(0 0 0 / 12%); }}
th, td {{ text-align: left; vertical-align: top; padding: 8px 16px; border-top: 1px solid #e8eaee; }}
tr:first-child > * {{ border-top: 0; }}
th {{ font-weight: 500; width: 11em; }}
td:nth-child(2) {{ font-variant-numeric: tabular-nums; font-weight: 600; width: 15em; }}
.why {{ color: #5c636e; }}
ul {{ margin: 0; padding-left: 1.2em; }}
footer {{ margin-top: 40px; color: #5c636e; font-size: 0.9rem; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="lead">{lead}</p>
<img alt="Specimen, measurement, reconstruction and cells side by side" src="data:image/png;base64,{picture}">
{blocks}
{files}
<footer>Everything here is simulated from the specimen by the forward model of napari-dmu.
Method: Haputhanthri, Seeber, Wadduwage, <a href="https://arxiv.org/abs/2203.14945">arXiv:2203.14945</a>.</footer>
</main>
</body>
</html>
"""
