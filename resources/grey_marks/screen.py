"""Fit the small network that says where the network for grey marks has to look, and write its weights.

python resources/grey_marks/screen.py OUT.safetensors [--squares N] [--minutes M]
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from network import ScreenNet, merged
from safetensors.torch import save_file
from tissue import micrographs, photographs, synthetic_tissue
from torch.nn import functional
from train import MICROGRAPHS, SYNTHETIC, sample

from nephroscale.tem.network import SCREENED, compute_logits, load_layers, screen_inputs_of

BATCH = 24
WEIGHT = 6.0  # of a block that must not be missed


def squares(number: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw squares with and without marks; give their inputs, and the highest logit of each block of the network."""
    random = np.random.default_rng(seed)
    pool = [*(synthetic_tissue(random, 320) for _ in range(SYNTHETIC)), *micrographs(seed, MICROGRAPHS), *photographs()]
    layers = load_layers()
    inputs, highest = [], []
    for _ in range(number):
        picture = sample(pool, random)[0]
        logits = compute_logits(picture, layers)
        side = len(picture) // SCREENED
        inputs.append(screen_inputs_of(picture))
        highest.append(logits.reshape(side, SCREENED, side, SCREENED).max(axis=(1, 3)))
    return torch.from_numpy(np.stack(inputs)), torch.from_numpy(np.stack(highest))


def fit(number: int, seed: int, out: Path, minutes: float) -> None:
    """Fit the network and write its weights."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    begun = time.process_time()
    inputs, highest = squares(number, seed)
    print(
        f"{number} squares, {float((highest > 0).float().mean()):.4f} of blocks, {time.process_time() - begun:.0f} s",
        flush=True,
    )
    network = ScreenNet()
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-4)
    held = number // 10
    begun, epoch, done = time.process_time(), 0, 0.0
    while done < 1:
        order = held + torch.randperm(number - held)
        for start in range(0, len(order), BATCH):
            done = min(1.0, (time.process_time() - begun) / (60 * minutes))
            for group in optimiser.param_groups:
                group["lr"] = 4e-3 * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-5
            chosen = order[start : start + BATCH]
            turn = int(torch.randint(4, ()))
            aim = (torch.rot90(highest[chosen], turn, (1, 2)) > 0).float()
            # Turning squares of 4 x 4 pixels turns the pixels in them, too.
            whole = torch.rot90(functional.pixel_shuffle(inputs[chosen], 4), turn, (2, 3))
            logits = network(functional.pixel_unshuffle(whole, 4))[:, 0]
            loss = functional.binary_cross_entropy_with_logits(logits, aim, weight=1 + (WEIGHT - 1) * aim)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if done >= 1:
                break
        epoch += 1
        network.eval()
        with torch.no_grad():
            found = network(inputs[:held])[:, 0]
        network.train()
        positive = found[highest[:held] > 0].sort().values
        text = []
        for recall in (0.95, 0.98, 0.99, 0.995):
            limit = float(positive[int((1 - recall) * len(positive))])
            text.append(f"{recall}: {limit:.2f} {float((found[highest[:held] <= 0] > limit).float().mean()):.4f}")
        print(f"{epoch} {time.process_time() - begun:.0f} s; recall: limit, others kept: {'; '.join(text)}", flush=True)
        save_file(merged(network), out)
    print(out, hashlib.sha256(out.read_bytes()).hexdigest())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--squares", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5)
    given = parser.parse_args(sys.argv[1:])
    fit(given.squares, given.seed, given.out, given.minutes)
