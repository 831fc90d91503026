"""A recurrent layer and a read-out in steps, by jaxsnn; runs in an environment of jaxsnn 0.3.0 and jax 0.10.2.

JAX_ENABLE_X64=1 python jaxsnn_discrete_vector.py MADE.npz

Fields as in discrete_lif.npz; w_out (n, m), p_out = v_leak, tau_mem, tau_syn, and V_out, I_out (T, m) of the read-out.
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jaxsnn.discrete.functional.li import LIParameters
from jaxsnn.discrete.functional.lif import LIFParameters
from jaxsnn.discrete.modules.input import Input
from jaxsnn.discrete.modules.li import LI
from jaxsnn.discrete.modules.lif import LIF
from jaxsnn.discrete.modules.linear import Linear
from jaxsnn.discrete.topology import Topology

STEPS, N_IN, N, N_OUT, DT = 150, 5, 12, 3, 1e-3


def main():
    random = np.random.default_rng(11)
    spk = (random.random((STEPS, N_IN)) < 0.15).astype(float)
    w, rec, w_out = (random.normal(m, s, shape) for m, s, shape in (
        (0.6, 0.8, (N_IN, N)), (-0.05, 0.3, (N, N)), (0.0, 0.5, (N, N_OUT))
    ))  # fmt: skip
    lif = LIFParameters(tau_syn=4e-3, tau_mem=15e-3, v_th=0.5, v_leak=0.1, v_reset=-0.2)
    li = LIParameters(tau_syn=6e-3, tau_mem=25e-3, v_leak=-0.05)
    net = Topology(time_steps=STEPS, dt=DT, record_states=True)
    net.add({"in": Input(N_IN), "lif": LIF(N, lif), "li": LI(N_OUT, li)})
    net.add({name: Linear(pre_weights=weight) for name, weight in (("w", w), ("rec", rec), ("out", w_out))})
    net.connect([("in", "w"), ("w", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "out"), ("out", "li")])
    init, apply = net.done()
    states, outputs = apply({"in": jnp.asarray(spk)}, init(jax.random.PRNGKey(0)))
    meta = {"peer": "jaxsnn", "version": "0.3.0", "description": "discrete.topology, float64: recurrent LIF, LI"}
    np.savez_compressed(
        sys.argv[1],
        meta=json.dumps(meta),
        p=[lif.v_leak, lif.v_th, lif.v_reset, lif.tau_mem, lif.tau_syn, DT],
        p_out=[li.v_leak, li.tau_mem, li.tau_syn],
        spk=spk,
        w=w,
        rec=rec,
        w_out=w_out,
        z=outputs["lif"],
        V=states["lif"].V,
        I=states["lif"].I,
        V_out=states["li"].V,
        I_out=states["li"].I,
    )


if __name__ == "__main__":
    main()
