"""simulate → reconstruct → segment → compare: a stack gives a stack, with its axes, scale and units."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cli_support import Command
from support import discs, make_set

from napari_dmu.engine.verbs import compare
from napari_dmu.files import read_measurement, read_specimen, write_image
from napari_dmu.files.kernel import read_kernel
from napari_dmu.files.samples import sample_folder


def chain(command: Command, specimen: Path, folder: Path, *options: str) -> tuple[Path, Path, Path]:
    """Measurement, reconstruction and labels of a specimen, each checked to lie on it."""
    m, r, s = (folder / f"{name}.ome.tif" for name in ("m", "r", "s"))
    for arguments in (("simulate", specimen, "-o", m, *options), ("reconstruct", m, "-o", r), ("segment", m, "-o", s)):
        run = command(*arguments)
        assert run.status == 0, run.err
        assert "Traceback" not in run.err
        assert str(arguments[3]) in run.out
    truth, image, labels = (read_specimen(path) for path in (specimen, r, s))
    measured = read_measurement(m)
    assert measured.info.axes == truth.axes
    assert measured.data.shape[:-3] == truth.data.shape[:-2]
    for found in (image, labels):
        assert found.data.shape == truth.data.shape
        assert found.axes == truth.axes
        assert found.units == truth.units
        assert found.scale == pytest.approx(truth.scale)
        assert found.translate == pytest.approx(truth.translate)
    assert image.data.dtype == np.float32
    assert labels.data.dtype == np.int32
    assert labels.labels
    assert not image.labels
    return m, r, s


def scores(command: Command, *arguments: object) -> dict[str, float | None]:
    run = command("compare", *arguments, "--json")
    assert (run.status, run.err) == (0, "")
    found = json.loads(run.out)
    assert all(value is None or isinstance(value, int | float) for value in found.values())
    return dict(found)


@pytest.mark.parametrize(("name", "axes"), [("nuclei_time_series", "tyx"), ("nuclei_z_stack", "zyx")])
def test_a_stack_of_the_samples(command: Command, tmp_path: Path, name: str, axes: str) -> None:
    specimen, truth = sample_folder() / f"{name}.tif", sample_folder() / f"{name}_labels.tif"
    _, r, s = chain(command, specimen, tmp_path)
    assert read_specimen(r).axes == tuple(axes)
    assert read_specimen(r).units[-1] == "micrometer"
    found = scores(command, r, specimen, "--labels", s, "--truth-labels", truth)
    assert found["plane_count"] == read_specimen(specimen).data.shape[0]
    assert (found["psnr"] or 0) > 20
    assert (found["f1"] or 0) > 0.3


def test_a_stack_that_does_not_begin_at_the_origin(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_DMU_SETS", str(tmp_path))
    make_set(tmp_path / "discs.dmu.safetensors")
    stack = np.stack([np.rint(3000 * discs((40, 48), seed=seed, count=3)[0]) for seed in (1, 2)]).astype(np.uint16)
    write_image(
        tmp_path / "away.ome.tif", stack, axes="tyx", scale=(30.0, 0.5, 0.25),
        units=("second", "micrometer", "micrometer"), translate=(60.0, 100.0, -20.0),
    )  # fmt: skip
    m, _, _ = chain(
        command, tmp_path / "away.ome.tif", tmp_path, "--set", "discs", "--ratio", "4", "--family", "raster"
    )
    assert command("assess", m, "-o", tmp_path / "maps").status == 0
    fine, coarse = (read_specimen(tmp_path / "maps" / f"{name}.tif") for name in ("imagined", "chi_square"))
    assert (fine.scale, fine.translate) == ((30.0, 0.5, 0.25), (60.0, 100.0, -20.0))
    assert coarse.scale == pytest.approx((30.0, 4 * 0.5, 4 * 0.25))
    assert coarse.translate == pytest.approx((60.0, 100.0 + 1.5 * 0.5, -20.0 + 1.5 * 0.25))


def test_three_real_images_of_nuclei(command: Command, shared_data: Path, tmp_path: Path) -> None:
    """The first of them is dim but for one cell: the figures are means, as everywhere."""
    folder = shared_data / "nuclei_bbbc039" / "val"
    found = []
    for specimen in sorted((folder / "images").iterdir())[:3]:
        _, r, s = chain(command, specimen, tmp_path)
        found.append(scores(command, r, specimen, "--labels", s, "--truth-labels", folder / "masks" / specimen.name))
    assert np.mean([one["psnr"] for one in found]) > 28
    assert np.mean([one["f1"] for one in found]) > 0.5


@pytest.mark.parametrize(
    ("name", "axes"), [("mitocheck_movie_T30_imagej.tif", "tyx"), ("drosophila_embryo_gfp_histone_T21.tif", "tyx")]
)
def test_a_real_movie(command: Command, shared_data: Path, tmp_path: Path, name: str, axes: str) -> None:
    """The first frames, cut out in the file's own format."""
    path = shared_data / "stacks" / name
    if not path.exists():
        pytest.skip("kept apart")
    with tifffile.TiffFile(path) as tif:
        frames, metadata = tif.asarray()[:3], dict(tif.imagej_metadata or {})
    cut = tmp_path / name
    metadata = {key: metadata[key] for key in ("unit", "finterval", "loop") if key in metadata} | {"axes": "TYX"}
    tifffile.imwrite(cut, frames, imagej=True, metadata=metadata)
    assert read_specimen(path).axes == read_specimen(cut).axes == tuple(axes)
    _, r, _ = chain(command, cut, tmp_path)
    found = scores(command, r, cut)
    assert found["plane_count"] == 3
    assert (found["psnr"] or 0) > 15


def test_luminance_of_a_colour_image(command: Command, tmp_path: Path, sample: Path) -> None:
    grey = read_specimen(sample).data[:64, :96].astype(np.uint8)
    path = tmp_path / "colour.tif"
    tifffile.imwrite(path, np.stack([grey, grey, grey], axis=-1), photometric="rgb")
    out = tmp_path / "m.ome.tif"
    assert "--luminance" in command("simulate", path, "-o", out).sentence()
    assert not out.exists()
    assert command("simulate", path, "-o", out, "--luminance").status == 0
    assert read_measurement(out).info.field == (64, 96)


def test_the_linear_estimate_is_another(command: Command, measurement: Path, tmp_path: Path) -> None:
    images = []
    for method in ("learned", "lmmse"):
        path = tmp_path / f"{method}.tif"
        assert command("reconstruct", measurement, "-o", path, "--method", method).status == 0
        images.append(read_specimen(path).data)
    assert not np.array_equal(*images)


def test_the_seed_and_the_light_are_those_asked_for(command: Command, sample: Path, tmp_path: Path) -> None:
    def counts(*options: object) -> np.ndarray:
        path = tmp_path / "m.tif"
        assert command("simulate", sample, "-o", path, *options).status == 0
        measured = read_measurement(path)
        return np.asarray(measured.data), measured.info.acquisition

    first, _ = counts("--seed", 1)
    again, _ = counts("--seed", 1)
    other, _ = counts("--seed", 2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    _, acquisition = counts("--photons", 250, "--read-noise", 3.5, "--background", 7)
    assert (acquisition.photons, acquisition.read_noise, acquisition.background) == (250, 3.5, 7)
    dark, _ = counts("--intensity-range", 0, 1e6)
    assert dark.mean() < first.mean() / 2


def test_a_measured_psf_comes_from_a_file_beside_the_settings(command: Command, sample: Path, tmp_path: Path) -> None:
    rows, columns = np.indices((21, 21)) - 10
    tifffile.imwrite(tmp_path / "bead.tif", np.rint(1000 * np.exp(-(rows**2 + columns**2) / 8)).astype(np.uint16))
    settings, out = tmp_path / "optics.yaml", tmp_path / "m.tif"
    settings.write_text("emission: {kind: measured, kernel: bead.tif}\ncontrast: 500\n")
    run = command("simulate", sample, "-o", out, "--acquisition", settings)
    assert run.status == 0, run.err
    measured = read_measurement(out).info.acquisition
    assert measured.emission == read_kernel(tmp_path / "bead.tif")
    assert measured.contrast == 500
    settings.write_text("emission: {kind: measured, kernel: none.tif}\n")
    assert "none.tif" in command("simulate", sample, "-o", out, "--acquisition", settings).sentence()


def test_an_image_is_scored_with_the_range_it_was_lit_with(command: Command, sample: Path, tmp_path: Path) -> None:
    """A bright image read as one of 0 to 40000 is no error of the reconstruction."""
    limits, m, r = ("--intensity-range", 0, 40000), tmp_path / "m.tif", tmp_path / "r.tif"
    assert command("simulate", sample, "-o", m, *limits).status == 0
    assert command("reconstruct", m, "-o", r).status == 0
    alike, percentiles = scores(command, r, sample, *limits), scores(command, r, sample)
    image, truth = (read_specimen(path).data for path in (r, sample))
    assert alike["psnr"] == pytest.approx(compare(image, truth, intensity_range=(0, 40000)).psnr)
    assert (alike["psnr"] or 0) > (percentiles["psnr"] or 0) + 3
    assert "intensity range" in command("compare", r, sample, "--intensity-range", 2, 1).sentence()


def test_one_channel_is_measured_and_scored_by_itself(command: Command, sample: Path, tmp_path: Path) -> None:
    """Together with a bright one a dim channel got a hundredth of the light, and scored as nearly perfect."""
    dim = read_specimen(sample).data
    write_image(tmp_path / "both.tif", np.stack([dim, 100.0 * dim]), axes="cyx", scale=(1,) * 3, units=("pixel",) * 3)
    both, m, r = (tmp_path / f"{name}.tif" for name in ("both", "m", "r"))
    run = command("simulate", both, "-o", m)
    assert run.status == 0
    assert "The 2 channels of the image share one intensity range" in run.err
    command("reconstruct", m, "-o", r)
    run = command("compare", r, both, "--json")
    assert "choose one with --channel" in run.err

    run = command("simulate", both, "-o", m, "--channel", 0)
    assert (run.status, run.err) == (0, "")
    alone = tmp_path / "alone.tif"
    assert command("simulate", sample, "-o", alone).status == 0
    np.testing.assert_array_equal(read_measurement(m).data, read_measurement(alone).data)
    command("reconstruct", m, "-o", r)
    assert scores(command, r, both, "--channel", 0) == scores(command, r, sample)

    labels = sample.with_name("nuclei_2d_labels.tif")
    write_image(tmp_path / "mask.tif", tifffile.imread(labels)[None], axes="cyx", scale=(1,) * 3, units=("pixel",) * 3)
    pair = ("--labels", labels, "--truth-labels", tmp_path / "mask.tif")  # that has no second channel, and needs none
    assert scores(command, r, both, "--channel", 1, *pair)["f1"] == 1

    for verb in (("simulate", both, "-o", m), ("compare", r, both)):
        assert "has 2 channels, from 0 to 1: there is no 2." in command(*verb, "--channel", 2).sentence()


def test_compare_prints_a_table_and_json_without_infinity(command: Command, sample: Path) -> None:
    labels = sample.with_name("nuclei_2d_labels.tif")
    run = command("compare", sample, sample, "--labels", labels, "--truth-labels", labels)
    assert (run.status, run.err) == (0, "")
    for word in ("PSNR", "SSIM", "F1", "AP50", "1.000", "inf"):
        assert word in run.out
    found = scores(command, sample, sample, "--labels", labels, "--truth-labels", labels)
    assert found["psnr"] is None
    assert found["f1"] == 1.0
    assert found["count"] == found["truth_count"]
    assert scores(command, sample, sample)["f1"] is None


def test_compare_counts_the_pieces_of_a_mask_and_says_so(command: Command, sample: Path, tmp_path: Path) -> None:
    labels, mask = sample.with_name("nuclei_2d_labels.tif"), tmp_path / "mask.tif"
    tifffile.imwrite(mask, np.where(tifffile.imread(labels) > 0, 255, 0).astype(np.uint8))
    run = command("compare", sample, sample, "--labels", labels, "--truth-labels", mask, "--json")
    assert run.status == 0
    assert "Note: The true labels have one number for all cells" in run.err
    found = json.loads(run.out)
    assert found["truth_count"] > 0.8 * found["count"]  # those that touch count as one


def test_compare_passes_on_what_the_reader_says(command: Command, sample: Path, tmp_path: Path) -> None:
    mask, inverted = tmp_path / "mask.tif", tmp_path / "inverted.tif"
    tifffile.imwrite(inverted, tifffile.imread(sample), photometric="miniswhite")
    labels = tifffile.imread(sample.with_name("nuclei_2d_labels.tif")).astype(np.uint16)
    tifffile.imwrite(mask, 65535 - labels, photometric="miniswhite")
    run = command("compare", sample, inverted, "--labels", mask, "--truth-labels", mask)
    assert run.status == 0, run
    for path in (inverted, mask):
        assert run.err.count(f"Note: {path.name}: The file stores white as 0") == 1


def test_a_mask_in_colour_gets_advice_that_can_be_followed(command: Command, sample: Path, tmp_path: Path) -> None:
    mask = tifffile.imread(sample.with_name("nuclei_2d_labels.tif")).astype(np.uint8)
    tifffile.imwrite(tmp_path / "equal.tif", np.stack([mask] * 3, axis=-1), photometric="rgb")
    tifffile.imwrite(tmp_path / "red.tif", np.stack([mask, 0 * mask, 0 * mask], axis=-1), photometric="rgb")
    tifffile.imwrite(tmp_path / "grey.tif", mask)
    pair = ("compare", sample, sample, "--json", "--labels", tmp_path / "grey.tif", "--truth-labels")
    assert command(*pair, tmp_path / "equal.tif").out == command(*pair, tmp_path / "grey.tif").out
    assert "save it as one grey channel" in command(*pair, tmp_path / "red.tif", "--luminance").sentence()


def test_an_older_output_is_replaced(command: Command, measurement: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.tif"
    path.write_bytes(b"older")
    assert command("reconstruct", measurement, "-o", path).status == 0
    assert read_specimen(path).data.dtype == np.float32
    assert {p.name for p in tmp_path.iterdir()} == {"r.tif", measurement.name}
