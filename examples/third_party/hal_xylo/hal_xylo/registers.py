"""The numbers of a core, as plain arrays."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(kw_only=True, eq=False)
class Registers:
    """All numbers of a core; integers.

    w_in (inputs, n, synapses), w_rec (n, n, synapses), w_out (n, outputs): stored weights, before the left shift.
    dash_syn (n, synapses); all others (n,) or (outputs,). alias (k, 2): pairs of source and target, hidden ids.
    """

    w_in: NDArray[Any]
    w_rec: NDArray[Any]
    w_out: NDArray[Any]
    threshold: NDArray[Any]
    threshold_out: NDArray[Any]
    dash_mem: NDArray[Any]
    dash_mem_out: NDArray[Any]
    dash_syn: NDArray[Any]
    dash_syn_out: NDArray[Any]
    alias: NDArray[Any] = attrs.field(factory=lambda: np.zeros((0, 2), np.int64))
    bias: NDArray[Any] | None = None
    bias_out: NDArray[Any] | None = None
    shift_in: int = 0
    shift_rec: int = 0
    shift_out: int = 0

    def check(self) -> None:
        """Raise ValueError unless shapes go together and targets exist: the kernel looks at neither."""
        n, synapses = self.dash_syn.shape
        outputs = self.threshold_out.size
        wanted = {
            "w_in": (len(self.w_in), n, synapses), "w_rec": (n, n, synapses), "w_out": (n, outputs),
            "threshold": (n,), "dash_mem": (n,), "dash_mem_out": (outputs,), "dash_syn_out": (outputs,),
            "bias": (n,), "bias_out": (outputs,), "alias": (len(self.alias), 2),
        }  # fmt: skip
        for name, shape in wanted.items():
            given = getattr(self, name)
            if given is not None and np.shape(given) != shape:
                raise ValueError(f"{name} has shape {np.shape(given)}, should be {shape}")
        for name in ("dash_mem", "dash_mem_out", "dash_syn", "dash_syn_out"):
            values = getattr(self, name)
            if values.size and not 0 <= int(values.min()) <= int(values.max()) <= 15:
                raise ValueError(f"{name} is 0 to 15")
        if self.alias.size and not 0 <= int(self.alias.min()) <= int(self.alias.max()) < n:
            raise ValueError(f"an alias joins hidden neurons, 0 to {n - 1}")
        if synapses not in (1, 2):
            raise ValueError(f"a neuron has 1 or 2 synapses, not {synapses}")
