"""Pictures that abut and insets are recognised by their content; boxes round a region of one picture are none."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.errors import Rejected
from nephroscale.slides.field import open_field
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.seams import find_seams
from nephroscale.tem.clean import clean_burned_in
from support.fluorescence import draw_glomerulus


@pytest.fixture(scope="module")
def micrographs(shared):
    return [np.asarray(Image.open(shared / f"data/tem/isbi2012_{k}.png").convert("L")) for k in range(5)]


def as_jpeg(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return np.asarray(Image.open(file))


def with_inset(base, other, where, border=0, tone=255):
    """Put a part of another picture into one, enlarged 1.5 times."""
    y, x, height, width = where
    part = cv2.resize(other[100:250, 100:250], (width, height), interpolation=cv2.INTER_CUBIC)
    if border:
        part = part.copy()
        part[:border] = part[-border:] = tone
        part[:, :border] = part[:, -border:] = tone
    picture = base.copy()
    picture[y : y + height, x : x + width] = part
    return picture


@pytest.mark.parametrize("finish", [np.asarray, as_jpeg])
def test_pictures_that_abut_are_refused(micrographs, finish):
    for picture, where in (
        (np.hstack(micrographs[:2]), "column 512"),
        (np.vstack(micrographs[2:5]), "row 512"),
        (np.hstack([micrographs[0][:, :303], micrographs[1]]), "column 303"),
    ):
        with pytest.raises(Rejected, match=f"it shows several pictures, which meet at {where}"):
            clean_burned_in(finish(picture))


@pytest.mark.parametrize("finish", [np.asarray, as_jpeg])
@pytest.mark.parametrize(
    ("where", "border", "tone"),
    [
        ((200, 200, 220, 220), 0, 0),
        ((312, 332, 200, 180), 0, 0),
        ((0, 0, 200, 240), 0, 0),
        ((200, 200, 220, 220), 2, 255),
        ((200, 200, 220, 220), 4, 0),
    ],
)
def test_insets_are_refused(micrographs, where, border, tone, finish):
    with pytest.raises(Rejected, match="it shows a picture within the picture, with a corner near"):
        clean_burned_in(finish(with_inset(micrographs[0], micrographs[1], where, border, tone)))


def test_one_picture_has_no_seam(micrographs, shared):
    boxed: list = []
    for base, width, place in ((0, 3, 150), (1, 3, 100), (2, 2, 200), (3, 5, 60), (4, 1, 180)):
        boxed.append(micrographs[base].copy())
        cv2.rectangle(boxed[-1], (place, place), (place + 200, place + 220), 255 * (width > 2), width)
    noise = np.random.default_rng(0).normal(0, 25, micrographs[1].shape)
    noisy = np.clip(micrographs[1] + noise, 0, 255).astype(np.uint8)
    for picture in (*micrographs, *boxed, noisy):
        clean_burned_in(picture)
    field = tifffile.imread(shared / "data/immunofluorescence/Zeiss-1-Merged-ch0.tif")
    for picture in (field, draw_glomerulus()):
        assert find_seams(picture, np.zeros(picture.shape, bool)) == ""


def test_fields_of_fluorescence_that_abut_are_refused(tmp_path, shared, make_row):
    field = tifffile.imread(shared / "data/immunofluorescence/Zeiss-1-Merged-ch0.tif")
    tifffile.imwrite(tmp_path / "a.tif", np.hstack([field[:, 400:1000], field[::-1, 500:1100]]))
    with open_slide(tmp_path / "a.tif") as reader, pytest.raises(Rejected, match="which meet at column 600"):
        open_field(reader, make_row("IM", marker="IgG"))
