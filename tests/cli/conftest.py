"""How the tests call a command, and small images for it."""

from pathlib import Path

import pytest
from cli_support import Command, Run

from napari_dmu.cli.app import main
from napari_dmu.files.samples import sample_folder


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run one command in this process; arguments may be anything that can be text."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: object) -> Run:
        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Run(status, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def sample() -> Path:
    """A shipped specimen of one plane."""
    return sample_folder() / "nuclei_2d.tif"


@pytest.fixture
def measurement(command: Command, sample: Path, tmp_path: Path) -> Path:
    """The sample, measured."""
    path = tmp_path / "measurement.ome.tif"
    assert command("simulate", sample, "-o", path).status == 0
    return path
