"""Train the small network ``models/digits_cnn.nir`` on recordings of scikit-learn's digits 0..1499.

Needed once; no test runs it.

Beside the packages of the examples this script needs PyTorch and nir::

    pip install torch nir h5py scikit-learn scipy
    python examples/train_digits.py --out examples/models/digits_cnn.nir

The network has three layers of integrate-and-fire neurons without leak and without biases, all of them within
the limits of one core of a Speck: 5 x 5 convolution with stride 2, sum pool, 3 x 3 convolution, sum pool,
dense layer of ten. Threshold 1, reset by subtraction, lower bound -1, several spikes a step: the rules of the
``sinabs`` profile.

1. Each digit is recorded once as it is and three times rotated, scaled and sheared a little, with generator
   seeds of their own.
2. The weights are found in steps of 10 and later of 5 ms, by backpropagation through time with a surrogate gradient.
   The input of a layer within a step is delivered in two random halves, because an event-driven chip decides
   after every single event: a net that cares about the order of events within a step would not run alike on
   both.
3. Weights beyond the threshold are penalised (one update is at most one spike on the chip), and so are spikes
   beyond a budget.

Digits 1200..1499 of the first pass choose the settings (``--validate``); the shipped net is trained on all
1500 with these.
"""

from __future__ import annotations

import argparse
import io
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

import event_camera as ec
import h5py
import nir
import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

TRAINING_SEED = 100  # generator seeds 100..103; held-out recordings use event_camera.HELD_OUT_SEED
VALIDATION_SEED = 50
COPIES = 4
STEP_US = 5_000
CHANNELS = (8, 16)
SPIKE_BUDGET = (1500.0, 1200.0)  # spikes of the two hidden layers a recording that cost nothing


def distorted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image at four times its size, turned by up to 12 degrees, scaled by 0.9..1.1 and sheared by up to 0.15."""
    large = np.clip(ndimage.zoom(np.pad(image, 1), 4, order=3, grid_mode=True, mode="grid-constant"), 0.0, 1.0)
    angle = np.deg2rad(rng.uniform(-12, 12))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1.0, 0.0], [rng.uniform(-0.15, 0.15), 1.0]]) @ np.diag(rng.uniform(0.9, 1.1, 2))
    middle = (np.array(large.shape) - 1) / 2
    moved = ndimage.affine_transform(large, matrix, middle - matrix @ middle, order=1)
    return np.clip(moved, 0.0, 1.0)[4:-4, 4:-4]


def record_one(job: tuple[int, int, bool]) -> np.ndarray:
    """Raster (60, 2, 34, 34) uint8 of one recording; job = digit index, seed, distort."""
    index, seed, distort = job
    image, _ = ec.digit(index)
    if distort:
        image = distorted(image, np.random.default_rng((seed, index, 1)))
    events = ec.record(image, (seed, index))
    return ec.raster(events, STEP_US, ec.Camera().duration_us // STEP_US).astype(np.uint8)


def recordings(jobs: list[tuple[int, int, bool]]) -> torch.Tensor:
    """All rasters, (N, 60, 2, 34, 34) uint8, from two processes."""
    with ProcessPoolExecutor(2) as pool:
        return torch.from_numpy(np.stack(list(pool.map(record_one, jobs, chunksize=25))))


class MultiSpike(torch.autograd.Function):
    """floor(u) spikes for u > 0; gradient 1 above the threshold, falling off exponentially below it."""

    @staticmethod
    def forward(ctx, u):  # noqa: D102
        ctx.save_for_backward(u)
        return torch.floor(u.clamp(min=0.0))

    @staticmethod
    def backward(ctx, gradient):  # noqa: D102
        (u,) = ctx.saved_tensors
        return gradient * torch.exp(-1.5 * (1.0 - u).clamp(min=0.0))


class Net(torch.nn.Module):
    """conv1 - if1 - pool1 - conv2 - if2 - pool2 - fc - if3."""

    def __init__(self) -> None:
        super().__init__()
        a, b = CHANNELS
        self.conv1 = torch.nn.Parameter(torch.randn(a, 2, 5, 5) * 0.15 + 0.03)
        self.conv2 = torch.nn.Parameter(torch.randn(b, a, 3, 3) * 0.08 + 0.01)
        self.fc = torch.nn.Parameter(torch.randn(10, b * 16) * 0.06)

    def drive(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        """Summed input of a layer's neurons."""
        if layer == 0:
            return functional.conv2d(x, self.conv1, stride=2, padding=1)
        x = functional.avg_pool2d(x, 2) * 4
        return functional.conv2d(x, self.conv2, padding=1) if layer == 1 else x.flatten(1) @ self.fc.T

    def forward(self, rasters: torch.Tensor, halves: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Output spikes plus the rest of the membrane (B, 10), and the spikes of each hidden layer (B,)."""
        v: list[torch.Tensor] = [torch.zeros(())] * 3
        total = torch.zeros(len(rasters), 10)
        counts = [torch.zeros(len(rasters)) for _ in range(2)]
        for step in range(rasters.shape[1]):
            x = rasters[:, step]
            for layer in range(3):
                drive = self.drive(layer, x)
                parts = [drive]
                if halves and layer > 0:
                    first = self.drive(layer, x * (torch.rand_like(x) < 0.5))
                    parts = [first, drive - first]
                spikes = torch.zeros(())
                for part in parts:
                    u = v[layer] + part
                    s = MultiSpike.apply(u)
                    v[layer] = (u - s.detach()).clamp(min=-1.0)
                    spikes = spikes + s
                x = spikes
                if layer < 2:
                    counts[layer] = counts[layer] + x.flatten(1).sum(1)
            total = total + x
        return total, counts


def evaluate(net: Net, rasters: torch.Tensor, labels: torch.Tensor) -> float:
    """Share recognised with steps of 5 ms."""
    with torch.no_grad():
        hits = [
            (net(rasters[i : i + 100].float(), halves=False)[0].argmax(1) == labels[i : i + 100]).float().sum()
            for i in range(0, len(rasters), 100)
        ]
    return float(torch.stack(hits).sum() / len(rasters))


def train(
    net: Net, rasters: torch.Tensor, labels: torch.Tensor, epochs: int, check: tuple[torch.Tensor, torch.Tensor] | None
) -> None:
    """Each epoch sees every digit once, in one of its copies; the last quarter of the epochs uses steps of 5 ms."""
    digits = len(labels) // COPIES
    optimiser = torch.optim.Adam(net.parameters(), lr=4e-3)
    batches = digits // 50
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=epochs * batches, pct_start=0.15)
    for epoch in range(epochs):
        begin = time.monotonic()
        order = torch.randperm(digits)
        fine = epoch >= 0.75 * epochs
        losses, active = [], []
        for i in range(batches):
            chosen = order[i * 50 : (i + 1) * 50] + digits * torch.randint(COPIES, (50,))
            x = rasters[chosen].float()
            if not fine:
                x = x.unflatten(1, (-1, 2)).sum(2)
            x = x.roll((int(torch.randint(-1, 2, ())), int(torch.randint(-1, 2, ()))), dims=(3, 4))
            out, counts = net(x, halves=True)
            loss = functional.cross_entropy(out * 0.15, labels[chosen], label_smoothing=0.05)
            for count, budget in zip(counts, SPIKE_BUDGET, strict=True):
                loss = loss + 0.1 * ((count / budget - 1.0).clamp(min=0.0) ** 2).mean()
            for weight in net.parameters():
                loss = loss + 0.5 * ((weight.abs() - 0.7).clamp(min=0.0) ** 2).sum() + 1e-4 * (weight**2).sum()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            active.append([float(count.detach().mean()) for count in counts])
        line = f"epoch {epoch:3d} loss {np.mean(losses):.3f} spikes {np.mean(active, 0).round()}"
        line += f" {time.monotonic() - begin:.1f} s"
        if check is not None and (epoch % 5 == 4 or epoch == epochs - 1):
            line += f" validation {evaluate(net, *check):.4f}"
        print(line, flush=True)


def write(net: Net, path: Path) -> None:
    """Write the network as NIR: readable node names, biases zero, thresholds 1."""

    def fire(*shape: int) -> nir.IF:
        return nir.IF(
            r=np.ones(shape, np.float32), v_threshold=np.ones(shape, np.float32), v_reset=np.zeros(shape, np.float32)
        )

    def convolution(weight: torch.Tensor, size: int, stride: int) -> nir.Conv2d:
        return nir.Conv2d(
            input_shape=(size, size),
            weight=weight.detach().numpy(),
            stride=(stride, stride),
            padding=(1, 1),
            dilation=(1, 1),
            groups=1,
            bias=np.zeros(len(weight), np.float32),
        )

    def pool() -> nir.SumPool2d:
        return nir.SumPool2d(kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=np.array([0, 0]))

    a, b = CHANNELS
    nodes = {
        "input": nir.Input({"input": np.array([2, 34, 34])}),
        "conv1": convolution(net.conv1, 34, 2),
        "if1": fire(a, 16, 16),
        "pool1": pool(),
        "conv2": convolution(net.conv2, 8, 1),
        "if2": fire(b, 8, 8),
        "pool2": pool(),
        "flatten": nir.Flatten({"input": np.array([b, 4, 4])}, start_dim=0, end_dim=-1),
        "fc": nir.Affine(weight=net.fc.detach().numpy(), bias=np.zeros(10, np.float32)),
        "if3": fire(10),
        "output": nir.Output({"output": np.array([10])}),
    }
    names = list(nodes)
    plain = io.BytesIO()
    nir.write(plain, nir.NIRGraph(nodes=nodes, edges=list(pairwise(names))))
    copy_small(plain, path)


def copy_small(source: io.BytesIO, path: Path) -> None:
    """Copy an HDF5 file with the index that HDF5 1.10 brought, a third of the size for this many small datasets."""
    with h5py.File(source) as old, h5py.File(path, "w", libver=("v110", "v110")) as new:

        def copy(name: str, item: h5py.Dataset | h5py.Group) -> None:
            if isinstance(item, h5py.Dataset):
                packed = item.size * item.dtype.itemsize > 1000
                how = {"compression": "gzip", "chunks": item.shape} if packed else {}
                new.create_dataset(name, data=item[()], dtype=item.dtype, **how)

        old.visititems(copy)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the small digit network.")
    parser.add_argument("--out", type=Path, required=True, help="NIR file to write")
    parser.add_argument("--epochs", type=int, default=50, help="passes over the digits (default 50)")
    parser.add_argument("--validate", action="store_true", help="leave digits 1200..1499 out and check on them")
    parser.add_argument("--cache", type=Path, help="keep the training recordings in this .npy file")
    options = parser.parse_args()
    torch.manual_seed(0)
    begin = time.monotonic()
    jobs = [(i, TRAINING_SEED + copy, copy > 0) for copy in range(COPIES) for i in ec.TRAINING_DIGITS]
    if options.cache is not None and options.cache.exists():
        rasters = torch.from_numpy(np.load(options.cache))
    else:
        rasters = recordings(jobs)
        if options.cache is not None:
            np.save(options.cache, rasters.numpy())
    labels = torch.tensor([ec.digit(i)[1] for i, _, _ in jobs])
    print(f"{len(rasters)} recordings, {time.monotonic() - begin:.0f} s", flush=True)
    check = None
    if options.validate:
        used = torch.tensor([i < 1200 for i, _, _ in jobs])
        held = recordings([(i, VALIDATION_SEED, False) for i in range(1200, 1500)])
        check = (held, torch.tensor([ec.digit(i)[1] for i in range(1200, 1500)]))
        rasters, labels = rasters[used], labels[used]
    net = Net()
    train(net, rasters, labels, options.epochs, check)
    write(net, options.out)
    print(f"{options.out}: {options.out.stat().st_size} bytes, {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
