"""The hash of copies differs in few bits, that of other images in many."""

import numpy as np
import pytest
from PIL import Image

from nephroscale.slides.duplicates import COPY_BITS, SIMILAR_BITS
from nephroscale.slides.perceptual_hash import perceptual_hash
from nephroscale.slides.readers.registry import choose_reader, open_slide


def count_different_bits(first, second):
    return (int(first, 16) ^ int(second, 16)).bit_count()


def hash_of(path):
    with open_slide(path, choose_reader(path)) as image:
        return perceptual_hash(image)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tem/isbi2012_1.png", "kidney_om/local1.png", "kidney_om/vegf_ihc_C1.jpg"])
def test_copies_of_other_format_compression_or_size_have_nearly_the_same_hash(shared, tmp_path, name):
    image = Image.open(shared / "data" / name)
    image.save(tmp_path / "a.tif")
    image.save(tmp_path / "b.jpg", quality=80)
    image.resize([round(0.6 * side) for side in image.size], Image.Resampling.LANCZOS).save(tmp_path / "c.png")
    original = hash_of(shared / "data" / name)
    assert hash_of(tmp_path / "a.tif") == original
    assert count_different_bits(hash_of(tmp_path / "b.jpg"), original) <= COPY_BITS
    assert count_different_bits(hash_of(tmp_path / "c.png"), original) <= COPY_BITS


def test_neighbouring_sections_have_different_hashes(shared):
    first, second = (hash_of(shared / f"data/tem/isbi2012_{number}.png") for number in (1, 2))
    assert count_different_bits(first, second) > SIMILAR_BITS


def test_an_image_of_one_grey_level_has_no_hash_and_one_of_two_levels_has(tmp_path):
    pixels = np.full((300, 400), 900, np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    pixels[:100] = 1000
    Image.fromarray(pixels).save(tmp_path / "b.png")
    assert hash_of(tmp_path / "a.png") is None
    assert len(hash_of(tmp_path / "b.png")) == 64


@pytest.mark.slow
def test_a_slide_with_a_damaged_tile_has_nearly_the_hash_of_the_sound_one(slide, damaged):
    assert hash_of(damaged) is not None
    assert count_different_bits(hash_of(damaged), hash_of(slide)) <= SIMILAR_BITS
