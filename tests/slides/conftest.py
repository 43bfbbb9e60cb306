"""Small synthetic slides."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from nephroscale.cohort.image import ImageRow
from nephroscale.slides.reference import read_reference
from nephroscale.slides.settings import ImTilingSettings, OmTilingSettings


def draw_tissue(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Pink tissue with dark nuclei on bright glass."""
    rng = np.random.default_rng(seed)
    density = np.zeros((height, width, 3), np.float32)
    tissue = np.zeros((height, width), np.float32)
    cv2.ellipse(tissue, (width // 2, height // 2), (width // 3, height // 3), 20, 0, 360, 1.0, -1)
    texture = cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), 3)
    texture = (texture - texture.min()) / np.ptp(texture)
    nuclei = (cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), 4) > 0.535).astype(np.float32)
    density += (tissue * (1 - nuclei) * (0.4 + texture))[..., None] * np.array([0.22, 0.80, 0.56], np.float32)
    density += (tissue * nuclei * (0.7 + texture))[..., None] * np.array([0.56, 0.72, 0.41], np.float32)
    noise = rng.normal(0, 1.5, density.shape)
    return np.clip(245 * np.exp(-density) + noise, 0, 255).astype(np.uint8)


def write_slide(path: Path, levels: list[np.ndarray], mpp: float = 0.5, *, tile: int = 256) -> Path:
    """Pyramidal TIFF of JPEG tiles with its scale in the resolution tags."""
    with tifffile.TiffWriter(path) as tiff:
        for n, level in enumerate(levels):
            tiff.write(
                level,
                tile=(tile, tile),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 90},
                subfiletype=1 if n else 0,
                resolution=(1e4 / mpp / 2**n, 1e4 / mpp / 2**n),
                resolutionunit="CENTIMETER",
                metadata=None,
            )
    return path


def halve(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    return draw_tissue(1536, 2048)


@pytest.fixture(scope="session")
def slide(tmp_path_factory, picture) -> Path:
    """A slide of 2048 x 1536 pixels at 0.25 µm with three levels."""
    levels = [picture, halve(picture), halve(halve(picture))]
    return write_slide(tmp_path_factory.mktemp("slides") / "slide.tiff", levels, 0.25)


@pytest.fixture(scope="session")
def damaged(tmp_path_factory, slide) -> Path:
    """The same with one tile of level 1 (row 1, column 1) overwritten."""
    path = tmp_path_factory.mktemp("damaged") / "slide.tiff"
    data = bytearray(slide.read_bytes())
    with tifffile.TiffFile(slide) as tiff:
        page = tiff.pages[1]
        number = 1 * 4 + 1
        start, length = page.dataoffsets[number], page.databytecounts[number]
    data[start : start + length] = bytes(length)
    path.write_bytes(data)
    return path


@pytest.fixture(scope="session")
def om_settings() -> OmTilingSettings:
    return OmTilingSettings(tile_px=128, max_unreadable_fraction=0.6)


@pytest.fixture(scope="session")
def im_settings() -> ImTilingSettings:
    return ImTilingSettings(tile_px=128, background_um=40.0)


@pytest.fixture(scope="session")
def make_row():
    def make(modality: str, **more) -> ImageRow:
        return ImageRow(id="I", patient_id="P", modality=modality, **more)

    return make


@pytest.fixture(scope="session")
def he(root):
    """The shipped reference of HE."""
    return {"HE": read_reference(root / "resources/stain/he.json")["HE"]}
