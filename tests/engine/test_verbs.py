"""The four verbs on arrays and stacks: what goes in, what comes out, what is refused."""

from __future__ import annotations

import random
import warnings
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import assert_sentence, discs, make_set

import napari_dmu as dmu
from napari_dmu.engine.progress import CancelToken
from napari_dmu.engine.stacks import fingerprint
from napari_dmu.errors import Cancelled, DeviceError, DmuError, PatternSetError, SettingsError, SpecimenError
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.measurement import Measurement
from napari_dmu.zoo.pattern_set import PatternSet

SHAPE = (50, 61)


def specimen(seed: int = 0) -> np.ndarray:
    """Discs as 12-bit counts."""
    return np.rint(100 + 3000 * discs(SHAPE, seed=seed)[0]).astype(np.uint16)


def movie(planes: int = 4) -> np.ndarray:
    return np.stack([specimen(i) for i in range(planes)])


class Labelled:
    """What xarray looks like to us: shape, dtype, slicing, conversion; no more."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, key: Any) -> Labelled:
        return Labelled(self._values[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._values, dtype=dtype)


# -- the round trip ----------------------------------------------------------------------------------


def test_a_specimen_goes_through_and_comes_back(instrument: PatternSet) -> None:
    image, truth = discs((96, 100), seed=7, count=9)
    counts = np.rint(500 + 20_000 * image).astype(np.uint16)
    measurement = dmu.simulate(counts, instrument, photons=5000, seed=3)
    assert measurement.data.shape == (4, 24, 25)
    assert measurement.data.dtype == np.uint16
    back = dmu.reconstruct(measurement, instrument=instrument)
    assert back.shape == counts.shape
    assert back.dtype == np.float32
    assert abs(back.mean() / counts.mean() - 1) < 0.02  # in the specimen's own units
    scores = dmu.compare(back, counts)
    blocks = counts.reshape(24, 4, 25, 4).mean((1, 3)).repeat(4, 0).repeat(4, 1)
    assert scores.psnr > dmu.compare(blocks, counts).psnr + 3
    labels = dmu.segment(measurement, instrument=instrument)
    assert labels.dtype == np.int32
    found = dmu.compare(back, counts, labels=labels, truth_labels=truth)
    assert found.count == found.truth_count == 9
    assert found.f1 == 1.0


def test_the_measurement_says_what_was_done(instrument: PatternSet) -> None:
    m = dmu.simulate(
        movie(), instrument, photons=300, read_noise=1.5, background=7, seed=11, axes=("t", "y", "x"),
        scale=(20, 0.5, 0.25), translate=(0, 1, 2), units=("second", "micrometer", "micrometer"),
    )  # fmt: skip
    info = m.info
    assert (info.acquisition.photons, info.acquisition.read_noise, info.acquisition.background) == (300, 1.5, 7)
    assert info.acquisition.bin == instrument.acquisition.bin
    assert (info.set_name, info.family, info.ratio, info.set_hash) == ("discs", "raster", 4, instrument.hash)
    assert (info.field, info.seed, info.dtype, info.axes) == (SHAPE, 11, "uint16", ("t", "y", "x"))
    assert m.axes == ("t", "pattern", "y", "x")
    assert m.scale == (20, 1, 2, 1)
    assert m.translate == (0, 0, 1.75, 2.375)
    assert info.version == dmu.__version__
    assert info.saturated == 0
    low, high = info.intensity_range
    assert 90 < low < 400
    assert 2000 < high < 3200
    plain = dmu.simulate(movie(), instrument).info
    # The gain in use may be written down; everything else is the set's own.
    assert plain.acquisition.model_copy(update={"gain": None}) == instrument.acquisition
    assert plain.acquisition.electrons_per_count == instrument.acquisition.electrons_per_count
    assert plain.units == ("pixel",) * 3
    assert plain.axes[-2:] == ("y", "x")


def test_none_is_a_value_among_the_settings_of_the_acquisition(instrument: PatternSet) -> None:
    """It takes the full well and the gain of a preset away; of the light it means the set's own."""
    other = {"full_well": None, "gain": None}
    used = dmu.simulate(specimen(), instrument, detector="scmos", acquisition=other).info.acquisition
    assert used.full_well is None
    assert used.gain == used.model_copy(update={"gain": None}).electrons_per_count
    assert dmu.simulate(specimen(), instrument, detector="scmos").info.acquisition.full_well == 30000
    with pytest.raises(SettingsError, match="photons") as refusal:
        dmu.simulate(specimen(), instrument, acquisition={"photons": None})
    assert_sentence(refusal.value)


def test_more_light_is_less_noise(instrument: PatternSet) -> None:
    scores = []
    for photons in (0.5, 5, 5000):
        measurement = dmu.simulate(specimen(), instrument, photons=photons)
        scores.append(dmu.compare(dmu.reconstruct(measurement, instrument=instrument), specimen()).psnr)
    assert scores[0] + 1 < scores[1] < scores[2] - 1


def test_lmmse_is_the_lifting_alone(instrument: PatternSet) -> None:
    measurement = dmu.simulate(specimen(), instrument)
    learned = dmu.reconstruct(measurement, instrument=instrument)
    linear = dmu.reconstruct(measurement, instrument=instrument, method="lmmse")
    assert linear.shape == learned.shape
    assert 0 < np.abs(linear - learned).max() < 0.5 * np.ptp(learned)


# -- kinds of input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        lambda a: da.from_array(a, chunks=(1, 7, 13)),
        lambda a: da.from_array(a, chunks=(3, 50, 61)),
        np.ma.asarray,
        lambda a: a.tolist(),
        list,
        Labelled,
        np.asfortranarray,
        lambda a: a[::-1][::-1],
        lambda a: a.astype(">u2"),
    ],
    ids=[
        "dask",
        "dask, other chunks",
        "nothing masked",
        "list",
        "list of arrays",
        "array-like",
        "fortran",
        "strided",
        "big-endian",
    ],
)
def test_the_container_does_not_matter(instrument: PatternSet, wrap: Any) -> None:
    expected = dmu.simulate(movie(), instrument, seed=5)
    found = dmu.simulate(wrap(movie()), instrument, seed=5)
    np.testing.assert_array_equal(found.data, expected.data)
    assert found.info.intensity_range == expected.info.intensity_range


def test_dask_stacks_are_read_plane_by_plane(instrument: PatternSet) -> None:
    sizes = []

    def load(block: np.ndarray) -> np.ndarray:
        sizes.append(block.size)
        return block

    stack = da.from_array(movie(6), chunks=(1, *SHAPE)).map_blocks(
        load, dtype=np.uint16, meta=np.empty((0, 0, 0), "u2")
    )
    dmu.simulate(stack, instrument)
    assert sizes
    assert max(sizes) <= SHAPE[0] * SHAPE[1]


def test_stacks_are_told_apart_by_their_first_middle_and_last_planes() -> None:
    stack = movie(5)
    of_it = fingerprint(stack)
    assert fingerprint(stack.astype(np.float32)) == of_it
    for place in ((0, 0, 0), (2, 0, 5), (4, -1, -1)):
        other = stack.copy()
        other[place] += 1
        assert fingerprint(other) != of_it


def test_a_lazy_measurement_reconstructs_to_the_same(instrument: PatternSet) -> None:
    measurement = dmu.simulate(movie(), instrument)
    lazy = measurement.with_data(da.from_array(measurement.data, chunks=(2, 1, 5, 5)))
    for verb in (dmu.reconstruct, dmu.segment):
        np.testing.assert_array_equal(verb(lazy, instrument=instrument), verb(measurement, instrument=instrument))


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "f2", "f4", "f8", "g"]
)
def test_any_number_type_gives_the_same_picture(instrument: PatternSet, dtype: str) -> None:
    density = discs(SHAPE, seed=1)[0]
    kind = np.dtype(dtype)
    if kind.kind == "b":
        image = density > 0.4
    elif kind.kind in "iu":
        # uint32 and beyond: above 2**24, where float32 has no odd numbers left.
        top = min(np.iinfo(kind).max, 2**32 - 1)
        image = (np.iinfo(kind).min * (kind.itemsize == 1) + density * (top * 0.9)).astype(kind)
    else:
        image = (density * 1000 - 300).astype(kind)
    back = dmu.reconstruct(dmu.simulate(image, instrument, photons=1e4), instrument=instrument)
    assert back.dtype == np.float32
    assert np.corrcoef(back.ravel(), image.ravel().astype(float))[0, 1] > 0.9
    assert np.median(np.abs(back - image.astype(float))) < 0.1 * np.ptp(image.astype(float))


def test_large_integers_keep_their_contrast(instrument: PatternSet) -> None:
    image = (2**31 + 1000 * (discs(SHAPE, seed=1)[0] * 1000)).astype(np.uint32)
    back = dmu.reconstruct(dmu.simulate(image, instrument, photons=1e4), instrument=instrument)
    assert np.corrcoef(back.ravel() - 2.0**31, image.ravel().astype(float))[0, 1] > 0.9


def test_what_is_rare_in_a_long_stack_is_not_cut_off(instrument: PatternSet, monkeypatch: Any) -> None:
    """One bright plane of many, and one bright pixel: whatever is sampled for the range, both are within it."""
    stack = np.zeros((70, *SHAPE), np.uint16)
    stack[1] = 20 * specimen()
    measurement = dmu.simulate(stack, instrument)
    assert measurement.info.intensity_range[1] > 0.9 * stack.max()
    spot = np.zeros((70, *SHAPE), np.uint16)
    spot[33, 20, 31] = 5000
    assert dmu.simulate(spot, instrument).info.intensity_range == (0.0, 5000.0)
    monkeypatch.setattr("napari_dmu.engine.stacks.RANGE_PIXELS", 700)  # ten pixels of each plane, not the spot
    assert dmu.simulate(spot, instrument).info.intensity_range == (0.0, 5000.0)


def test_the_range_of_a_stack_does_not_depend_on_one_column(instrument: PatternSet, monkeypatch: Any) -> None:
    monkeypatch.setattr("napari_dmu.engine.stacks.RANGE_PIXELS", 512)  # one pixel of each row
    columns = np.tile(10 * np.arange(64, dtype=np.uint16), (8, 64, 1))  # the value is ten times the column
    columns[:, ::2] += 1  # and not quite the same in all rows: one value alone would not be taken for the range
    low, high = dmu.simulate(columns, instrument).info.intensity_range
    assert low <= 30
    assert high >= 600


def test_a_part_can_be_lit_as_the_whole(instrument: PatternSet) -> None:
    whole = np.linspace(100, 900, 64 * 64).reshape(64, 64)
    part = dmu.simulate(whole[:16], instrument, intensity_range=(100, 900), photons=1e5)
    assert part.info.intensity_range == (100, 900)
    image = dmu.reconstruct(part, instrument=instrument, method="lmmse")
    assert 200 < image.max() < 400  # of 100 … 300 in a whole of 100 … 900
    own = dmu.simulate(whole[:16], instrument, photons=1e5)
    assert own.data.mean() > 2 * part.data.mean()


@pytest.mark.parametrize(
    "values",
    [
        2_000_000_000 + np.arange(2500, dtype=np.int64) % 100,
        2_000_000_000 + np.arange(2500, dtype=np.int64) % 40,  # one number in single precision
        1e9 + np.linspace(0, 100, 2500),
    ],
)
def test_contrast_that_single_precision_would_lose_is_refused(instrument: PatternSet, values: np.ndarray) -> None:
    with pytest.raises(SpecimenError, match="offset") as refusal:
        dmu.simulate(values.reshape(50, 50), instrument)
    assert_sentence(refusal.value)
    dmu.simulate((values - values.min()).reshape(50, 50), instrument)


def test_what_single_precision_holds_is_measured(instrument: PatternSet) -> None:
    step = np.spacing(np.float32(1e9))
    image = (1e9 + step * (np.arange(2500) % 100)).astype(">f4").reshape(50, 50)  # stored in single precision
    assert dmu.simulate(image, instrument).info.intensity_range[0] >= 1e9
    jitter = 0.1 + 1e-17 * np.arange(2500).reshape(50, 50) + 1e-16
    assert dmu.simulate(jitter, instrument).info.intensity_range == pytest.approx((0.1, 1.1))
    axes = dmu.simulate(specimen(), instrument, axes=("Y", "X")).info.axes
    assert axes == ("y", "x")


def test_tensors_are_arrays_too(instrument: PatternSet) -> None:
    image = torch.from_numpy(specimen().astype(np.float32))
    np.testing.assert_array_equal(dmu.simulate(image, instrument).data, dmu.simulate(image.numpy(), instrument).data)
    with pytest.raises(SpecimenError) as refusal:
        dmu.simulate(image.clone().requires_grad_(), instrument)
    assert_sentence(refusal.value)


def test_five_axes_stay_five_axes(instrument: PatternSet) -> None:
    stack = np.stack([specimen(i) for i in range(6)]).reshape(3, 1, 2, *SHAPE)
    measurement = dmu.simulate(stack, instrument, seed=2)
    assert measurement.data.shape == (3, 1, 2, 4, 13, 16)
    assert measurement.planes == 6
    image = dmu.reconstruct(measurement, instrument=instrument)
    labels = dmu.segment(measurement, instrument=instrument)
    assert image.shape == labels.shape == stack.shape
    flat = dmu.simulate(stack.reshape(6, *SHAPE), instrument, seed=2)
    np.testing.assert_array_equal(flat.data.reshape(measurement.data.shape), measurement.data)
    assert dmu.compare(image, stack).plane_count == 6
    # Each plane is itself, not its neighbour.
    for index in np.ndindex(3, 1, 2):
        assert np.corrcoef(image[index].ravel(), stack[index].ravel())[0, 1] > 0.9


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 5), (1, 1, 1, 7, 9), (33, 8)])
def test_small_and_odd_fields_work(instrument: PatternSet, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)
    measurement = dmu.simulate(image, instrument)
    assert measurement.data.shape[-2:] == (-(-shape[-2] // 4), -(-shape[-1] // 4))
    back = dmu.reconstruct(measurement, instrument=instrument)
    assert back.shape == dmu.segment(measurement, instrument=instrument).shape == shape
    assert np.isfinite(back).all()


@pytest.mark.parametrize("value", [0, 7, -3.5, 65535, 1e20])
def test_a_constant_image_is_dark_and_without_cells(instrument: PatternSet, value: float) -> None:
    measurement = dmu.simulate(np.full(SHAPE, value), instrument)
    assert np.isfinite(dmu.reconstruct(measurement, instrument=instrument)).all()
    assert not dmu.segment(measurement, instrument=instrument).any()


def _with(value: float) -> np.ndarray:
    image = specimen().astype(float)
    image[3, 4] = value
    return image


def _of_unknown_length() -> Any:
    stack = da.from_array(movie(), chunks=1)
    return stack[stack.sum((1, 2)) > 0]


@pytest.mark.parametrize(
    "bad",
    [
        _with(np.nan), _with(np.inf), _with(-np.inf), np.full(SHAPE, np.nan), specimen().astype(complex),
        np.zeros((0, 5)), np.zeros((3, 0, 5)), np.zeros(7), np.float32(3), [], [[1, 2], [3]], "nuclei.tif", None,
        [["a", "b"], ["c", "d"]], np.array([[1, None]]), da.from_array(np.stack([specimen(), _with(np.nan)])),
        _of_unknown_length(), np.ma.masked_less(specimen(), 1000), np.ma.masked_less(movie(), 1000),
        da.ma.masked_less(da.from_array(movie(), chunks=(1, 9, -1)), 1000),
        da.ma.masked_less(da.from_array(movie(), chunks=(2, 9, -1)), 1000),
    ],
    ids=[
        "nan", "inf", "-inf", "all nan", "complex", "no rows", "no rows in a stack", "one axis", "a number",
        "nothing", "ragged", "a name", "None", "words", "objects", "nan in the second plane", "unknown length",
        "masked", "masked stack", "masked dask", "masked dask, planes in a chunk",
    ],
)  # fmt: skip
def test_what_is_no_specimen_is_refused_with_a_sentence(instrument: PatternSet, bad: Any) -> None:
    with pytest.raises(SpecimenError) as refusal:
        dmu.simulate(bad, instrument)
    assert_sentence(refusal.value)


@pytest.mark.parametrize(
    "options",
    [
        {"photons": 0}, {"photons": -5}, {"photons": np.nan}, {"read_noise": -1}, {"background": -0.1},
        {"seed": -1}, {"axes": ("y", "x")}, {"scale": (1, 1)}, {"translate": (0,)}, {"units": ("pixel",) * 4},
        {"acquisition": 5}, {"acquisition": [("photons", 9)]}, {"acquisition": "photons"},
        {"seed": 1.5}, {"scale": 0.5}, {"scale": (1, 0, 1)}, {"translate": (0, 0, np.inf)}, {"axes": ("y", "x", "c")},
        {"axes": ("y", "y", "x")}, {"axes": ("pattern", "y", "x")}, {"acquisition": {"full_well": np.inf}},
        {"acquisition": {"registration": {"shift": [np.nan, 0]}}}, {"intensity_range": (5, 5)},
        {"intensity_range": (0, np.nan)}, {"intensity_range": (0, np.inf)}, {"intensity_range": 7},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_settings_are_refused_with_a_sentence(instrument: PatternSet, options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refusal:
        dmu.simulate(movie(), instrument, **options)
    assert_sentence(refusal.value)


def test_nothing_warns(instrument: PatternSet) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measurement = dmu.simulate(movie(), instrument)
        image = dmu.reconstruct(measurement, instrument=instrument)
        dmu.compare(
            image, movie(), labels=dmu.segment(measurement, instrument=instrument), truth_labels=(movie() > 900) * 1
        )


# -- noise -------------------------------------------------------------------------------------------


def test_noise_of_a_plane_does_not_depend_on_its_neighbours(instrument: PatternSet) -> None:
    stack = movie()
    stack[0, 0, :9], stack[1, 0, :9] = 0, 4095  # the same range whatever else is there
    stack[0, :4], stack[1, :4] = 0, 4095
    other = stack.copy()
    other[2] = other[2][::-1]
    one, two = (dmu.simulate(s, instrument, seed=4) for s in (stack, other))
    assert one.info.intensity_range == two.info.intensity_range
    np.testing.assert_array_equal(one.data[3], two.data[3])
    assert (one.data[2] != two.data[2]).any()
    longer = dmu.simulate(np.concatenate([stack, stack]), instrument, seed=4)
    if longer.info.intensity_range == one.info.intensity_range:
        np.testing.assert_array_equal(longer.data[:4], one.data)
    assert (longer.data[4:] != longer.data[:4]).mean() > 0.5


def test_equal_planes_have_different_noise_and_equal_seeds_the_same(instrument: PatternSet) -> None:
    stack = np.stack([specimen()] * 2)
    first = dmu.simulate(stack, instrument, seed=4)
    assert (first.data[0] != first.data[1]).mean() > 0.9
    np.testing.assert_array_equal(first.data, dmu.simulate(stack, instrument, seed=4).data)
    assert (first.data != dmu.simulate(stack, instrument, seed=5).data).mean() > 0.9


@given(seed=st.integers(0, 2**63))
def test_any_seed_works(instrument: PatternSet, seed: int) -> None:
    assert dmu.simulate(specimen()[:9, :9], instrument, seed=seed).info.seed == seed


def test_no_global_generator_is_touched(instrument: PatternSet) -> None:
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state(), random.getstate()  # noqa: NPY002
    measurement = dmu.simulate(movie(), instrument)
    dmu.reconstruct(measurement, instrument=instrument)
    dmu.segment(measurement, instrument=instrument)
    np.testing.assert_array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.random.get_rng_state())
    assert before[2] == random.getstate()


def test_the_specimen_is_not_changed(instrument: PatternSet) -> None:
    image = specimen().astype(np.float32)
    image.setflags(write=False)
    before = image.copy()
    dmu.simulate(image, instrument)
    np.testing.assert_array_equal(image, before)


# -- pattern sets ------------------------------------------------------------------------------------


def test_the_right_set_is_found_by_its_hash(installed: PatternSet) -> None:
    measurement = dmu.simulate(specimen(), installed)
    np.testing.assert_array_equal(dmu.reconstruct(measurement), dmu.reconstruct(measurement, instrument=installed))
    np.testing.assert_array_equal(dmu.segment(measurement), dmu.segment(measurement, instrument=installed))


def test_another_set_is_refused(instrument: PatternSet, tmp_path: Any) -> None:
    other = make_set(tmp_path / "other.dmu.safetensors", seed=9)
    measurement = dmu.simulate(specimen(), instrument)
    for verb in (dmu.reconstruct, dmu.segment):
        with pytest.raises(PatternSetError, match="another pattern set") as refusal:
            verb(measurement, instrument=other)
        assert_sentence(refusal.value)
    with pytest.raises(PatternSetError, match="×4 discs, raster") as refusal:
        dmu.reconstruct(dmu.simulate(specimen(), other))
    assert_sentence(refusal.value)


def test_a_set_without_a_segmenter_says_so(tmp_path: Any) -> None:
    headless = make_set(tmp_path / "h.dmu.safetensors", with_head=False)
    with pytest.raises(PatternSetError, match="no segmenter") as refusal:
        dmu.segment(dmu.simulate(specimen(), headless), instrument=headless)
    assert_sentence(refusal.value)


@pytest.mark.parametrize("verb", [dmu.reconstruct, dmu.segment, dmu.assess])
def test_data_that_were_cut_are_refused(instrument: PatternSet, verb: Any) -> None:
    measurement = dmu.simulate(specimen(), instrument)
    with pytest.raises(SettingsError, match="cut") as refusal:
        verb(measurement.with_data(measurement.data[..., :2, :2]), instrument=instrument)
    assert_sentence(refusal.value)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("no"), RuntimeError("MPS backend out of memory"), MemoryError()], ids=repr
)
@pytest.mark.parametrize("where", ["microscope", "decoder", "segmenter"])
def test_running_out_of_memory_anywhere_is_a_sentence(
    instrument: PatternSet, monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    measurement = dmu.simulate(specimen(), instrument)

    def fail(*_: Any) -> None:
        raise error

    part = {"microscope": Microscope, "decoder": type(instrument.decoder), "segmenter": type(instrument.segmenter)}
    monkeypatch.setattr(part[where], "forward", fail)
    verb, data = (dmu.simulate, specimen()) if where == "microscope" else (dmu.segment, measurement)
    with pytest.raises(DeviceError, match="memory") as refusal:
        verb(data, instrument=instrument)
    assert_sentence(refusal.value)


def test_other_errors_are_not_taken_for_a_lack_of_memory(
    instrument: PatternSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(Microscope, "forward", fail)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        dmu.simulate(specimen(), instrument)


def test_unknown_methods_and_devices_are_refused(instrument: PatternSet) -> None:
    measurement = dmu.simulate(specimen(), instrument)
    with pytest.raises(SettingsError) as refusal:
        dmu.reconstruct(measurement, instrument=instrument, method="magic")  # type: ignore[arg-type]
    assert_sentence(refusal.value)
    for device in ("gpu", "cuda:99", "quantum", None):
        for verb in (dmu.reconstruct, dmu.segment):
            with pytest.raises(DeviceError) as refusal:
                verb(measurement, instrument=instrument, device=device)
            assert_sentence(refusal.value)
        with pytest.raises(DeviceError):
            dmu.simulate(specimen(), instrument, device=device)


# -- progress and cancel -----------------------------------------------------------------------------

VERBS = ["simulate", "reconstruct", "segment", "compare"]


def call(verb: str, measurement: Measurement, instrument: PatternSet, **options: Any) -> Any:
    if verb == "simulate":
        return dmu.simulate(movie(), instrument, **options)
    if verb == "compare":
        return dmu.compare(movie() + 1.0, movie(), **options)
    return getattr(dmu, verb)(measurement, instrument=instrument, **options)


@pytest.mark.parametrize("verb", VERBS)
def test_progress_counts_the_planes(instrument: PatternSet, verb: str) -> None:
    measurement = dmu.simulate(movie(), instrument)
    seen: list[tuple[int, int, str]] = []
    call(verb, measurement, instrument, progress=lambda *a: seen.append(a))
    assert [s[:2] for s in seen] == [(i, 4) for i in range(1, 5)]
    assert len({s[2] for s in seen}) == 1
    assert seen[0][2]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_work_stops_at_the_next_plane(instrument: PatternSet, verb: str, after: int) -> None:
    measurement = dmu.simulate(movie(), instrument)
    token = CancelToken()
    done: list[int] = []

    def progress(count: int, total: int, what: str) -> None:
        done.append(count)
        if count == after:
            token.cancel()

    if not after:
        token.cancel()
    with pytest.raises(Cancelled):
        call(verb, measurement, instrument, progress=progress, cancel=token)
    assert done == list(range(1, after + 1))


def test_a_token_is_quiet_until_it_is_cancelled() -> None:
    token = CancelToken()
    token.check()
    assert not token.cancelled
    token.cancel()
    token.cancel()
    assert token.cancelled
    with pytest.raises(Cancelled):
        token.check()


# -- compare -----------------------------------------------------------------------------------------


def test_comparison_knows_the_same_image() -> None:
    scores = dmu.compare(movie(), movie())
    assert scores.psnr == np.inf
    assert scores.mse == 0
    assert scores.ssim == pytest.approx(1)
    assert scores.plane_count == len(scores.planes) == 4
    assert scores.ap50 is None


def test_comparison_averages_over_planes() -> None:
    truth = movie()
    image = truth + np.arange(1.0, 5.0)[:, None, None] * 50
    scores = dmu.compare(image, truth)
    np.testing.assert_allclose(scores.psnr, np.mean([p.psnr for p in scores.planes]))
    low, high = np.percentile(truth, (0.1, 99.9))
    np.testing.assert_allclose([p.mse for p in scores.planes], (np.arange(1, 5) * 50 / (high - low)) ** 2, rtol=0.1)
    assert scores.planes[0].psnr > scores.planes[3].psnr


def test_comparison_of_cells() -> None:
    truth = discs((90, 90), seed=2, count=7)[1]
    found = np.where(truth == 3, 0, truth)
    scores = dmu.compare(truth * 1.0, truth * 1.0, labels=found, truth_labels=truth)
    assert (scores.count, scores.truth_count) == (6, 7)
    assert scores.precision == 1
    assert scores.recall == pytest.approx(6 / 7)
    assert scores.ap50 == pytest.approx(6 / 7)
    assert scores.f1 == pytest.approx(12 / 13)


@pytest.mark.parametrize(
    "arguments",
    [
        (np.ones((4, 4)), np.ones((4, 5)), {}),
        (np.ones((2, 4, 4)), np.ones((4, 4)), {}),
        (np.ones((4, 4)), np.ones((4, 4)), {"labels": np.ones((4, 4), int)}),
        (np.ones((4, 4)), np.ones((4, 4)), {"labels": np.ones((4, 4), int), "truth_labels": np.ones((3, 4), int)}),
        (np.full((4, 4), np.nan), np.ones((4, 4)), {}),
        (np.ones((4, 4)), np.full((4, 4), np.inf), {}),
        (np.ones(4), np.ones(4), {}),
    ],
    ids=["other width", "other axes", "half a pair", "labels of another shape", "nan", "inf", "one axis"],
)
def test_what_cannot_be_compared_is_refused(arguments: tuple[Any, Any, dict[str, Any]]) -> None:
    image, truth, options = arguments
    with pytest.raises(DmuError) as refusal:
        dmu.compare(image, truth, **options)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith(".")
