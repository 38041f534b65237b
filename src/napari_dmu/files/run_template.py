"""The beginning of a camera run's YAML file, written beside exported patterns: which set they are."""

from __future__ import annotations

import json

from napari_dmu.files.manifest import Manifest

_REST = """\
# Fill in what your camera and optics are, without the '#'; docs/instrument.md explains every entry.
# frames: frames/*.tif        # or a stack, or a list; in the order of exposure
# gain: 0.46                  # electrons per count
# offset: 100                 # counts
# bits: 16
# read_noise: 1.6             # electrons
# quantum_efficiency: 0.82
# photons: 1000               # that reach the camera from a fully lit pixel of density 1; or auto, see all_on
# background: 0               # photons per exposure, beyond the dark frame
# dark_frame: dark.tif        # optional; replaces the offset
# flat_field: flat.tif        # optional
# roi: {y: 24, x: 40, height: 1024, width: 1024}   # camera pixels of the frame as it is stored
# orientation: {flip: vertical, rotate90: 1}       # after the roi: first flip, then quarter turns anticlockwise
# camera_bin: 4               # camera pixels along a detector pixel; their counts are added
# pixel_size: 0.325           # µm, of the specimen pixel
# planes: {axis: t, step: 2.0, order: plane}       # only for a time series or z stack
"""


def run_template(manifest: Manifest) -> str:
    """A camera run with the pattern set of an export filled in, and all else as comments.

    Its name is in quotes, since a set may be called "on" or "4".
    """
    return (
        f"# Camera frames of {manifest.exposures} patterns; paths are relative to this file.\n"
        f"set: {json.dumps(manifest.set_name, ensure_ascii=False)}\n"
        f"ratio: {manifest.ratio:g}\nfamily: {manifest.family}\n"
        f"set_hash: {manifest.set_hash}   # refuses to decode with another set\n{_REST}"
    )
