"""A classifier cannot tell two hospitals apart by the marks that they draw, once these are removed.

All hospitals image the same tissue and save it alike, as PNG or as JPEG. They differ in what they draw, in fonts and
shapes that were not used in the development of the filter.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nephroscale.errors import Rejected
from nephroscale.features.encoders import texture
from nephroscale.features.settings import EncoderSettings
from nephroscale.slides.tint import separate_tint
from nephroscale.tem.clean import clean_burned_in
from nephroscale.tem.instances import make_instances
from nephroscale.tem.settings import TemSettings
from nephroscale.tem.tem import normalise

Kind = Literal["image", "patch"]
KINDS: tuple[Kind, ...] = ("patch", "image")
Place = tuple[int, int]
Hospital = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, list[Place]]]

FONTS = Path(mpl.get_data_path()) / "fonts/ttf"
HEIGHT, WIDTH, PATCH = 560, 700, 224
PATIENTS, IMAGES = 15, 10
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


@cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / f"{name}.ttf", size)


def tissue(random: np.random.Generator) -> np.ndarray:
    """Cytoplasm of two scales, dark membranes and noise: uint8 [HEIGHT, WIDTH]."""

    def smooth(sigma: float) -> np.ndarray:
        field = cv2.GaussianBlur(random.normal(size=(HEIGHT, WIDTH)).astype(np.float32), (0, 0), sigma)
        return field / field.std()

    membranes = np.exp(-((smooth(14) / 0.12) ** 2))
    picture = 140 + 24 * smooth(20) + 10 * smooth(3) - 55 * membranes + 7 * random.normal(size=(HEIGHT, WIDTH))
    return np.clip(picture, 12, 243).astype(np.uint8)


def amid(random: np.random.Generator, margin: int = 60) -> Place:
    """A place in the picture with room for a mark below and beside it."""
    x, y = random.integers(margin, [WIDTH - 2 * margin, HEIGHT - 2 * margin])
    return int(x), int(y)


def at_north(grey: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, list[Place]]:
    """A grey data strip below, and white arrows."""
    strip = int(random.integers(34, 46))
    image = Image.fromarray(np.vstack([grey, np.full((strip, WIDTH), 96, np.uint8)])).convert("RGB")
    pen = ImageDraw.Draw(image)
    text = f"x{random.integers(5, 20)},000  80 kV  #{random.integers(1000, 9999)}"
    pen.text((12, HEIGHT + 8), text, fill=WHITE, font=font("DejaVuSerif", 20))
    pen.rectangle([WIDTH - 150, HEIGHT + 18, WIDTH - 30, HEIGHT + 22], fill=WHITE)
    places = [(int(random.integers(WIDTH)), HEIGHT)]
    for _ in range(3):
        x, y = amid(random)
        pen.line([x, y, x + 46, y + 34], fill=WHITE, width=4)
        pen.polygon([(x, y), (x + 18, y + 4), (x + 6, y + 18)], fill=WHITE)
        places.append((x, y))
    return np.asarray(image), places


def at_south(grey: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, list[Place]]:
    """A bar in a black box, and yellow text."""
    image = Image.fromarray(grey).convert("RGB")
    pen = ImageDraw.Draw(image)
    x, y = int(random.integers(20, WIDTH - 220)), HEIGHT - 60
    pen.rectangle([x, y, x + 190, y + 44], fill=BLACK)
    pen.rectangle([x + 15, y + 32, x + 175, y + 36], fill=WHITE)
    pen.text((x + 60, y + 4), "500 nm", fill=WHITE, font=font("DejaVuSansMono-Bold", 20))
    places = [(x + 95, y + 20)]
    for word in ("EDD", "GBM", "Pod"):
        places.append(amid(random, 50))
        pen.text(places[-1], word, fill=(255, 225, 0), font=font("STIXGeneralBol", 34))
    return np.asarray(image), places


def at_east(grey: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, list[Place]]:
    """A dark strip above with date and number, white circles, and black asterisks."""
    strip = int(random.integers(30, 40))
    image = Image.fromarray(np.vstack([np.full((strip, WIDTH), 40, np.uint8), grey])).convert("RGB")
    pen = ImageDraw.Draw(image)
    day, month, hour, number = (int(each) for each in random.integers([10, 1, 10, 100], [29, 9, 23, 999]))
    text = f"{day}/0{month}/2019 {hour}:41   no {number}"
    pen.text((10, 6), text, fill=(200, 200, 200), font=font("cmtt10", 20))
    places = [(int(random.integers(WIDTH)), strip)]
    for _ in range(2):
        x, y = amid(random)
        across, down = (int(each) for each in random.integers(36, 80, 2))
        pen.ellipse([x, y, x + across, y + down], outline=WHITE, width=3)
        places.append((x, y))
    for _ in range(3):
        x, y = amid(random)
        pen.text((x, y), "*", fill=BLACK, font=font("DejaVuSerif-Italic", 40))
        places.append((x + 10, y + 12))
    return np.asarray(image), places


def at_west(grey: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, list[Place]]:
    """A pale strip on the left with a logo, a dashed frame, and measured distances with ticks at their ends."""
    strip = int(random.integers(44, 60))
    image = Image.fromarray(np.hstack([np.full((HEIGHT, strip), 205, np.uint8), grey])).convert("RGB")
    pen = ImageDraw.Draw(image)
    pen.ellipse([6, 10, 38, 42], fill=(190, 30, 45))
    pen.text((13, 14), "R", fill=WHITE, font=font("cmb10", 24))
    places = [(strip, 30)]
    x, y = (value + strip // 2 for value in amid(random))
    across, down = (int(each) for each in random.integers(70, 120, 2))
    for start in range(0, across, 12):
        for line in (y, y + down):
            pen.line([x + start, line, x + min(across, start + 6), line], fill=BLACK, width=2)
    for start in range(0, down, 12):
        for column in (x, x + across):
            pen.line([column, y + start, column, y + min(down, start + 6)], fill=BLACK, width=2)
    places.append((x, y))
    for _ in range(3):
        x, y = (value + strip // 2 for value in amid(random))
        length = int(random.integers(40, 90))
        pen.line([x, y, x + length, y], fill=WHITE, width=2)
        for end in (x, x + length):
            pen.line([end, y - 7, end, y + 7], fill=WHITE, width=2)
        pen.text((x, y + 6), f"{random.integers(200, 900)} nm", fill=WHITE, font=font("cmss10", 20))
        places.append((x + length // 2, y))
    return np.asarray(image), places


def at_harbour(grey: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, list[Place]]:
    """An orange date, a bar in a pale box, and grey arrows with a white outline."""
    image = Image.fromarray(grey).convert("RGB")
    pen = ImageDraw.Draw(image)
    date = f"2018.{random.integers(10, 12)}.{random.integers(10, 28)}"
    pen.text((WIDTH - 160, HEIGHT - 40), date, fill=(255, 140, 20), font=font("DejaVuSansMono-Oblique", 20))
    x, y = int(random.integers(12, 200)), HEIGHT - 66
    pen.rectangle([x, y, x + 150, y + 50], fill=(225, 225, 225), outline=BLACK)
    pen.rectangle([x + 15, y + 36, x + 135, y + 41], fill=BLACK)
    pen.text((x + 45, y + 6), "1 \u00b5m", fill=BLACK, font=font("STIXGeneralItalic", 26))
    places = [(WIDTH - 100, HEIGHT - 30), (x + 75, y + 25)]
    for _ in range(3):
        x, y = amid(random)
        arrow = [
            (x, y),
            (x + 22, y + 4),
            (x + 15, y + 11),
            (x + 46, y + 40),
            (x + 40, y + 46),
            (x + 11, y + 15),
            (x + 4, y + 22),
        ]
        pen.polygon(arrow, fill=(130, 130, 130))
        pen.line([*arrow, arrow[0]], fill=WHITE, width=2)
        places.append((x + 20, y + 20))
    return np.asarray(image), places


def at_hill(grey: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, list[Place]]:
    """A black bar with its text, grey letters, black triangles, and cyan initials."""
    image = Image.fromarray(grey).convert("RGB")
    pen = ImageDraw.Draw(image)
    x = int(random.integers(30, WIDTH - 220))
    pen.rectangle([x, HEIGHT - 30, x + 170, HEIGHT - 24], fill=BLACK)
    pen.text((x + 50, HEIGHT - 64), "2 \u00b5m", fill=BLACK, font=font("cmss10", 30))
    places = [(x + 80, HEIGHT - 40)]
    for word in ("M", "US"):
        places.append(amid(random))
        pen.text(places[-1], word, fill=(150, 150, 150), font=font("cmb10", 36))
    for _ in range(3):
        x, y = amid(random)
        pen.polygon([(x, y), (x + 20, y + 8), (x + 8, y + 20)], fill=BLACK)
        places.append((x + 8, y + 8))
    places.append(amid(random))
    pen.text(places[-1], "db", fill=(0, 200, 210), font=font("STIXGeneralItalic", 34))
    return np.asarray(image), places


HOSPITALS = {
    "north-south": (at_north, at_south),
    "east-west": (at_east, at_west),
    "harbour-hill": (at_harbour, at_hill),
}


def saved(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The picture as it is after a PNG or a JPEG of quality 75 to 95: RGB."""
    if random.random() < 0.3:
        return picture
    coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(75, 96))])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB)


def marked(picture: np.ndarray, places: list[Place], kind: Kind) -> list[np.ndarray]:
    """The picture with its marks, or a patch round each of them."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    if kind == "image":
        return [cv2.resize(grey, (PATCH, PATCH), interpolation=cv2.INTER_AREA)]
    h, w = grey.shape
    corners = [(min(max(y - PATCH // 2, 0), h - PATCH), min(max(x - PATCH // 2, 0), w - PATCH)) for x, y in places]
    return [grey[y : y + PATCH, x : x + PATCH] for y, x in corners]


def cleaned(picture: np.ndarray) -> dict[Kind, list[np.ndarray]]:
    """The instances that the stage `tem` makes of a picture."""
    tinted = separate_tint(picture)
    made = clean_burned_in(np.rint(tinted.luma).astype(np.uint8), tinted.drawn)
    found: dict[Kind, list[np.ndarray]] = {}
    for kind in KINDS:
        settings = TemSettings(instance=kind, size_px=PATCH, nm_per_px=3.0, patch_um=0.6)
        try:
            evened, _ = normalise(made, settings)
            found[kind] = [one.pixels for one in make_instances(evened, made, 3.0, settings)]
        except Rejected:
            found[kind] = []
    return found


def auc(hospitals: tuple[Hospital, Hospital], seed: int, *, remove_marks: bool) -> dict[Kind, float]:
    """AUC of a classifier of instances by hospital, over folds of patients with as many of each hospital."""
    random = np.random.default_rng(seed)
    encoder = texture.create(EncoderSettings("texture"), "cpu")
    rows: dict[Kind, list[tuple[np.ndarray, int, int]]] = {kind: [] for kind in KINDS}
    for number in range(2 * PATIENTS):
        for _ in range(IMAGES):
            picture, places = hospitals[number % 2](tissue(random), random)
            picture = saved(picture, random)
            shown = cleaned(picture) if remove_marks else {kind: marked(picture, places, kind) for kind in KINDS}
            for kind in filter(shown.get, KINDS):
                maps = encoder.encode(np.stack([np.repeat(p[:, :, None], 3, axis=2) for p in shown[kind]]))
                features = np.concatenate([maps.mean((1, 2)), maps.max((1, 2))], axis=1)
                rows[kind] += [(each, number % 2, number) for each in features]
    return {kind: _auc(*(np.array(column) for column in zip(*rows[kind], strict=True))) for kind in KINDS}


def _auc(features: np.ndarray, hospital: np.ndarray, patient: np.ndarray) -> float:
    """Mean AUC within folds; scores of several folds are not compared, which would give less than 0.5 by chance."""
    found = []
    for training, test in StratifiedGroupKFold(5).split(features, hospital, patient):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
        scores = model.fit(features[training], hospital[training]).predict_proba(features[test])[:, 1]
        found.append(roc_auc_score(hospital[test], scores))
    return float(np.mean(found))


@pytest.mark.long
@pytest.mark.parametrize("pair", HOSPITALS)
def test_marks_do_not_give_a_hospital_away(pair):
    with_marks, without = (
        [auc(HOSPITALS[pair], seed, remove_marks=each) for seed in range(5)] for each in (False, True)
    )
    for kind in KINDS:
        before, after = ([found[kind] for found in runs] for runs in (with_marks, without))
        print(f"{pair}, {kind}: with marks {np.round(before, 3)}, without {np.mean(after):.3f}: {np.round(after, 3)}")
        assert np.mean(before) > 0.95
        assert abs(np.mean(after) - 0.5) < 0.07
