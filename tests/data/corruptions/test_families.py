"""What each family does, against other implementations and by hand."""

from io import BytesIO

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from PIL import Image
from skimage.color import hsv2rgb, rgb2hsv

from samnesia.data.corruptions.blur import DefocusBlur, GaussianBlur, GlassBlur, MotionBlur, ZoomBlur
from samnesia.data.corruptions.digital import Contrast, Elastic, Jpeg, Pixelate, Saturate
from samnesia.data.corruptions.kinds import levels, quantised
from samnesia.data.corruptions.noise import GaussianNoise, ImpulseNoise, ShotNoise, SpeckleNoise
from samnesia.data.corruptions.resampling import magnified, smeared, smoothed
from samnesia.data.corruptions.sampling import Draws
from samnesia.data.corruptions.textures import crystals, plasma
from samnesia.data.corruptions.weather import Brightness, Fog, Frost, Mud, Snow, Water

DRAWS = Draws((0, 1), [3, 4])
IMAGES = np.random.default_rng(0).random((2, 3, 20, 24))
GREY = np.full((2, 1, 100, 100), 0.4)


def of(corruption, images, draws=DRAWS, scale=1.0):
    return corruption.of(images, scale, draws)


def test_draws_are_stretches_of_one_stream_for_each_number_and_part():
    stream = np.random.PCG64(np.random.SeedSequence((0, 1, 2)))
    words = np.stack([stream.jumped(number).random_raw(6) for number in (3, 4)])
    np.testing.assert_allclose(DRAWS.uniforms(2, 3, part=2).reshape(2, 6), words / 2.0**64, atol=1e-15)
    np.testing.assert_allclose(scipy.stats.norm.cdf(DRAWS.normals(5)), DRAWS.uniforms(5))
    np.testing.assert_array_equal(DRAWS.of(1, 2).uniforms(5), DRAWS.uniforms(5)[1:])
    assert not np.isin(DRAWS.uniforms(50), DRAWS.uniforms(50, part=1)).any()


def test_rounding_takes_halves_up_also_where_the_last_bit_is_short_of_them():
    halves = np.array([0.5, 1.5, 2.5]) / 255
    for images in (halves, np.nextafter(halves, 0.0), np.nextafter(halves, 1.0)):
        np.testing.assert_array_equal(levels(images), [1, 2, 3])
    np.testing.assert_array_equal(quantised(np.array([-1.0, 0.499 / 255, 2.0])), [0.0, 0.0, 1.0])


def test_noise_has_the_moments_of_its_distribution():
    noise = of(GaussianNoise(0.2), GREY) - GREY
    assert abs(noise.mean()) < 0.006 and noise.std() == pytest.approx(0.2, rel=0.03)
    np.testing.assert_allclose(of(SpeckleNoise(0.2), GREY) - GREY, 0.4 * noise, atol=1e-12)
    shot = of(ShotNoise(12), GREY)
    assert shot.mean() == pytest.approx(0.4, rel=0.03) and shot.var() == pytest.approx(0.4 / 12, rel=0.05)
    drawn = of(ImpulseNoise(0.3), GREY)
    assert [(drawn == value).mean() for value in (0.0, 1.0, 0.4)] == pytest.approx([0.15, 0.15, 0.7], abs=0.015)


def test_shot_noise_is_that_of_scipys_poisson_distribution():
    images = quantised(IMAGES)
    images[0, 0, 0] = 0.0
    found = of(ShotNoise(60), images)
    np.testing.assert_allclose(found, scipy.stats.poisson.ppf(DRAWS.uniforms(*images.shape[1:]), 60 * images) / 60)


def test_smoothing_and_magnifying_are_those_of_scipy():
    filtered = scipy.ndimage.gaussian_filter(IMAGES, (0, 0, 1.7, 1.7), mode="nearest")
    np.testing.assert_allclose(of(GaussianBlur(3.4), IMAGES, scale=0.5), filtered, atol=1e-12)
    assert smoothed(IMAGES, 0.0) is IMAGES
    centre = (np.array([20, 24]) - 1) / 2
    enlarged = scipy.ndimage.affine_transform(IMAGES[0, 0], np.eye(2) / 1.3, centre - centre / 1.3, order=1)
    np.testing.assert_allclose(magnified(IMAGES, 1.3)[0, 0], enlarged, atol=1e-12)
    zoomed = (2 * IMAGES + magnified(IMAGES, 1.3)) / 3
    np.testing.assert_allclose(of(ZoomBlur(2, 0.3), IMAGES), zoomed, atol=1e-12)


def test_defocus_is_a_mean_over_a_disc():
    point = np.zeros((1, 1, 15, 15))
    point[0, 0, 7, 7] = 1.0
    disc = of(DefocusBlur(3, 0.01), point)[0, 0]
    rows, columns = np.indices((15, 15)) - 7
    np.testing.assert_allclose(disc, (rows**2 + columns**2 <= 9) / 29, atol=1e-6)
    smooth = of(DefocusBlur(6, 1.4), point, scale=0.5)[0, 0]
    assert smooth.sum() == pytest.approx(1.0) and 0 < smooth[7, 11] < smooth[7, 7]
    np.testing.assert_allclose(of(DefocusBlur(3, 0.5), GREY), GREY)


@pytest.mark.parametrize(("reach", "rounds"), [(1, 1), (2, 3)])
def test_glass_swaps_pixels_in_turn(reach, rounds):
    found = of(GlassBlur(0.0, reach, rounds), IMAGES)
    height, width = IMAGES.shape[2:]
    moves = np.floor(DRAWS.uniforms(rounds, 2, height, width) * 2 * reach).astype(int) - reach
    expected = IMAGES.copy()
    for image, own in zip(expected, moves, strict=True):
        for down, right in own:
            for row in range(height - reach, reach - 1, -1):
                for column in range(width - reach, reach - 1, -1):
                    there = row + down[row, column], column + right[row, column]
                    here = image[:, row, column].copy()
                    image[:, row, column] = image[:, there[0], there[1]]
                    image[:, there[0], there[1]] = here
    np.testing.assert_array_equal(found, expected)
    kept = (of(GlassBlur(0.0, 1, 1, share=0.1), IMAGES) == IMAGES).all(1).mean()
    assert 0.75 < kept < 0.95


def test_motion_smears_from_each_pixel_along_its_way():
    point = np.zeros((2, 1, 9, 9))
    point[:, 0, 4, 4] = 1.0
    weights = np.exp(-(np.arange(5) ** 2) / 8)
    weights /= weights.sum()
    level, up = smeared(point, np.array([0.0, -90.0]), radius=2, sigma=2)[:, 0]
    np.testing.assert_allclose(level[4], [*weights[::-1], 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(up[:, 4], [0, 0, 0, 0, *weights], atol=1e-12)
    np.testing.assert_allclose(of(MotionBlur(5, 3), GREY), GREY)
    border = smeared(GREY, np.array([0.0, 0.0]), radius=2, sigma=2, beyond="constant")
    assert border[0, 0, 5, 50] == pytest.approx(0.4) and border[0, 0, 5, 99] == pytest.approx(0.4 * weights[0])


def test_brightness_and_saturation_are_those_of_scikit_image():
    images = np.concatenate([IMAGES, np.zeros((1, 3, 20, 24)), np.full((1, 3, 20, 24), 0.3)])
    hsv = rgb2hsv(images, channel_axis=1)
    bright, colourful = hsv.copy(), hsv.copy()
    bright[:, 2] = np.clip(bright[:, 2] + 0.3, 0, 1)
    colourful[:, 1] = np.clip(1.5 * colourful[:, 1] + 0.2, 0, 1)
    np.testing.assert_allclose(of(Brightness(0.3), images), hsv2rgb(bright, channel_axis=1), atol=1e-9)
    np.testing.assert_allclose(of(Saturate(1.5, 0.2), images), hsv2rgb(colourful, channel_axis=1), atol=1e-9)
    np.testing.assert_allclose(of(Brightness(0.7), GREY), 1.0)


def test_contrast_keeps_the_mean_of_each_channel():
    found = of(Contrast(0.3), IMAGES)
    np.testing.assert_allclose(found.mean((2, 3)), IMAGES.mean((2, 3)))
    np.testing.assert_allclose(found.std((2, 3)), 0.3 * IMAGES.std((2, 3)))


def test_pixelate_and_jpeg_are_those_of_pillow():
    stored = levels(IMAGES)[0].transpose(1, 2, 0)
    coarse = Image.fromarray(stored).resize((12, 10), Image.Resampling.BOX).resize((24, 20), Image.Resampling.BOX)
    np.testing.assert_array_equal(levels(of(Pixelate(0.5), IMAGES))[0].transpose(1, 2, 0), np.asarray(coarse))
    file = BytesIO()
    Image.fromarray(stored).save(file, "JPEG", quality=15)
    np.testing.assert_array_equal(levels(of(Jpeg(15), IMAGES))[0].transpose(1, 2, 0), np.asarray(Image.open(file)))
    square = np.kron(np.array([[0.0, 1.0], [1.0, 0.0]]), np.ones((4, 4)))[None, None]
    np.testing.assert_array_equal(of(Pixelate(0.25), square), square)


def test_elastic_moves_points_as_drawn():
    np.testing.assert_allclose(of(Elastic(0, 0, 0), IMAGES), IMAGES, atol=1e-9)
    rows, columns = np.indices((40, 40), dtype=float)
    ramps = np.stack([rows, columns])[None]  # the value of a pixel says where it is from
    draws = Draws((5,), [0])
    found = of(Elastic(0, 0, 3), ramps, draws)[0]
    shift = 3 * (2 * draws.uniforms(3, 2, part=1) - 1)[0]
    for (row, column), own in zip([(33, 33), (33, 7), (7, 7)], shift, strict=True):
        np.testing.assert_allclose(found[:, row, column], [row + own[0], column + own[1]], atol=1e-6)
    noise = 2 * draws.uniforms(2, 40, 40) - 1
    field = 4 * scipy.ndimage.gaussian_filter(noise, (0, 0, 2, 2), mode="reflect", truncate=3.0)[0]
    inner = np.s_[:, 10:30, 10:30]
    np.testing.assert_allclose(of(Elastic(8, 4, 0), ramps, draws, 0.5)[0][inner], (ramps[0] + field)[inner], atol=1e-6)


def test_fog_is_a_plasma_that_goes_on_beyond_its_border():
    clouds = plasma(DRAWS, 32, 32, decay=1.5)
    assert clouds.min() == 0.0 and clouds.max() == 1.0
    step = np.abs(np.diff(clouds, axis=2)).mean()
    assert np.abs(clouds[:, :, 0] - clouds[:, :, -1]).mean() < 2 * step
    rough = plasma(DRAWS, 32, 32, decay=1.1)
    assert np.abs(np.diff(rough, axis=2)).mean() > step
    np.testing.assert_array_equal(plasma(DRAWS, 20, 31, decay=1.5), clouds[:, :20, :31])
    images = 0.8 * IMAGES / IMAGES.max((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(
        of(Fog(2, 1.5), images), (images + 2 * plasma(DRAWS, 20, 24, decay=1.5)[:, None]) * 0.8 / 2.8
    )


def test_frost_and_snow_lie_over_the_image():
    ice = crystals(DRAWS, 20, 24)
    assert ice.min() >= 0.0 and ice.max() <= 1.0 and ice.std() > 0.05
    np.testing.assert_allclose(of(Frost(0.6, 0.7), IMAGES)[:, 2], 0.6 * IMAGES[:, 2] + 0.7 * ice)
    dark = np.zeros((2, 3, 20, 24))
    flakes = of(Snow(0.1, 0.3, 2, 0.5, 3, 1, 1.0), dark)
    np.testing.assert_allclose(flakes, flakes[:, :1, ::-1, ::-1].repeat(3, 1), atol=1e-12)
    assert 0.0 < flakes.mean() < 0.4 and (flakes >= 0.0).all()
    np.testing.assert_allclose(of(Snow(0.0, 0.01, 1, 0.5, 3, 1, 0.75), dark), 0.25 * 0.5)


def test_spatter_is_drops_of_water_or_mud():
    mud = of(Mud(0.65, 0.3, 1, 0.65, 0.6), IMAGES)
    hidden = ~np.isclose(mud, IMAGES).all(1)
    assert 0.1 < hidden.mean() < 0.6
    full = np.isclose(mud, np.array([63, 42, 20])[:, None, None] / 255).all(1)
    assert full.any() and (full <= hidden).all()
    wet = of(Water(0.65, 0.3, 2, 0.65, 0.5), IMAGES) - IMAGES
    assert (wet >= 0.0).all() and wet[:, 1].max() == pytest.approx(0.5 * 238 / 255) and (wet == 0.0).mean() > 0.2
    np.testing.assert_array_equal(of(Water(0.0, 0.01, 2, 0.65, 0.5), IMAGES), IMAGES)
