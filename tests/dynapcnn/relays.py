"""Layers of registers that pass events on."""

from __future__ import annotations

from typing import Any

import numpy as np

from hal_dynapcnn.config import CnnLayerConfig, Destination, Dimensions, FeatureMap, SizeXY


def relay(f: int, y: int, x: int, *to: Destination, **changes: Any) -> CnnLayerConfig:
    """A 1 x 1 relay of a map to some destinations."""
    both = FeatureMap(feature_count=f, size=SizeXY(x=x, y=y))
    usual: dict[str, Any] = {
        "dimensions": Dimensions(input_shape=both, output_shape=both),
        "weights": np.eye(f, dtype=np.int8)[:, :, None, None] * 9,
        "biases": np.zeros(f, np.int16),
        "neurons_initial_value": np.zeros((f, x, y), np.int16),
        "threshold_high": 9,
        "monitor_enable": True,
        "destinations": (*to, *[Destination()] * (2 - len(to))),
    }
    return CnnLayerConfig(**(usual | changes))
