"""From NIR files and graph objects to typed nodes: guarded reading, checks, shape inference.

The way of a model: `file` (HDF5, through `h5guard`) or `object` (a graph in memory) give `raw` records; `draft` types
and checks each node; `infer` finds shapes by the rules in `shapes`; `build` puts them together for `hal.model`. `data`
reads NIR's data files (stimuli).
"""
