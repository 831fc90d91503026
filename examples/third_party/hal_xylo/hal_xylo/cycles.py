"""What a step costs: master clock cycles, by the model in rockpool 3.1.0."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal_xylo import limits
from hal_xylo.config import XyloConfig

F64 = NDArray[np.float64]


@attrs.frozen(kw_only=True)
class Load:
    """What the cost of a step depends on, besides activity.

    channels, hidden, outputs: how many there are; into, out_of: hidden neurons that an input channel, or the read-out,
    has to walk through; fan_out: mean number of hidden targets; aliases: mean number per neuron (assumption: both
    the model's targets and its sources per neuron are this mean).
    """

    channels: int
    hidden: int
    outputs: int
    into: int
    out_of: int
    fan_out: float
    aliases: float = 0.0

    @classmethod
    def of(cls, config: XyloConfig) -> Load:
        """Of a configuration: on parts with sparse input and output memories only what is connected counts."""
        n = config.threshold.size
        part = limits.BY_NAME[config.part]
        return cls(
            channels=len(config.w_in),
            hidden=n,
            outputs=config.threshold_out.size,
            into=int(config.w_in.any(axis=(0, 2)).sum()) if part.sparse else n,
            out_of=int(config.w_out.any(axis=1).sum()) if part.sparse else n,
            fan_out=float(config.targets.sum()) / max(n, 1),
            aliases=float((config.alias >= 0).sum()) / max(n, 1),
        )

    def cycles(self, p_in: ArrayLike, p_hidden: ArrayLike) -> F64:
        """Cycles per step.

        p_in, p_hidden: share of the channels, and of the hidden neurons, with at least one event in the step; several
        in one bin cost as one.
        """
        p_i, p_h = np.asarray(p_in, np.float64), np.asarray(p_hidden, np.float64)
        a = self.aliases
        alias = 2 * np.maximum(p_h, a * a) + 3 * np.maximum(p_h * a, a * a) + p_h + a * np.maximum(p_h, a)
        return np.asarray(
            self.channels * (3.5 * p_i * self.into + 1)
            + self.hidden * (7 * self.fan_out * p_h + 3)
            + self.out_of * p_h * (1 + 8 * self.outputs)
            + self.hidden * (19 + alias)
            + 12 * self.outputs
        )
