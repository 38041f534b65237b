"""Ctrl+C and termination in the middle of work: the exit status says so, and no file is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals to another process are of Unix")

# Run the command with a stop inside the work: after the second plane, or while the file is being written.
IN_THE_WORK = """
import sys, time
from napari_dmu.engine import verbs
real = verbs.report
def slow(progress, done, total, what):
    real(progress, done, total, what)
    if done == 2:
        print("here", flush=True)
    time.sleep(0.1)
verbs.report = slow
from napari_dmu.cli.app import main
sys.exit(main(sys.argv[1:]))
"""
IN_THE_WRITING = """
import sys, time
from napari_dmu.files import ome
real = ome.iter_planes
def slow(array):
    for number, plane in enumerate(real(array)):
        if number == 2:
            print("here", flush=True)
            time.sleep(60)
        yield plane
ome.iter_planes = slow
from napari_dmu.cli.app import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("code", [IN_THE_WORK, IN_THE_WRITING], ids=["working", "writing"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption_leaves_nothing(tmp_path: Path, code: str, number: signal.Signals, status: int) -> None:
    specimen, out = tmp_path / "stack.tif", tmp_path / "m.ome.tif"
    stack = np.random.default_rng(0).integers(0, 4096, (200, 64, 64), dtype=np.uint16)
    tifffile.imwrite(specimen, stack, imagej=True, metadata={"axes": "TYX"})
    process = subprocess.Popen(
        [sys.executable, "-c", code, "simulate", specimen, "-o", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # A shell starts what runs in the background with this signal ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(number)
        out_text, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == status
    assert out_text == ""
    assert "Traceback" not in err
    assert len(err.splitlines()) == (1 if number == signal.SIGINT else 0)
    assert [path.name for path in tmp_path.iterdir()] == ["stack.tif"]
