"""What `compute.instruction_set: portable` costs: training steps on the CPU, portable against native.

    python benchmarks/portable.py [--rounds 3] [--steps 5] [CASE ...]

Each round times every case in two processes, one with pinned libraries and one without, with the clock of one thread.
A round gives the median of its steps. Printed are the least of all rounds, which other work on the machine raises
least, and their ratio.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from nephroscale.engine.environment import PINS, set_numerical_environment

if TYPE_CHECKING:
    from collections.abc import Callable

#: Side of the maps, channels (those of the encoder `texture` and of Swin-B), patients, and instances of TEM.
CMUSNETS = {"cmusnet-texture": (7, 62, 4, 16), "cmusnet-swin": (7, 1024, 16, 10)}
CASES = (*CMUSNETS, "unet")


def time_steps(case: str, steps: int) -> float:
    """Time training steps of a case in this process: the median in seconds."""
    import torch

    torch.manual_seed(0)
    step = _unet_step() if case == "unet" else _cmusnet_step(*CMUSNETS[case])
    seconds = []
    for _ in range(steps + 1):
        begun = time.thread_time()
        step()
        seconds.append(time.thread_time() - begun)
    return statistics.median(seconds[1:])


def _unet_step() -> Callable[[], None]:
    import torch

    from nephroscale.glomeruli.network import UNet

    network = UNet(16).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    images = torch.rand(8, 3, 128, 128)

    def step() -> None:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(images)[:, 0], (images[:, 0] > 0.5).float())
        loss.backward()
        optimizer.step()

    return step


def _cmusnet_step(side: int, channels: int, patients: int, instances: int) -> Callable[[], None]:
    import torch

    from nephroscale.models.batch import Batch
    from nephroscale.models.registry import build
    from nephroscale.models.settings import ModelSettings
    from nephroscale.training.epoch import training_step
    from nephroscale.training.optimizer import make_optimizer
    from nephroscale.training.settings import TrainSettings

    numbers = {"TEM": instances, "OM": 1, "IM": 1}
    network = build(ModelSettings(), dict.fromkeys(numbers, (side, side, channels)), 3)
    features = {name: torch.rand(patients, number, side, side, channels) for name, number in numbers.items()}
    masks = {name: torch.ones(patients, number, dtype=torch.bool) for name, number in numbers.items()}
    batch = Batch.of(features, masks, torch.arange(patients) % 3)
    optimizer = make_optimizer(network, TrainSettings())
    return lambda: training_step(network, optimizer, TrainSettings(), batch)  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=CASES, metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(time_steps(options.cases[0], options.steps))
        return
    set_numerical_environment({})
    loose = {name: value for name, value in os.environ.items() if name not in {*PINS, "NPY_DISABLE_CPU_FEATURES"}}
    print("case             portable ms  native ms  ratio")
    for case in options.cases:
        times: dict[str, list[float]] = {"portable": [], "native": []}
        for _ in range(options.rounds):
            for kind, environment in (("portable", dict(os.environ)), ("native", loose)):
                command = [sys.executable, __file__, case, "--here", "--steps", str(options.steps)]
                done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                times[kind].append(float(done.stdout))
        portable, native = (1e3 * min(times[kind]) for kind in ("portable", "native"))
        print(f"{case:16} {portable:11.1f}  {native:9.1f}  {portable / native:5.2f}", flush=True)


if __name__ == "__main__":
    main()
