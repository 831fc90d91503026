"""Rate of Loihi's neurons under constant drive: the formula of training packages, and what the emulated chip gives.

    python docs/plots/loihi_activation.py [FILE.svg]

Steps of 1 ms. The neurons' integers are those of the registers; a bias is the only drive. Needs matplotlib (the extra
`plot`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal_emulators.loihi import Board, Compartments, Synapses
from hal_loihi.activation import lif_rate, rectified_linear_rate
from hal_loihi.compartments import VTH_UNIT, bias_registers
from hal_loihi.decays import membrane_decay, refractory_steps, retention

DT = 1e-3
TAU_RC, TAU_REF = 0.02, 0.002
"""Time constants of the leaky neuron, seconds: the defaults of nengo-loihi 1.1.0."""
THRESHOLD = 6300 * VTH_UNIT
STEPS = 4000
SVG = Path(__file__).parents[1] / "chips" / "loihi_activation.svg"

Float = NDArray[np.float64]


def spike_steps(bias: ArrayLike, threshold: ArrayLike, decay_v: int, refract: int, steps: int) -> list[NDArray[Any]]:
    """Steps in which each of n neurons spiked, on the emulated chip; bias (n,) and threshold in integers."""
    biases = np.asarray(bias, np.int64)
    limit = 2**23 - 1
    compartments = Compartments(
        decay_u=4095, decay_v=decay_v, vth=threshold, bias=biases, refract=refract, vmin=-limit, vmax=limit
    )
    nothing = np.empty(0, np.int64)
    synapses = Synapses.from_lists(biases.size, nothing, nothing, nothing)
    result = Board(compartments, synapses, 0).run(steps, nothing, nothing)
    return [result.spike_step[result.spike_index == n] for n in range(biases.size)]


def measured(per_step: Float, decay_v: int, refract: int) -> Float:
    """Rates in Hz for drives in thresholds per step: from the first to the last of the spikes of STEPS steps."""
    mantissa, exponent = bias_registers(per_step * THRESHOLD)
    spikes = spike_steps(np.left_shift(mantissa, exponent), THRESHOLD, decay_v, refract, STEPS)
    return np.array([(t.size - 1) / ((t[-1] - t[0]) * DT) if t.size > 1 else 0.0 for t in spikes])


def rectified_linear(drive: Float) -> Float:
    """The chip's rates; drive in thresholds per second."""
    return measured(drive * DT, 0, 1)


def lif(drive: Float) -> Float:
    """The chip's rates; drive in thresholds at which the membrane would settle."""
    decay = membrane_decay(retention(TAU_RC, DT, "exp"))
    refract = int(refractory_steps(TAU_REF, DT)) + 1
    return measured(drive * float(1.0 - decay.realised), int(decay.register), refract)


def draw(path: Path) -> None:
    """Both neurons, formula and chip, as a picture."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "loihi", "font.size": 9})
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained")
    sides: list[tuple[Any, str, str, Float, Any, Any]] = [
        (axes[0], "rectified linear", "drive, thresholds per second", np.linspace(-100, 1250, 541),
         lambda j: rectified_linear_rate(j, dt=DT), rectified_linear),
        (axes[1], "LIF, 20 ms, refractory 2 ms", "drive, thresholds", np.linspace(0, 25, 501),
         lambda j: lif_rate(j, tau_rc=TAU_RC, tau_ref=TAU_REF, dt=DT), lif),
    ]  # fmt: skip
    for axis, title, label, drive, formula, chip in sides:
        axis.plot(drive, formula(drive), color="#d08000", linewidth=3, alpha=0.5, label="formula")
        axis.plot(drive, chip(drive), color="#204a87", linewidth=1, label="emulated chip")
        axis.set(title=f"{title}, steps of 1 ms", xlabel=label, ylabel="spikes per second")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else SVG)
