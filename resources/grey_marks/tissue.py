"""Pictures without marks: the demo's micrographs, synthetic textures, and photographs that come with scikit-image."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from skimage import data

from nephroscale_demo.tem import MicrographPlan, generate_micrograph

PHOTOGRAPHS = ("brick", "grass", "gravel", "camera", "moon", "coins", "cell", "chelsea", "coffee", "retina",
               "immunohistochemistry", "microaneurysms", "hubble_deep_field", "horse")  # fmt: skip


def micrographs(seed: int, number: int) -> Iterator[np.ndarray]:
    """Yield micrographs of the demo's generator without marks, uint8."""
    random = np.random.default_rng(seed)
    for index in range(number):
        scale = float(random.choice([1.6, 2.4, 3.2, 5.0, 8.0]))
        plan = MicrographPlan(
            f"unmarked {index}", seed, 640, 560, scale, str(random.choice(["loop", "mesangium"])),
            subepithelial=int(random.integers(5)), subendothelial=float(random.choice([0, 0.7])),
            mesangial=float(random.choice([0, 0.7])), inclusions=bool(random.random() < 0.3), style="strip",
        )  # fmt: skip
        yield generate_micrograph(plan).picture[:560]


def photographs() -> Iterator[np.ndarray]:
    """Yield photographs in grey, uint8: fur, grass, stones, skin and cells have edges and lines that are no marks."""
    for name in PHOTOGRAPHS:
        picture = np.asarray(getattr(data, name)())
        if picture.dtype == bool:
            continue
        if picture.ndim == 3:
            picture = cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_RGB2GRAY)
        if min(picture.shape) >= 200:
            yield (
                picture
                if max(picture.shape) < 1200
                else cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            )


def _field(random: np.random.Generator, side: int, sigma: float) -> np.ndarray:
    field = cv2.GaussianBlur(random.normal(size=(side, side)).astype(np.float32), (0, 0), sigma)
    return np.asarray(field / (field.std() + 1e-6))


def synthetic_tissue(random: np.random.Generator, side: int) -> np.ndarray:
    """Draw cytoplasm, membranes, fibres, vesicles, granules and nuclei, all blurred and with noise: uint8."""
    picture = random.uniform(70, 190) + random.uniform(4, 35) * _field(random, side, random.uniform(8, 30))
    picture += random.uniform(0, 22) * _field(random, side, random.uniform(1.5, 5))
    for _ in range(int(random.integers(0, 5))):  # membranes along the level lines of a smooth field
        field, width = _field(random, side, random.uniform(7, 22)), random.uniform(0.03, 0.2)
        picture += random.uniform(-150, 70) * np.exp(-(((field - random.uniform(-1, 1)) / width) ** 2))
    sheet = np.zeros((side, side), np.float32)
    for _ in range(int(random.integers(0, 14))):  # vesicles, granules, discs and rectangles
        centre = tuple(int(each) for each in random.integers(0, side, 2))
        axes = tuple(int(each) for each in random.integers(2, 36, 2))
        if random.random() < 0.4:
            axes = (axes[0], axes[0])
        level, which = float(random.uniform(-90, 90)), random.random()
        if which < 0.2:
            far = (centre[0] + 2 * axes[0], centre[1] + 2 * axes[1])
            cv2.rectangle(sheet, centre, far, level, -1)
        else:
            cv2.ellipse(
                sheet,
                centre,
                axes,
                float(random.uniform(0, 180)),
                0,
                360,
                level,
                -1 if which < 0.6 else int(random.integers(1, 5)),
            )
    for _ in range(int(random.integers(0, 10))):  # fibres and microtubules
        x, y = random.uniform(0, side, 2)
        angle, length = random.uniform(0, np.pi), random.uniform(15, 120)
        ends = [(int(x), int(y)), (int(x + length * np.cos(angle)), int(y + length * np.sin(angle)))]
        cv2.line(sheet, *ends, float(random.uniform(-60, 60)), int(random.integers(1, 4)), cv2.LINE_AA)
    picture += cv2.GaussianBlur(sheet, (0, 0), random.uniform(0.6, 2.2))
    picture = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), random.uniform(0.4, 1.2))
    grain = random.normal(size=picture.shape).astype(np.float32)
    if random.random() < 0.5:
        grain = cv2.GaussianBlur(grain, (0, 0), random.uniform(0.4, 1.1))
        grain /= grain.std()
    return np.clip(picture + random.uniform(2, 22) * grain, 0, 255).astype(np.uint8)
