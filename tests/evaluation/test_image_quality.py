"""Image scores: against scikit-image, against hand-computed values, and at the edges of what users load."""

import math

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from napari_dmu.errors import SpecimenError
from napari_dmu.evaluation import ImageQuality, frc_resolution, image_quality
from napari_dmu.evaluation.image_quality import _ssim_map


def _specimen(shape=(97, 128), seed=0):
    rng = np.random.default_rng(seed)
    return 200.0 + 4000.0 * ndimage.gaussian_filter(rng.random(shape), 2.0)


def _scaled(values, truth):
    low, high = np.percentile(truth, (0.1, 99.9))
    return np.clip((values - low) / (high - low), 0, 1)


@pytest.mark.parametrize("noise", [0.5, 20.0, 400.0])
@pytest.mark.parametrize("shape", [(97, 128), (64, 64), (11, 200)])
def test_scores_agree_with_scikit_image(noise, shape):
    truth = _specimen(shape)
    image = truth + np.random.default_rng(1).normal(0, noise, shape)
    score = image_quality(image, truth)
    x, y = _scaled(image, truth), _scaled(truth, truth)
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    interior_mean, whole = structural_similarity(x, y, full=True, **options)
    assert score.mse == pytest.approx(mean_squared_error(x, y), rel=1e-12)
    assert score.psnr == pytest.approx(peak_signal_noise_ratio(y, x, data_range=1.0), rel=1e-12)
    assert score.ssim == pytest.approx(whole.mean(), abs=1e-12)
    assert score.nrmse == pytest.approx(math.sqrt(np.mean((x - y) ** 2)) / math.sqrt(np.mean(y**2)))
    # scikit-image averages the map without a border of 5 pixels: ours has to agree there as well.
    assert _ssim_map(x, y)[5:-5, 5:-5].mean() == pytest.approx(interior_mean, abs=1e-12)


def test_hand_computed_plane():
    # 2 x 2 with percentiles close to the extremes: 0 and 1 are reached by clipping.
    truth = np.array([[0.0, 0.0], [1.0, 1.0]])
    image = np.array([[0.5, 0.0], [1.0, 1.0]])
    score = image_quality(image, truth)
    assert (score.range_low, score.range_high) == (0.0, 1.0)
    assert score.mse == pytest.approx(0.25 / 4)
    assert score.psnr == pytest.approx(10 * math.log10(16))
    assert score.nrmse == pytest.approx(0.25 / math.sqrt(0.5))


def test_ssim_of_two_constants_is_the_luminance_term():
    score = image_quality(np.full((20, 20), 0.5), np.full((20, 20), 0.0))
    assert score.ssim == pytest.approx(1e-4 / (0.25 + 1e-4))


def test_equal_planes_are_perfect():
    score = image_quality(_specimen(), _specimen())
    assert score.psnr == math.inf
    assert score.ssim == pytest.approx(1.0)
    assert score.nrmse == score.mse == 0.0


def test_a_common_gain_and_offset_change_nothing():
    truth = _specimen()
    image = truth + np.random.default_rng(2).normal(0, 50, truth.shape)
    one, two = image_quality(image, truth), image_quality(image * 7 + 300, truth * 7 + 300)
    assert two.psnr == pytest.approx(one.psnr)
    assert two.ssim == pytest.approx(one.ssim)


def test_a_hot_pixel_of_the_image_is_clipped():
    truth = _specimen()
    image = truth.copy()
    image[3, 3] = 1e30
    assert image_quality(image, truth).mse <= 1 / truth.size


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.uint64, np.float16, np.float32, bool])
def test_any_real_type(dtype):
    truth = (np.arange(400).reshape(20, 20) % 200).astype(dtype)
    assert image_quality(truth, truth).psnr == math.inf


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 65535.0, 1e20])
def test_constant_truth_does_not_crash(value):
    truth = np.full((16, 16), value)
    same, other = image_quality(truth, truth), image_quality(truth * 2 + 5, truth)
    assert same.psnr == math.inf
    assert same.nrmse == 0.0
    assert same.range_high > same.range_low
    assert math.isfinite(other.psnr)
    assert math.isfinite(other.ssim)
    assert other.nrmse == math.inf
    assert value == 1e20 or same.range_high == value + 1


def test_a_few_bright_spots_on_black_set_the_range():
    truth = np.zeros((200, 200))
    truth[10, 10] = truth[50, 60] = 5000
    score = image_quality(truth + 0.4, truth)
    assert (score.range_low, score.range_high) == (0.0, 5000.0)
    assert score.psnr > 60


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 4)])
def test_tiny_planes(shape):
    truth = np.random.default_rng(3).random(shape)
    assert -1 <= image_quality(truth[::-1, ::-1] * 0.5, truth).ssim <= 1
    assert math.isnan(frc_resolution(truth, truth))


@pytest.mark.parametrize("score", [image_quality, frc_resolution])
class TestRefusals:
    def test_shapes_differ(self, score):
        with pytest.raises(SpecimenError, match=r"\(4, 5\).*\(5, 4\)"):
            score(np.zeros((4, 5)), np.zeros((5, 4)))

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, score, bad):
        good, holed = np.zeros((4, 5)), np.zeros((4, 5))
        holed[1, 2] = bad
        with pytest.raises(SpecimenError, match="The image holds NaN"):
            score(holed, good)
        with pytest.raises(SpecimenError, match="The truth holds NaN"):
            score(good, holed)

    @pytest.mark.parametrize("plane", [np.zeros(5), np.zeros((2, 5, 5)), np.zeros((0, 5)), np.array(3.0)])
    def test_not_a_plane(self, score, plane):
        with pytest.raises(SpecimenError, match="plane"):
            score(plane, plane)

    @pytest.mark.parametrize("plane", [np.zeros((4, 4), complex), np.full((4, 4), "a")])
    def test_not_real(self, score, plane):
        with pytest.raises(SpecimenError, match="real numbers"):
            score(plane, plane)


def test_result_is_frozen_and_flat():
    score = image_quality(_specimen(), _specimen(seed=1))
    assert set(score.model_dump()) == {"psnr", "ssim", "nrmse", "mse", "range_low", "range_high"}
    assert ImageQuality.model_validate_json(score.model_dump_json()) == score
    with pytest.raises(ValidationError):
        score.psnr = 3.0
