"""DPI neurons against scipy's solve_ivp: the equations written once more, integrated between discontinuities."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from hal_emulators.dpi import Bus, Chip, Neurons, Routes

N = 100
SECOND = 10**9


def random_neurons(rng: np.random.Generator) -> Neurons:
    def about(value: float, factor: float, *shape: int) -> NDArray[np.float64]:
        return value * factor ** rng.uniform(-1, 1, shape or N)

    return Neurons(
        core=np.zeros(N, np.int64),
        thresholded=rng.random(N) < 0.5,
        adaptation=rng.random(N) < 0.5,
        dc=rng.random(N) < 0.5,
        Io=about(5e-13, 1.5),
        kappa_n=about(0.75, 1.1),
        Ut=about(25e-3, 1.1),
        Itau_mem=about(6e-12, 2),
        Igain_mem=about(3e-11, 3),
        Ispkthr=about(8e-9, 3),
        Idc=about(2e-11, 4),
        If_nmda=about(1e-9, 5),
        Iref=about(1e-9, 2),
        Ipulse=about(2e-9, 2),
        Itau_ahp=about(3e-11, 2),
        Igain_ahp=about(3e-11, 2),
        Iw_ahp=about(2e-8, 3),
        Ipulse_ahp=about(3.5e-9, 2),
        Itau_syn=about(8e-11, 3, N, 4),
        Igain_syn=about(2e-9, 2, N, 4),
        Iw=np.array([1, 2, 4, 8]) * 3e-10,
    )


def reference(neurons: Neurons, n: int, pulses: list[tuple[float, int, int]]) -> list[float]:
    """Spike times of one neuron; pulses are (start, dendrite, mask)."""
    value = {name: float(getattr(neurons, name)[n]) for name in ("Io", "Ut", "Vth", "C_mem", "Itau_mem", "Igain_mem")}
    io, ut, vth, gain = value["Io"], value["Ut"], value["Vth"], value["Igain_mem"]
    kappa = float(neurons.kappa_n[n] + neurons.kappa_p[n]) / 2
    idc = float(neurons.Idc[n]) if neurons.dc[n] else 0.0
    nmda_bias, threshold = float(neurons.If_nmda[n]), log(neurons.Ispkthr[n])
    tau = [float(ut * c / (kappa * i)) for c, i in zip(neurons.C_syn[n], neurons.Itau_syn[n], strict=True)]
    tau.append(float(ut * neurons.C_ahp[n] / (kappa * neurons.Itau_ahp[n])))
    gains = [float(g / i) for g, i in zip(neurons.Igain_syn[n], neurons.Itau_syn[n], strict=True)]
    width = vth * neurons.C_pulse[n] / neurons.Ipulse[n]
    t_ref, t_ahp = vth * neurons.C_ref[n] / neurons.Iref[n], vth * neurons.C_pulse_ahp[n] / neurons.Ipulse_ahp[n]
    speed = kappa / (value["C_mem"] * ut)
    ahp_step = float(neurons.Igain_ahp[n] / neurons.Itau_ahp[n] * neurons.Iw_ahp[n]) if neurons.adaptation[n] else 0.0
    exponential = not neurons.thresholded[n]

    # currents in units of Io, x = ln(I_mem)
    def slopes(_: float, y: NDArray[np.float64], drive: list[float], held: bool) -> list[float]:
        ampa, gaba, nmda, shunt, ahp, x = y.tolist()
        out = [(1.0 + d - i) / t for d, i, t in zip(drive, (ampa, gaba, nmda, shunt, ahp), tau, strict=True)]
        if held:
            return [*out, 0.0]
        mem = exp(x)
        net = (ampa + nmda * mem / (mem + nmda_bias) - gaba) * io + idc
        leak = value["Itau_mem"] + (shunt + ahp - 2) * io
        feedback = io * (mem / io) ** (kappa / (kappa + 1)) if exponential else 0.0
        part = gain / (mem + gain)
        rise = part * max(net, 0.0) + feedback - (leak + part * max(-net, 0.0)) * (1 - io / mem)
        return [*out, speed * rise]

    def above(_: float, y: NDArray[np.float64], *__: Any) -> float:
        return float(y[5] - threshold)

    above.terminal, above.direction = True, 1  # type: ignore[attr-defined]
    changes = sorted({t + shift for t, _, _ in pulses for shift in (0.0, width)} | {1.0})
    y, t, spikes, held_until, ahp_until = np.array([1.0] * 5 + [log(io)]), 0.0, [], 0.0, 0.0
    while t < 1.0:
        stop = min([c for c in changes if c > t] + [c for c in (held_until, ahp_until) if c > t])
        base = [0.0] * 5
        for start, dendrite, mask in pulses:
            if start <= t < start + width:
                base[dendrite] += gains[dendrite] * sum(float(neurons.Iw[n, b]) for b in range(4) if mask >> b & 1) / io
        base[4] = ahp_step / io if t < ahp_until else 0.0
        seen = solve_ivp(
            slopes, (t, stop), y, "DOP853", events=above, args=(base, t < held_until), rtol=1e-10, atol=1e-11,
            first_step=min(1e-6, stop - t),
        )  # fmt: skip
        assert seen.success
        y, t = seen.y[:, -1].copy(), float(seen.t[-1])
        if seen.status == 1:
            spikes.append(t)
            y[5], held_until, ahp_until = log(io), t + t_ref, t + t_ahp
    return spikes


def test_hundred_random_neurons_spike_within_a_microsecond_of_scipy() -> None:
    rng = np.random.default_rng(12)
    neurons = random_neurons(rng)
    owner = np.repeat(np.arange(N), 6)
    dendrite = np.tile([0, 0, 0, 1, 2, 3], N)
    mask = rng.integers(1, 16, owner.size)
    chip = Chip(
        neurons,
        Routes(
            packet_ptr=np.minimum(np.arange(owner.size + N + 1), owner.size),
            packet_core=np.zeros(owner.size, np.int64),
            synapse_ptr=np.arange(owner.size + 1),
            neuron=owner,
            dendrite=dendrite,
            mask=mask,
        ),
        Bus(event_ns=0),
    )
    t_ns = np.sort(rng.integers(0, SECOND, 1000))
    source = rng.integers(0, owner.size, t_ns.size)
    seen = chip.run(SECOND, t_ns, source)
    compared = 0
    for n in range(N):
        mine = owner[source] == n
        pulses = [(t / 1e9, int(dendrite[s]), int(mask[s])) for t, s in zip(t_ns[mine], source[mine], strict=True)]
        expected = reference(neurons, n, pulses)
        got = seen.spike_t[seen.spike_neuron == n]
        assert got.size == len(expected), n
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6, err_msg=f"neuron {n}")
        compared += got.size
    assert compared > 250
