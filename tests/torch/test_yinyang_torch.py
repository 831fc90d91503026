"""The chip inside a training step of torch, in an environment that has it: see `.ci/run --full`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is no dependency; `.ci/run --full` installs torch==2.13.0 for this")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def example() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        import yinyang_torch  # type: ignore[import-not-found,unused-ignore]

        yield yinyang_torch
    for name in ("yinyang", "yinyang_in_the_loop", "yinyang_torch"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def weights() -> Any:
    torch.manual_seed(3)
    w1 = torch.normal(1.5, 1.2, (5, 120), dtype=torch.float64).clamp(-5, 5)
    w2 = torch.normal(0.3, 0.5, (120, 3), dtype=torch.float64).clamp(-1, 1)
    return [w1.requires_grad_(), w2.requires_grad_()]


def test_autograd_gets_the_gradient_of_the_loop(example: Any, weights: Any) -> None:
    loop = example.Loop()
    xy, _ = example.yinyang.points(20, 1)
    times = example.yinyang.spike_times(xy, example.TAU_SYN)
    out = example.OnChip.apply(*weights, torch.from_numpy(times), loop)
    spikes = loop.forward(times)
    assert np.array_equal(out.detach().numpy(), example.first(spikes))
    by_time = np.where(np.isfinite(example.first(spikes)), 1e6, 0.0)
    expected = loop.gradient(times, spikes, by_time)
    loop.load(np.zeros((5, 120)), np.zeros((120, 3)))
    out.backward(torch.from_numpy(by_time))
    for w, gradient in zip(weights, expected, strict=True):
        assert np.array_equal(w.grad.numpy(), gradient)


def test_a_network_learns_with_torch_s_own_optimizer(example: Any) -> None:
    loop = example.Loop()
    weights, losses = example.train(loop, epochs=3, points=1_000)
    assert losses[-1] < 0.8 * losses[0]
    assert example.accuracy(loop, weights, points=600) > 0.7


def test_the_command_says_what_came_out(
    example: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["yinyang_torch.py", "--epochs", "1"])
    example.main()
    said = capsys.readouterr().out
    assert "loss by epoch: " in said
    assert float(said.rpartition(" ")[2]) > 0.5
