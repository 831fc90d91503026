"""BrainScaleS-2 inside a training step of torch: `python examples/yinyang_torch.py [--epochs N]`.

Needs torch, which neurohal does not: `pip install torch==2.13.0`. The chip is a function like any other to autograd:
forward is a run, backward is EventProp on the host. Whatever stands before and after it is torch's.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
import yinyang
from yinyang_in_the_loop import BATCH, CLASSES, HIDDEN, INPUTS, LARGEST, RATE, SHARP, TAU_SYN, TEST_SEED, Loop, first


# region: function
class OnChip(torch.autograd.Function):
    """Weights on the chip, a batch through it: when each output first spiked (B, classes), s; inf if it did not."""

    @staticmethod
    def forward(ctx: Any, w1: torch.Tensor, w2: torch.Tensor, times: torch.Tensor, loop: Loop) -> torch.Tensor:
        """w1 (inputs, hidden), w2 (hidden, classes), times (B, inputs) in s."""
        loop.load(w1.numpy(), w2.numpy())
        spikes = loop.forward(times.numpy())
        ctx.loop, ctx.times, ctx.spikes, ctx.mapping = loop, times.numpy(), spikes, loop.mapping
        return torch.from_numpy(first(spikes))

    @staticmethod
    def backward(ctx: Any, by_time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        """Only weights are learnt."""
        g1, g2 = ctx.loop.gradient(ctx.times, ctx.spikes, by_time.numpy(), ctx.mapping)
        return torch.from_numpy(g1), torch.from_numpy(g2), None, None


# endregion


# region: step
def step(
    loop: Loop, weights: list[torch.Tensor], optimizer: torch.optim.Optimizer, times: torch.Tensor, labels: torch.Tensor
) -> float:
    """One training step; the loss before it. The earlier an output, the higher its score."""
    out = OnChip.apply(*weights, times, loop)
    silent = ~torch.isfinite(out)
    last = torch.where(silent, 0.0, out).amax(dim=1, keepdim=True)
    score = -torch.where(silent, last + 2 * SHARP * TAU_SYN, out) / (SHARP * TAU_SYN)
    loss = torch.nn.functional.cross_entropy(score, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        missing = torch.nn.functional.one_hot(labels, CLASSES)[silent.any(dim=1)].sum(dim=0)
        weights[1] += 0.02 * missing / len(labels)
        for w, largest in zip(weights, LARGEST, strict=True):
            w.clamp_(-largest, largest)
    return loss.item()


# endregion


def train(loop: Loop, epochs: int, points: int = 5_000, seed: int = 0) -> tuple[list[torch.Tensor], list[float]]:
    """Weights, and the mean loss of each epoch."""
    torch.manual_seed(seed)
    w1 = torch.normal(1.5, 1.2, (INPUTS, HIDDEN), dtype=torch.float64).clamp(-LARGEST[0], LARGEST[0])
    w2 = torch.normal(0.3, 0.5, (HIDDEN, CLASSES), dtype=torch.float64).clamp(-LARGEST[1], LARGEST[1])
    weights = [w1.requires_grad_(), w2.requires_grad_()]
    optimizer = torch.optim.Adam(weights, lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    xy, classes = yinyang.points(points, seed=100 + seed)
    times, labels = torch.from_numpy(yinyang.spike_times(xy, TAU_SYN)), torch.from_numpy(classes)
    losses = []
    for _ in range(epochs):
        batches = torch.randperm(points).split(BATCH)
        losses.append(float(np.mean([step(loop, weights, optimizer, times[b], labels[b]) for b in batches])))
        schedule.step()
    return weights, losses


def accuracy(loop: Loop, weights: list[torch.Tensor], points: int = 3_000) -> float:
    """On points that training has not seen."""
    xy, labels = yinyang.points(points, seed=TEST_SEED)
    with torch.no_grad():
        out = OnChip.apply(*weights, torch.from_numpy(yinyang.spike_times(xy, TAU_SYN)), loop)
    return float((out.argmin(dim=1).numpy() == labels).mean())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Train Yin-Yang with BrainScaleS-2 inside torch.")
    parser.add_argument("--epochs", type=int, default=10)
    loop = Loop()
    weights, losses = train(loop, parser.parse_args().epochs)
    print("loss by epoch:", *(f"{loss:.3f}" for loss in losses))
    print(f"accuracy on 3,000 other points: {accuracy(loop, weights):.4f}")


if __name__ == "__main__":
    main()
