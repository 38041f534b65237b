"""The shipped sample images are what the package makes."""

from pathlib import Path

import numpy as np
import pytest

from napari_dmu.errors import FileError
from napari_dmu.files import read_specimen
from napari_dmu.files.samples import SAMPLES, sample_folder, write_samples


def test_shipped_files_can_be_made_again(tmp_path: Path) -> None:
    written = write_samples(tmp_path)
    shipped = sample_folder()
    assert {p.name for p in written} == {p.name for p in shipped.glob("*.tif")}
    for path in written:
        new, old = read_specimen(path), read_specimen(shipped / path.name)
        assert (new.axes, new.scale, new.units, new.labels) == (old.axes, old.scale, old.units, old.labels)
        # Another processor may round an exponential in its last digit differently: a few pixels by one count.
        off = np.abs(new.data.astype(int) - old.data.astype(int))
        assert np.mean(off > 0) < 1e-4, path.name
        assert new.labels or off.max() <= 1


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_samples(tmp_path / folder)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_small_calibrated_and_with_their_truth() -> None:
    files = list(sample_folder().glob("*.tif"))
    assert sum(path.stat().st_size for path in files) < 4e6
    for sample in SAMPLES:
        image = read_specimen(sample_folder() / f"{sample.name}.tif")
        assert image.axes == sample.axes
        assert image.data.dtype == "u2"
        assert image.scale[-2:] == (0.65, 0.65)
        assert image.units[-1] == "micrometer"
        if sample.labels:
            truth = read_specimen(sample_folder() / f"{sample.name}_labels.tif")
            assert truth.labels
            assert truth.data.shape == image.data.shape


def test_the_project_links_to_them(project: Path) -> None:
    folder = project / "sample_data"
    if not folder.is_dir():
        pytest.skip("not in a checkout")
    assert {p.name for p in folder.glob("*.tif")} == {p.name for p in sample_folder().glob("*.tif")}
    assert all(p.exists() for p in folder.iterdir())


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no folder"):
        write_samples(tmp_path / "none")
