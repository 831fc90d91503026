"""Networks in steps, as jaxsnn.discrete runs them: profile `jaxsnn` on device `ideal`.

p = v_leak, v_th, v_reset, tau_mem, tau_syn, dt (s); spk (T, inputs); w (inputs, n); rec (n, n), or none; z, V, I (T, n)
after each step. With a read-out: p_out = v_leak, tau_mem, tau_syn; w_out (n, m); V_out, I_out (T, m).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
from comparison import Comparison, UnreadableError, compare

import hal
from hal import nodes
from hal.model import Model
from hal.semantics import Semantics, read_semantics

WITHIN = 1e-12
FIELDS = {"p", "spk", "w", "z", "V", "I"}
READOUT = {"p_out", "w_out", "V_out", "I_out"}


def claims(path: Path) -> bool:
    """An npz with these fields."""
    if path.suffix != ".npz":
        return False
    with np.load(path, allow_pickle=False) as arrays:
        return set(arrays.files) >= FIELDS and arrays["p"].shape == (6,)


def replay(path: Path, semantics: Path | None) -> list[Comparison]:
    """Spikes exactly, states within 1e-12 (times the value, where it is more than 1)."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    dt_ns = round(float(arrays["p"][5]) * 1e9)
    if abs(dt_ns - arrays["p"][5] * 1e9) > 1e-6 * dt_ns:
        raise UnreadableError(f"a step of {arrays['p'][5]} s is no whole number of ns")
    read = read_semantics(semantics) if semantics else Semantics(profile="jaxsnn")
    # values rather than events: what is not a whole number would be one of many roundings
    model = _model(arrays, attrs.evolve(read, dt_ns=dt_ns, signals={"in"}))
    names = {"lif": ("V", "I")} | ({"li": ("V_out", "I_out")} if "w_out" in arrays else {})
    probes = [hal.Probe(name, variable, every_ns=dt_ns) for name in names for variable in ("v", "i")]
    mapping = hal.mapper("ideal").map(model, record=["lif", *probes])
    with hal.open("ideal") as device:
        device.load(mapping)
        recording = device.run({"in": arrays["spk"]}, len(arrays["spk"]) * dt_ns)
    out = [compare("spikes", recording.raster("lif"), arrays["z"])]
    for name, keys in names.items():
        for variable, key in zip("vi", keys, strict=True):
            out.append(compare(f"{key} of {name}", recording.traces[name, variable].values, arrays[key], WITHIN))
    return out


def _model(arrays: dict[str, Any], semantics: Semantics) -> Model:
    """With time constants in ms, as the vendor's files have them; r and w_in, which it does not read, are not 1."""
    v_leak, v_th, v_reset, tau_mem, tau_syn, _ = arrays["p"].tolist()
    n_in, n = arrays["w"].shape
    parts: list[nodes.Node] = [nodes.Input(name="in", input_shape=(n_in,), output_shape=(n_in,))]
    values = {"v_leak": v_leak, "v_threshold": v_th, "v_reset": v_reset, "tau_mem": tau_mem, "tau_syn": tau_syn}
    parts += [_linear("w", arrays["w"]), _neurons(nodes.CubaLIF, "lif", n, values)]
    edges = [("in", "w"), ("w", "lif")]
    if "rec" in arrays:
        parts.append(_linear("rec", arrays["rec"]))
        edges += [("lif", "rec"), ("rec", "lif")]
    if "w_out" in arrays:
        v_leak, tau_mem, tau_syn = arrays["p_out"].tolist()
        m = arrays["w_out"].shape[1]
        values = {"v_leak": v_leak, "tau_mem": tau_mem, "tau_syn": tau_syn}
        parts += [_linear("to_out", arrays["w_out"]), _neurons(nodes.CubaLI, "li", m, values)]
        edges += [("lif", "to_out"), ("to_out", "li"), ("li", "out")]
        parts.append(nodes.Output(name="out", input_shape=(m,), output_shape=(m,)))
    else:
        parts.append(nodes.Output(name="out", input_shape=(n,), output_shape=(n,)))
        edges.append(("lif", "out"))
    return Model.of({part.name: part for part in parts}, edges, semantics)


def _linear(name: str, weight: Any) -> nodes.Linear:
    pre, post = weight.shape
    return nodes.Linear(name=name, input_shape=(pre,), output_shape=(post,), weight=np.ascontiguousarray(weight.T))


def _neurons(cls: Any, name: str, size: int, values: dict[str, float]) -> Any:
    usual = {"r": 3.0, "w_in": 7.0} | values
    in_ms = {key: value * (1e3 if key.startswith("tau") else 1.0) for key, value in usual.items()}
    full = {key: np.full(size, in_ms[key]) for key in cls.parameters}
    return cls(name=name, input_shape=(size,), output_shape=(size,), **full)
