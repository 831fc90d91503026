"""A recording stand-in for samna: configuration classes that know their fields' names, types and ranges.

Written from the vendor's reference of the configuration classes and the datasheet, on its own: it shares nothing with
the plugin. Stricter than the library need be: no conversions, arrays must fit the dimensions when they are assigned.
The environment says how it behaves: STANDIN_SAYS is why it finds a configuration not valid, STANDIN_COPIES makes it
hand out destinations as copies, STANDIN_LACKS names a field it does not have.
"""

import copy
import os
from types import SimpleNamespace

__version__ = "0.0.standin"


class Bool:
    def __init__(self, default=False):
        self.default = default

    def check(self, value, owner):
        if type(value) is not bool:
            raise TypeError(f"expected a bool, got {type(value).__name__}")


class Int:
    def __init__(self, low, high, default=0):
        self.allowed, self.default = range(low, high + 1), default

    def check(self, value, owner):
        if type(value) is not int:
            raise TypeError(f"expected an int, got {type(value).__name__}")
        if value not in self.allowed:
            raise ValueError(f"{value} is not in {self.allowed}")


class OneOf(Int):
    def __init__(self, *allowed):
        self.allowed, self.default = allowed, allowed[0]


class Part:
    """An object within an object: its fields are assigned, it is not replaced."""

    def __init__(self, make):
        self.make = make

    def check(self, value, owner):
        raise TypeError("is assigned field by field")


class Array:
    """Nested lists; size(owner) is the shape that the dimensions ask for."""

    def __init__(self, kind, size):
        self.kind, self.size = kind, size

    def check(self, value, owner):
        self.level(value, self.size(owner))

    def level(self, value, shape):
        if not shape:
            self.kind.check(value, None)
            return
        if type(value) is not list or len(value) != shape[0]:
            raise ValueError(f"expected a list of {shape[0]}")
        for item in value:
            self.level(item, shape[1:])


class Strict:
    """Takes the fields of its table and nothing else, and counts the assignments to each."""

    def __init__(self):
        values = {}
        for name, field in type(self).fields.items():
            if isinstance(field, Part):
                values[name] = field.make()
            elif not isinstance(field, Array):
                values[name] = field.default
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "assigned", [])
        for name, field in type(self).fields.items():
            if isinstance(field, Array):
                values[name] = filled(field.size(self), field.kind.default)

    def __getattr__(self, name):
        if name not in type(self).fields or name == os.environ.get("STANDIN_LACKS"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = self.values[name]
        return copy.deepcopy(value) if name == "destinations" and os.environ.get("STANDIN_COPIES") else value

    def __setattr__(self, name, value):
        if name not in type(self).fields:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        type(self).fields[name].check(value, self)
        self.values[name] = copy.deepcopy(value)
        self.assigned.append(name)

    def __deepcopy__(self, memo):
        other = type(self)()
        object.__setattr__(other, "values", copy.deepcopy(self.values, memo))
        return other

    def tree(self):
        return {name: plain(self.values[name]) for name in type(self).fields}

    def times(self):
        """How often each field was assigned, by its path."""
        out = {}
        for name, field in type(self).fields.items():
            if isinstance(field, Part):
                below = self.values[name]
                parts = (
                    {f"{name}[{k}]": part for k, part in enumerate(below)} if type(below) is tuple else {name: below}
                )
                for place, part in parts.items():
                    out.update({f"{place}.{path}": n for path, n in part.times().items()})
            else:
                out[name] = self.assigned.count(name)
        return out


def plain(value):
    if isinstance(value, Strict):
        return value.tree()
    return [plain(item) for item in value] if type(value) in (list, tuple) else value


def filled(shape, value):
    return [filled(shape[1:], value) for _ in range(shape[0])] if shape else value


def record(name, **fields):
    return type(name, (Strict,), {"fields": fields})


def xy(name, field):
    return record(name, x=field, y=field)


FLAG = Bool()
INT16 = Int(-32768, 32767)
WORD = Int(0, 65535)


def shape(name, size):
    return record(name, feature_count=Int(1, 1024, 1), size=Part(xy("Size", Int(1, size, 1))))


DIMENSIONS = record(
    "CnnLayerDimensions",
    input_shape=Part(shape("InputShape", 128)),
    output_shape=Part(shape("OutputShape", 64)),
    padding=Part(xy("Padding", Int(0, 7))),
    stride=Part(xy("Stride", OneOf(1, 2, 4, 8))),
    kernel_size=Int(1, 16, 1),
)


def weights_shape(layer):
    d = layer.dimensions
    return d.output_shape.feature_count, d.input_shape.feature_count, d.kernel_size, d.kernel_size


def biases_shape(layer):
    return (layer.dimensions.output_shape.feature_count,)


def neurons_shape(layer):
    out = layer.dimensions.output_shape
    return out.feature_count, out.size.x, out.size.y


DESTINATION = record(
    "CnnLayerDestination",
    enable=FLAG,
    layer=OneOf(*range(9), 12),
    pooling=OneOf(1, 2, 4),
    feature_shift=Int(0, 1023),
)
CNN_LAYER = {
    "dimensions": Part(DIMENSIONS),
    "weights": Array(Int(-128, 127), weights_shape),
    "biases": Array(INT16, biases_shape),
    "leak_enable": FLAG,
    "leak_internal_slow_clk_enable": FLAG,
    "threshold_high": INT16,
    "threshold_low": INT16,
    "return_to_zero": FLAG,
    "neurons_initial_value": Array(INT16, neurons_shape),
    "monitor_enable": FLAG,
    "destinations": Part(lambda: (DESTINATION(), DESTINATION())),
}
NEWER = {
    "input_congestion_balancer_enable": FLAG,
    "output_decimator_enable": FLAG,
    "output_decimator_interval": Int(0, 7),
}
KILL = {
    "weights_kill_bit": Array(FLAG, weights_shape),
    "biases_kill_bit": Array(FLAG, biases_shape),
    "neurons_value_kill_bit": Array(FLAG, neurons_shape),
}
DVS_DESTINATION = record("DvsLayerDestination", enable=FLAG, layer=Int(0, 8))
# defaults that are not the plugin's, so that a field that nobody assigns shows
DVS_LAYER = record(
    "DvsLayerConfig",
    merge=FLAG,
    on_channel=Bool(True),
    off_channel=Bool(True),
    pooling=Part(xy("Pooling", OneOf(1, 2, 4))),
    origin=Part(xy("Origin", Int(0, 127))),
    cut=Part(xy("Cut", Int(0, 127))),
    mirror=Part(xy("Mirror", Bool(True))),
    mirror_diagonal=FLAG,
    pass_sensor_events=Bool(True),
    monitor_enable=FLAG,
    raw_monitor_enable=FLAG,
    destinations=Part(lambda: (DVS_DESTINATION(), DVS_DESTINATION())),
)
DVS_FILTER = record(
    "DvsFilterConfig",
    enable=FLAG,
    filter_size=Part(xy("FilterSize", Int(0, 15, 3))),
    threshold=WORD,
    hot_pixel_filter_enable=FLAG,
    low_pass_mode_enable=FLAG,
    internal_slow_clk=FLAG,
)
READOUT = record(
    "ReadoutConfig",
    enable=FLAG,
    readout_configuration_sel=Int(0, 3),
    output_mode_sel=Int(0, 3),
    threshold=WORD,
    low_pass_filter_disable=FLAG,
    low_pass_filter32_not16=FLAG,
    override_threshold_max=FLAG,
    output_neuron_num=Int(0, 15),
    internal_slow_clk=FLAG,
    monitor_enable=FLAG,
    readout_pin_monitor_enable=FLAG,
)
FACTORY = record("FactoryConfig", internal_slow_clk_divider=Int(14, 17, 15), io_sel=Int(0, 31, 7), fast_output=Bool())


def configuration(name, *, readout=True, **more):
    layer = record("CnnLayerConfig", **CNN_LAYER, **more)
    blocks = {"dvs_layer": Part(DVS_LAYER), "dvs_filter": Part(DVS_FILTER), "factory_config": Part(FACTORY)}
    if readout:
        blocks["readout"] = Part(READOUT)
    return record(name, cnn_layers=Part(lambda: tuple(layer() for _ in range(9))), **blocks)


def validate_configuration(config):
    said = os.environ.get("STANDIN_SAYS", "")
    return not said, said


def module(cls):
    return SimpleNamespace(
        configuration=SimpleNamespace(**{cls.__name__: cls}), validate_configuration=validate_configuration
    )


speck2e = module(configuration("SpeckConfiguration", **NEWER))
speck2f = module(configuration("SpeckConfiguration", **NEWER))
speck2b = module(configuration("SpeckConfiguration", readout=False, **KILL))
dynapcnn = module(configuration("DynapcnnConfiguration", **KILL))
