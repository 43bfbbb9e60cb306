"""A classifier cannot tell two hospitals apart by the marks that they draw, once these are removed.

Both hospitals image the same tissue. One has a grey data strip and white arrows, the other a boxed bar and yellow text,
in fonts that were not used in the development of the filter.
"""

from functools import cache
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nephroscale.errors import Rejected
from nephroscale.features.encoders import texture
from nephroscale.features.settings import EncoderSettings
from nephroscale.slides.tint import separate_tint
from nephroscale.tem.clean import clean_burned_in
from nephroscale.tem.settings import TemSettings
from nephroscale.tem.tem import make_instances, normalise

FONTS = Path(mpl.get_data_path()) / "fonts/ttf"
HEIGHT, WIDTH, PATCH = 560, 700, 224
PATIENTS, IMAGES = 15, 10
SETTINGS = TemSettings(instance="patch", size_px=PATCH, nm_per_px=3.0, patch_um=0.6)


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


def at_north(grey: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, list[tuple[int, int]]]:
    strip = int(random.integers(34, 46))
    image = Image.fromarray(np.vstack([grey, np.full((strip, WIDTH), 96, np.uint8)])).convert("RGB")
    pen = ImageDraw.Draw(image)
    text = f"x{random.integers(5, 20)},000  80 kV  #{random.integers(1000, 9999)}"
    pen.text((12, HEIGHT + 8), text, fill=(255, 255, 255), font=font("DejaVuSerif", 20))
    pen.rectangle([WIDTH - 150, HEIGHT + 18, WIDTH - 30, HEIGHT + 22], fill=(255, 255, 255))
    places = [(int(random.integers(WIDTH)), HEIGHT)]
    for _ in range(3):
        x, y = (int(v) for v in random.integers(60, [WIDTH - 120, HEIGHT - 120]))
        pen.line([x, y, x + 46, y + 34], fill=(255, 255, 255), width=4)
        pen.polygon([(x, y), (x + 18, y + 4), (x + 6, y + 18)], fill=(255, 255, 255))
        places.append((x, y))
    return np.asarray(image), places


def at_south(grey: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, list[tuple[int, int]]]:
    image = Image.fromarray(grey).convert("RGB")
    pen = ImageDraw.Draw(image)
    x, y = int(random.integers(20, WIDTH - 220)), HEIGHT - 60
    pen.rectangle([x, y, x + 190, y + 44], fill=(0, 0, 0))
    pen.rectangle([x + 15, y + 32, x + 175, y + 36], fill=(255, 255, 255))
    pen.text((x + 60, y + 4), "500 nm", fill=(255, 255, 255), font=font("DejaVuSansMono-Bold", 20))
    places = [(x + 95, y + 20)]
    for word in ("EDD", "GBM", "Pod"):
        places.append(tuple(int(v) for v in random.integers(40, [WIDTH - 120, HEIGHT - 140])))
        pen.text(places[-1], word, fill=(255, 225, 0), font=font("STIXGeneralBol", 34))
    return np.asarray(image), places


def instances(picture: np.ndarray, places: list[tuple[int, int]], *, remove_marks: bool) -> list[np.ndarray]:
    """With marks, a patch round each of them; without, the patches that the stage `tem` makes."""
    if not remove_marks:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        h, w = grey.shape
        corners = [(min(max(y - PATCH // 2, 0), h - PATCH), min(max(x - PATCH // 2, 0), w - PATCH)) for x, y in places]
        return [grey[y : y + PATCH, x : x + PATCH] for y, x in corners]
    tinted = separate_tint(picture)
    made = clean_burned_in(np.rint(tinted.luma).astype(np.uint8), tinted.drawn)
    try:
        picture, _ = normalise(made, SETTINGS)
        return [one.pixels for one in make_instances(picture, made, 3.0, SETTINGS)]
    except Rejected:
        return []


def auc(seed: int, *, remove_marks: bool) -> float:
    """Area under the ROC curve of a classifier on patches, by hospital, over folds of patients."""
    random = np.random.default_rng(seed)
    encoder = texture.create(EncoderSettings("texture"), "cpu")
    features, hospital, patient = [], [], []
    for number in range(2 * PATIENTS):
        mark = (at_north, at_south)[number % 2]
        for _ in range(IMAGES):
            picture, places = mark(tissue(random), random)
            shown = instances(picture, places, remove_marks=remove_marks)
            if not shown:
                continue
            maps = encoder.encode(np.stack([np.repeat(p[:, :, None], 3, axis=2) for p in shown]))
            features += list(np.concatenate([maps.mean((1, 2)), maps.max((1, 2))], axis=1))
            hospital += [number % 2] * len(shown)
            patient += [number] * len(shown)
    features, hospital = np.array(features), np.array(hospital)
    scores = np.zeros(len(hospital))
    for training, test in GroupKFold(5).split(features, hospital, patient):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
        scores[test] = model.fit(features[training], hospital[training]).predict_proba(features[test])[:, 1]
    return float(roc_auc_score(hospital, scores))


@pytest.mark.long
def test_marks_do_not_give_a_hospital_away():
    marked, removed = ([auc(seed, remove_marks=each) for seed in range(5)] for each in (False, True))
    print(f"AUC with marks {np.mean(marked):.3f}, without {np.mean(removed):.3f}: {np.round(removed, 3)}")
    assert np.mean(marked) > 0.95
    assert abs(np.mean(removed) - 0.5) < 0.07
