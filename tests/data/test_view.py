"""Windows of images: where they lie, and what is in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from udbench.config import RecipeSettings
from udbench.data.form import StoreFormat, form_of, view_of
from udbench.data.view import View

sides = st.integers(1, 700)
draw = st.tuples(*[st.floats(0, 1, exclude_max=True)] * 4)


def test_the_centre_of_a_photograph_is_224_of_a_shorter_side_of_256() -> None:
    view = View(height=224, width=224, resize=256)
    assert view.box(512, 384, None) == pytest.approx((88, 24, 424, 360))
    assert view.box(256, 300, None) == pytest.approx((16, 38, 240, 262))


def test_the_centre_of_a_word_is_128_columns_or_the_whole_word() -> None:
    view = View(height=32, width=128, resize=32, side="height")
    assert view.box(200, 32, None) == pytest.approx((36, 0, 164, 32))
    assert view.box(60, 32, None) == (0, 0, 60, 32)


@given(sides, sides, draw, st.sampled_from(["short", "height"]), st.floats(0, 0.9))
def test_a_training_window_lies_in_the_image_and_is_stretched_no_more_than_it_may(
    w, h, draw, side, aspect_jitter
) -> None:
    view = View(height=20, width=30, resize=40, side=side, aspect_jitter=aspect_jitter)
    left, top, right, bottom = view.box(w, h, draw)
    assert 0 <= left < right <= w + 1e-9 and 0 <= top < bottom <= h + 1e-9
    scale = 40 / (h if side == "height" else min(w, h))
    for length, wanted, most in ((bottom - top, 20 / scale, h), (right - left, 30 / scale, w)):
        assert (
            min(most, wanted * (1 - aspect_jitter)) - 1e-6 <= length <= min(most, wanted * (1 + aspect_jitter)) + 1e-6
        )


def test_a_training_windows_aspect_ratio_varies_and_it_comes_from_any_place() -> None:
    view = View(height=20, width=30, resize=40, aspect_jitter=0.1)
    stream = np.random.default_rng(0)
    boxes = np.array([view.box(100, 40, stream.random(4).tolist()) for _ in range(400)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    aspect = width / height / 1.5
    assert aspect.min() < 0.9 / 1.1 + 0.04 and aspect.max() > 1.1 / 0.9 - 0.04, "the sides are stretched apart"
    assert abs(np.corrcoef(width, height)[0, 1]) < 0.15
    assert boxes[:, 0].min() < 2 and boxes[:, 2].max() > 98 and boxes[:, 1].min() < 1 and boxes[:, 3].max() > 39


def test_a_window_at_the_images_own_scale_is_cut_without_loss() -> None:
    pixels = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50).astype(np.uint8)
    view = View(height=20, width=20, resize=40)
    assert (view.pixels(pixels, 1)[..., 0] == pixels[10:30, 15:35]).all()
    assert (view.pixels(pixels, 1, (0.5, 0.5, 0.0, 0.0))[..., 0] == pixels[:20, :20]).all()


def test_without_resize_the_whole_image_is_seen() -> None:
    assert View(height=4, width=8).box(100, 7, (0.1, 0.9, 0.3, 0.2)) == (0, 0, 100, 7)


def test_a_recipe_says_form_and_view_of_each_domain() -> None:
    settings = RecipeSettings.model_validate(
        {
            "rounds": 1,
            "image_size": 224,
            "storage": "jpeg",
            "crop": "random",
            "resize": 256,
            "domain": {
                "words": {"image_size": [32, 128], "resize": 32, "resize_side": "height", "storage": "files"},
                "digits": {"image_size": 28, "storage": "pixels", "crop": "resize"},
            },
        }
    )
    assert form_of(settings, "photos") == StoreFormat(height=224, width=224, storage="jpeg", resize=256)
    assert view_of(settings, "photos") == View(height=224, width=224, resize=256, aspect_jitter=0.1)
    assert form_of(settings, "words") == StoreFormat(height=32, width=128, storage="files", side="height")
    assert view_of(settings, "words") == View(height=32, width=128, resize=32, side="height", aspect_jitter=0.1)
    assert form_of(settings, "digits") == StoreFormat(height=28, width=28)
    assert view_of(settings, "digits").resize is None


def test_what_does_not_shape_a_store_does_not_make_another_one() -> None:
    assert (
        StoreFormat(height=4, width=4, storage="files").shape()
        == StoreFormat(height=9, width=4, storage="files").shape()
    )
    assert StoreFormat(height=4, width=4).shape() != StoreFormat(height=9, width=4).shape()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"crop": "random", "resize": 40}, "crop=random is cut from images of their own size; set storage"),
        ({"storage": "jpeg"}, "storage=jpeg needs resize"),
        ({"crop": "random", "storage": "files"}, "crop=random needs resize"),
        ({"domain": {"a": {"crop": "random", "resize": 40}}}, "of domain 'a': crop=random is cut"),
        ({"domain": {"a": {"storage": "jpeg"}}}, "of domain 'a': storage=jpeg needs resize"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(said: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RecipeSettings.model_validate({"rounds": 1, **said})
