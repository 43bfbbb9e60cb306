"""Fit the network that finds grey marks on micrographs, on drawn marks, and write its weights.

python resources/grey_marks/train.py OUT.safetensors [--steps N] [--start IN.safetensors]
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from multiprocessing import Pool
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import torch
from draw import KINDS, burn, draw_mark, jpeg
from network import MarkNet, merged, start_from
from safetensors.torch import load_file, save_file
from tissue import micrographs, photographs, synthetic_tissue
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nephroscale.tem.network import inputs_of

SHEET, SIDE, BATCH = 192, 160, 12
FRESH, KEPT = 6, 480  # new squares of a step, and the latest, among which those of a step are drawn
SYNTHETIC, MICROGRAPHS = 160, 20
FONTS = [
    path
    for path in sorted((Path(mpl.get_data_path()) / "fonts/ttf").glob("*.ttf"))
    if path.stem.startswith(("DejaVu", "STIXGeneral", "cmr", "cmss", "cmb", "cmtt")) and "Display" not in path.stem
]
OFTEN = ("text of 8 or 9", "text of 10 to 12", "text of 13 to 15", "several words", "dashed circle", "dashed line")
RATE = 4e-3  # of learning
SEEN = 12  # levels by which a mark changes a pixel that counts
COVERED, TOUCHED = 0.5, 0.08  # from where on a pixel is of a mark; up to where it is tissue


def cut(pool: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """Cut a square of tissue, of changed size, contrast and direction."""
    if random.random() < 0.4:
        picture = pool[int(random.integers(SYNTHETIC))]
        y, x = (int(random.integers(0, length - SHEET + 1)) for length in picture.shape)
        tissue = picture[y : y + SHEET, x : x + SHEET]
    else:
        picture = pool[int(random.integers(SYNTHETIC, len(pool)))]
        side = min(int(SHEET * random.uniform(0.6, 1.5)), *picture.shape)
        y, x = (int(random.integers(0, length - side + 1)) for length in picture.shape)
        tissue = cv2.resize(
            picture[y : y + side, x : x + side],
            (SHEET, SHEET),
            interpolation=cv2.INTER_AREA if side > SHEET else cv2.INTER_CUBIC,
        )
        if random.random() < 0.5:
            tissue = np.clip(tissue + random.normal(0, random.uniform(1, 16), tissue.shape), 0, 255).astype(np.uint8)
    tissue = np.rot90(tissue, int(random.integers(4)))
    if random.random() < 0.5:
        tissue = tissue[:, ::-1]
    changed = tissue.astype(np.float32)
    if random.random() < 0.6:
        changed = (changed - changed.mean()) * random.uniform(0.4, 2.4) + random.uniform(60, 200)
    if random.random() < 0.15:
        changed = 255 - changed
    if random.random() < 0.1:  # shading
        changed *= np.linspace(random.uniform(0.6, 1), random.uniform(1, 1.3), SHEET, dtype=np.float32)[:, None]
    tissue = np.clip(changed, 0, 255).astype(np.uint8)
    return jpeg(tissue, int(random.choice([0, 0, 0, 95, 90, 85, 75, 60])))


def sample(pool: list[np.ndarray], random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A square with marks or without: its levels, what is covered, and which pixels count."""
    before = picture = cut(pool, random).astype(np.float32)
    cover = np.zeros(picture.shape, np.float32)
    names = [*KINDS, *OFTEN, *OFTEN]
    for _ in range(int(random.choice([0, 1, 3, 4, 5, 6]))):
        kind = names[int(random.integers(len(names)))]
        place = (float(random.uniform(-10, SHEET - 40)), float(random.uniform(-5, SHEET - 15)))
        tone = float(random.choice([0, 255, random.uniform(0, 255), random.uniform(0, 255), random.uniform(0, 255)]))
        opacity = float(random.uniform(0.35, 0.9)) if random.random() < 0.2 else 1.0
        picture, own = draw_mark(
            picture, kind, random, FONTS, place=place, tone=tone, opacity=opacity, smooth=bool(random.random() < 0.55)
        )
        cover = np.maximum(cover, own)
    if random.random() < 0.15:  # an opaque label
        x, y = (int(each) for each in random.integers(0, SHEET - 60, 2))
        across, down = (int(each) for each in random.integers(24, 100, 2))
        box = np.zeros_like(cover)
        box[y : y + down, x : x + across] = 1
        picture = burn(picture, box, float(random.uniform(0, 255)), 1.0)
        picture, _ = draw_mark(
            picture,
            "text of 16 to 20",
            random,
            FONTS,
            place=(x + 4, y + 4),
            tone=float(random.choice([0, 255, random.uniform(0, 255)])),
        )
        cover = np.maximum(cover, box)
    cover = np.where((cover > TOUCHED) & (np.abs(picture - before) < SEEN), -1, cover).astype(np.float32)
    if random.random() < 0.2:  # the whole picture made smaller or softer after the marks
        factor = random.uniform(0.6, 1.0)
        side = int(SHEET * factor)
        both = [cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in (picture, cover)]
        ragged = SHEET - side
        picture, cover = (np.pad(each, ((0, ragged), (0, ragged)), mode="reflect") for each in both)
    if random.random() < 0.1:
        picture = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.3, 0.6))
    saved = jpeg(
        np.clip(np.rint(picture), 0, 255).astype(np.uint8), int(random.choice([0, 0, 95, 90, 88, 85, 80, 75, 75, 60]))
    )
    y, x = (int(each) for each in random.integers(0, SHEET - SIDE + 1, 2))
    window = np.s_[y : y + SIDE, x : x + SIDE]
    truth = cover[window] >= COVERED
    counts = truth | (np.abs(cover[window]) <= TOUCHED)
    return saved[window], truth, counts


_POOL: list[np.ndarray] = []
_SEED: list[int] = []


def _keep(pool: list[np.ndarray], seed: int) -> None:
    cv2.setNumThreads(1)
    _POOL[:], _SEED[:] = pool, [seed]


def _numbered(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return sample(_POOL, np.random.default_rng([*_SEED, number]))


def fit(steps: int, seed: int, out: Path, minutes: float, start: Path | None = None) -> None:
    """Fit the network, from random weights or from those of a file on, and write its weights."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    random = np.random.default_rng(seed)
    pool = [*(synthetic_tissue(random, 320) for _ in range(SYNTHETIC)), *micrographs(seed, MICROGRAPHS), *photographs()]
    print(f"{len(pool)} pictures, {len(FONTS)} fonts", flush=True)
    network = MarkNet().to(memory_format=torch.channels_last)
    if start:
        start_from(network, load_file(start))
    network.train(start is None)
    fastest = RATE / 2 if start else RATE
    workers = Pool(1, _keep, (pool, seed))
    latest = workers.map(_numbered, range(4 * BATCH))
    number, following = 4 * BATCH, workers.map_async(_numbered, range(4 * BATCH, 4 * BATCH + FRESH))
    print(sum(each.numel() for each in network.parameters()), "weights", flush=True)
    optimiser = torch.optim.AdamW(network.parameters(), fastest, weight_decay=1e-4)
    begun, total = time.monotonic(), 0.0
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.995), use_buffers=True)
    done, step = 0.0, 0
    while done < 1:
        done = min(1.0, max(step / steps, (time.monotonic() - begun) / (60 * minutes)))
        for group in optimiser.param_groups:
            group["lr"] = fastest * min(1, (step + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-5
        latest = [*latest, *following.get()][-KEPT:]
        number += FRESH
        following = workers.map_async(_numbered, range(number, number + FRESH))
        chosen = [*range(len(latest) - FRESH, len(latest)), *random.choice(len(latest), BATCH - FRESH, replace=False)]
        levels, truth, counts = (np.stack(each) for each in zip(*(latest[each] for each in chosen), strict=True))
        inputs = torch.from_numpy(np.stack([inputs_of(each) for each in levels]))
        logits = network(inputs.contiguous(memory_format=torch.channels_last))[:, 0]
        aim, weight = torch.from_numpy(truth).float(), torch.from_numpy(counts).float()
        loss = (
            functional.binary_cross_entropy_with_logits(logits, aim, reduction="none") * weight
        ).sum() / weight.sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(network)
        total += float(loss.detach())
        step += 1
        if step % 100 == 0:
            print(f"{step} {total / 100:.4f} {time.monotonic() - begun:.0f} s", flush=True)
            total = 0.0
            save_file(merged(average.module), out)
    save_file(merged(average.module), out)
    print(out, hashlib.sha256(out.read_bytes()).hexdigest())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--start", type=Path)
    given = parser.parse_args(sys.argv[1:])
    fit(given.steps, given.seed, given.out, given.minutes, given.start)
