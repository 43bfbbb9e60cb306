"""The ground truth of each image, as GeoJSON for QuPath. No stage of the workflow reads it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from nephroscale_demo.draft import Draft
    from nephroscale_demo.kidney import Glomerulus

PLAN_KEYS = (
    "artefact",
    "capillary",
    "coarse",
    "inclusions",
    "mesangial",
    "nm_per_px",
    "pattern",
    "subendothelial",
    "subepithelial",
    "view",
)
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


def cohort_json(draft: Draft) -> str:
    """List the subtype of each patient, what the modalities show, and the stage, sites and strengths of each image.

    Parameters
    ----------
    draft
        The cohort.
    """
    plans = {work.plan.image_id: work.plan for work in draft.works}
    patients: dict[str, Any] = {
        row.patient_id: {"subtype": row.subtype, "pictures": draft.pictures.get(row.patient_id, {}), "images": {}}
        for row in draft.patients
    }
    for row in draft.images:
        if row.image_id in plans:
            shown = {key: value for key, value in asdict(plans[row.image_id]).items() if key in PLAN_KEYS}
            patients[row.patient_id]["images"][row.image_id] = shown
    return json.dumps(patients, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _feature(points: np.ndarray, name: str) -> dict[str, Any]:
    ring = np.round(np.vstack([points, points[:1]]).astype(float), 2).tolist()
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": name}},
    }


def _collection(features: list[dict[str, Any]]) -> str:
    return json.dumps({"type": "FeatureCollection", "features": features}, sort_keys=True) + "\n"
