"""Frozen ViT-L as `features` runs it on a GPU: images per second as a fraction of the card's matrix rate.

    python benchmarks/gpu/encoders.py [--images 512]

The network has random weights of the published size (61.6 G multiply-adds an image of 224 px, Dosovitskiy et al. 2021).
Counted is everything from pixels on the host to feature maps on the host.
"""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import ViTConfig, ViTModel

sys.path.insert(0, str(Path(__file__).parents[1]))
from mil_step import matrix_rate

from nephroscale.ahead import ahead
from nephroscale.features.encoders.huggingface import HuggingFaceEncoder
from nephroscale.features.settings import EncoderSettings
from nephroscale.features.weights import digest_weights

FLOP = 2 * 61.6e9
BATCH = 64


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    images = parser.parse_args().images
    rate = matrix_rate()
    layout = ViTConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
    with tempfile.TemporaryDirectory() as folder:
        with torch.device("cuda"):
            ViTModel(layout, add_pooling_layer=False).save_pretrained(folder)
        pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3), np.uint8)
        maps = {}
        for precision in ("float32", "bfloat16"):
            settings = EncoderSettings("huggingface", folder, digest_weights(Path(folder)), precision=precision)
            encoder = HuggingFaceEncoder(settings, "cuda")
            for _ in range(2):
                maps[precision] = encoder.encode(pixels)
            start = time.perf_counter()
            for _ in ahead((partial(encoder.encode, pixels) for _ in range(images // BATCH)), 2):
                pass
            speed = images // BATCH * BATCH / (time.perf_counter() - start)
            print(f"ViT-L, {precision}: {speed:.0f} images/s, {FLOP * speed / rate:.3f} of {rate / 1e12:.0f} TFLOP/s")
        gap = np.abs(maps["bfloat16"] - maps["float32"]).max() / np.abs(maps["float32"]).max()
        print(f"largest difference of a value between the two, of the largest value: {gap:.4f}")


if __name__ == "__main__":
    main()
