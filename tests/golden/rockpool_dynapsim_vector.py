"""One run of rockpool's DynapSim; runs in an environment of rockpool 3.1.0.

python rockpool_dynapsim_vector.py ASKED.npz ANSWERED.npz
"""

import sys

import numpy as np
from rockpool.devices.dynapse import DynapSim


def main():
    given = dict(np.load(sys.argv[1], allow_pickle=False))
    n_in, raster, weights = int(given.pop("n_in")), given.pop("raster"), given.pop("weights")
    dt, iscale = float(given.pop("dt")), float(given.pop("iscale"))
    n = weights.shape[1]
    # the simulator's AMPA has the capacitance 24.5 pF by default, as the mapper's
    made = DynapSim((n, n), has_rec=True, w_rec=weights[n_in:], dt=dt, Iscale=iscale, **given)
    spikes, _, _ = made.evolve((raster @ weights[:n_in])[None])
    np.savez(sys.argv[2], spikes=np.asarray(spikes)[0])


if __name__ == "__main__":
    main()
