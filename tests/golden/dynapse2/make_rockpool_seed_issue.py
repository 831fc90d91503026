"""The network of the seed bug report, built in rockpool and written by rockpool's own NIR export.

    python make_rockpool_seed_issue.py OUT.nir

Runs in an environment of rockpool 3.1.0, torch 2.13.0, nir 1.0.8 and nirtorch 2.6; reads alloc_seed_issue.npz.

The export drops a LIFTorch's own feedback (`has_rec=True`, `w_rec`) without a word. It follows the calls of modules, so
the feedback is written here as a linear layer between two calls of the recurrent one.
"""

import sys
from pathlib import Path

import nir
import numpy as np
import torch
from rockpool.nn.combinators import Sequential
from rockpool.nn.modules import LIFTorch, LinearTorch, TorchModule
from rockpool.nn.modules.torch.nir import to_nir


def neurons(size):
    return LIFTorch((size, size), tau_mem=20e-3, tau_syn=10e-3, threshold=1.0, bias=0.0, dt=1e-3)


def linear(weight):
    given = torch.tensor(np.ascontiguousarray(weight), dtype=torch.float32)
    return LinearTorch(weight.shape, weight=given, has_bias=False)


class Recurrent(TorchModule):
    """Neurons whose spikes go through `rec` into them again, at once."""

    def __init__(self, weight):
        super().__init__(shape=(len(weight), len(weight)), spiking_input=True, spiking_output=True)
        self.lif, self.rec = neurons(len(weight)), linear(weight)

    def evolve(self, input_data, record=False):
        spikes, _, _ = self.lif(input_data)
        fed_back, _, _ = self.rec(spikes)
        spikes, _, _ = self.lif(fed_back)
        return spikes, {}, {}


def main():
    with np.load(Path(__file__).with_name("alloc_seed_issue.npz"), allow_pickle=False) as file:
        w_in, w_rec = file["weights_in_float"], file["weights_rec_float"]
    layers = [
        linear(w_in[:, :32]),
        neurons(32),
        linear(w_rec[:32, 32:64]),
        Recurrent(w_rec[32:64, 32:64]),
        linear(w_rec[32:64, 64:]),
        neurons(2),
    ]
    nir.write(sys.argv[1], to_nir(Sequential(*layers)))


if __name__ == "__main__":
    main()
