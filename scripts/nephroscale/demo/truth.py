"""What is really on an image, as GeoJSON that QuPath opens. No stage of the workflow reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from nephroscale.demo.kidney import Glomerulus

SITES = {1: "Subepithelial deposit", 2: "Subendothelial deposit", 3: "Mesangial deposit"}


def glomeruli_geojson(glomeruli: list[Glomerulus], mpp: float) -> str:
    """Outlines of glomeruli in raw level-0 pixels.

    Parameters
    ----------
    glomeruli
        In any order; they are written from the left to the right.
    mpp
        µm per pixel of level 0.
    """
    return _collection(
        [
            _feature(g.polygon(mpp), "Globally sclerosed" if g.sclerosed else "Glomerulus")
            for g in sorted(glomeruli, key=lambda g: (g.x, g.y))
        ]
    )


def deposits_geojson(sites: np.ndarray) -> str:
    """Outlines of deposits in pixels, classified by site.

    Parameters
    ----------
    sites
        uint8 [rows, columns], keys of `SITES`.
    """
    features = []
    for site, name in SITES.items():
        outlines, _ = cv2.findContours((sites == site).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        features += [_feature(o[:, 0, :] + 0.5, name) for o in outlines if len(o) > 3 and cv2.contourArea(o) > 20]
    return _collection(features)


def _feature(points: np.ndarray, name: str) -> dict[str, Any]:
    ring = np.round(np.vstack([points, points[:1]]).astype(float), 2).tolist()
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": name}},
    }


def _collection(features: list[dict[str, Any]]) -> str:
    return json.dumps({"type": "FeatureCollection", "features": features}, sort_keys=True) + "\n"
