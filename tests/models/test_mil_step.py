"""Fault 5: the batched form gives the results of the per-instance form of the benchmark."""

from argparse import Namespace

import torch

from support import mil_step


def test_the_two_forms_agree() -> None:
    network, _, batch = mil_step.prepare(
        Namespace(encoder="small-cnn", size=28, width=16, batch=3, instances=6, device="cpu")
    )
    ours, theirs = network(batch), mil_step.per_instance(network, batch)
    torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-4, atol=1e-4)
    gradients = []
    for output in (ours, theirs):
        network.zero_grad()
        network.loss(output, batch.labels).backward()
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)
