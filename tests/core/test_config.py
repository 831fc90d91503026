"""Config classes: one declaration gives the check, the JSON and the JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import hal
from hal import registry
from hal.config import MapOptions, array, build, check, from_json, json_schema, problems, setting, to_json, to_tree
from hal.errors import ConfigError, Problem


@attrs.frozen(kw_only=True)
class Core:
    """One core.

    More words that the schema leaves out.
    """

    threshold: int = setting(1, doc="fires at", unit="mV", minimum=-8, maximum=7, source="datasheet 3.1")
    weights: NDArray[np.int8] = array("int8", (2, None), doc="weights", factory=lambda: np.zeros((2, 0), np.int8))
    bound: NDArray[np.float32] = array(
        "float32", (None,), doc="bounds", infinite=True, factory=lambda: np.zeros(0, np.float32)
    )

    def rules(self) -> Iterator[Problem]:
        if self.weights.size and int(self.weights.max()) > self.threshold * 10:
            yield Problem("weights beyond ten thresholds", "weights", value=int(self.weights.max()))


@attrs.frozen(kw_only=True)
class Chip:
    name: str = setting(doc="which chip")
    cores: tuple[Core, ...] = setting((), doc="cores")
    speed: float = setting(1.0, doc="speed", minimum=0.0)
    mode: Literal["fast", "slow"] = setting("fast", doc="how")
    order: tuple[int, ...] | Literal["auto"] = setting("auto", doc="order", minimum=0, maximum=8)
    pair: tuple[int, float] = setting((1, 1.0), doc="two things", maximum=9)
    flag: bool = setting(False, doc="a flag")
    stride: int = setting(1, doc="step", choices=(1, 2, 4))
    limit: float | None = setting(None, doc="limit", minimum=1)
    fixed: Mapping[str, int] = setting(doc="node -> core", factory=dict, minimum=0)
    seen: frozenset[str] = setting(frozenset(), doc="words", converter=frozenset)
    nothing: None = setting(None, doc="no choice")

    def rules(self) -> Iterator[Problem]:
        if len(self.cores) > 3:
            yield Problem("three cores at most", "cores", value=len(self.cores), limit=3)


cores = st.builds(
    Core,
    threshold=st.integers(-8, 7),
    weights=st.integers(0, 3).flatmap(lambda n: hnp.arrays(np.int8, (2, n), elements=st.integers(-128, -80))),
    bound=hnp.arrays(np.float32, st.integers(0, 3), elements=st.floats(width=32, allow_nan=False)),
)
chips = st.builds(
    Chip,
    name=st.text(max_size=5),
    cores=st.lists(cores, max_size=3).map(tuple),
    speed=st.floats(0, 1e9),
    mode=st.sampled_from(["fast", "slow"]),
    order=st.just("auto") | st.lists(st.integers(0, 8), max_size=3).map(tuple),
    pair=st.tuples(st.integers(-5, 9), st.floats(-5, 9)),
    flag=st.booleans(),
    stride=st.sampled_from([1, 2, 4]),
    limit=st.none() | st.floats(1, 5),
    fixed=st.dictionaries(st.text(max_size=3), st.integers(0, 5), max_size=3),
    seen=st.frozensets(st.text(max_size=3), max_size=3),
)


# --- round trips -----------------------------------------------------------------------------------------------------


@given(chips)
def test_json_comes_back_equal(chip: Chip) -> None:
    assert problems(chip) == []
    back = from_json(Chip, json.loads(json.dumps(to_json(chip))))
    assert back == chip
    for one, other in zip(back.cores, chip.cores, strict=True):
        assert one.weights.dtype == other.weights.dtype == np.int8
        assert one.weights.shape == other.weights.shape


@given(chips)
def test_the_json_satisfies_the_schema(chip: Chip) -> None:
    assert valid(json.loads(json.dumps(to_json(chip))), json_schema(Chip)) == []


@given(chips)
def test_a_tree_keeps_arrays_and_comes_back_equal(chip: Chip) -> None:
    tree = to_tree(chip)
    assert all(isinstance(core["weights"], np.ndarray) for core in tree["cores"])
    assert from_json(Chip, tree) == chip


@given(chips)
def test_json_is_json_for_others_too(chip: Chip) -> None:
    json.dumps(to_json(chip), allow_nan=False)


@pytest.mark.parametrize("listing", hal.devices(), ids=lambda listing: listing.name)
@pytest.mark.parametrize("which", ["map_options", "open_options"])
def test_options_of_installed_devices_round_trip(listing: Any, which: str) -> None:
    cls = getattr(registry.spec(listing.name), which)
    made = cls()
    data = json.loads(json.dumps(to_json(made)))
    assert from_json(cls, data) == made
    assert valid(data, json_schema(cls)) == []


@pytest.mark.parametrize("listing", hal.devices(), ids=lambda listing: listing.name)
def test_every_field_of_installed_devices_is_documented(listing: Any) -> None:
    spec = registry.spec(listing.name)

    def undocumented(schema: Any, path: str) -> Iterator[str]:
        for name, field in schema.get("properties", {}).items():
            if "description" not in field:
                yield f"{path}.{name}"
            if "const" in field.get("properties", {}).get("dtype", {}):
                continue  # an array: its parts are the same for all
            yield from undocumented(field, f"{path}.{name}")
            yield from undocumented(field.get("items", {}), f"{path}.{name}[]")

    for cls in (spec.map_options, spec.open_options, spec.config):
        assert list(undocumented(json_schema(cls), cls.__name__)) == []


def valid(value: Any, schema: Mapping[str, Any], path: str = "$") -> list[str]:
    """What a JSON Schema with the words used here says against a value."""
    if "anyOf" in schema:
        tries = [valid(value, option, path) for option in schema["anyOf"]]
        return [] if [] in tries else [f"{path}: none of anyOf"]
    faults = []
    kinds = {
        "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
        "null": type(None),
    }  # fmt: skip
    kind = schema.get("type")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind and (not isinstance(value, kinds[kind]) or (kind in ("integer", "number") and not number)):
        return [f"{path}: {value!r} is no {kind}"]
    if "const" in schema and value != schema["const"]:
        faults.append(f"{path}: {value!r} is not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        faults.append(f"{path}: {value!r} is none of {schema['enum']}")
    if number and (value < schema.get("minimum", value) or value > schema.get("maximum", value)):
        faults.append(f"{path}: {value!r} out of range")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        other = schema.get("additionalProperties", True)
        faults += [f"{path}: {name} is missing" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            if name in known:
                faults += valid(item, known[name], f"{path}.{name}")
            elif isinstance(other, dict):
                faults += valid(item, other, f"{path}.{name}")
            elif not other:
                faults.append(f"{path}: unknown {name}")
    if isinstance(value, list):
        first = schema.get("prefixItems", [])
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            faults.append(f"{path}: {len(value)} items")
        for i, item in enumerate(value):
            faults += valid(item, first[i] if i < len(first) else schema.get("items", {}), f"{path}[{i}]")
    return faults


# --- what is no JSON of it -------------------------------------------------------------------------------------------

BROKEN = {
    "float for int": {"name": "x", "stride": 2.0},
    "fraction for int": {"name": "x", "order": [1.5]},
    "text for int": {"name": "x", "stride": "2"},
    "text for bool": {"name": "x", "flag": "false"},
    "int for bool": {"name": "x", "flag": 1},
    "text for float": {"name": "x", "speed": "1.5"},
    "bool for float": {"name": "x", "speed": True},
    "int for str": {"name": 5},
    "null for str": {"name": None},
    "missing": {},
    "unknown key": {"name": "x", "speeed": 2.0},
    "unknown nested key": {"name": "x", "cores": [{"treshold": 1}]},
    "unknown word": {"name": "x", "mode": "medium"},
    "out of range": {"name": "x", "speed": -1.0},
    "nested out of range": {"name": "x", "cores": [{"threshold": 8}]},
    "pair too long": {"name": "x", "pair": [1, 1.0, 2]},
    "no choice": {"name": "x", "nothing": 5},
    "array out of range": {"name": "x", "cores": [{"weights": {"dtype": "int8", "shape": [2, 1], "data": [1, 300]}}]},
    "text for list": {"name": "x", "seen": "abc"},
    "text for tuple": {"name": "x", "cores": ""},
    "list for mapping": {"name": "x", "fixed": [["a", 1]]},
    "number for list": {"name": "x", "seen": 5},
    "not an object": [1],
    "text": "x",
    "null": None,
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_json_is_a_config_error_and_breaks_the_schema(what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_json(Chip, BROKEN[what])
    assert caught.value.problems
    assert valid(BROKEN[what], json_schema(Chip)) != []


@pytest.mark.parametrize(
    "data",
    [
        {"dtype": "int8", "shape": [3, 3], "data": [1]},
        {"dtype": "int8", "data": [1]},
        {"dtype": "nonsense", "shape": [1], "data": [1]},
        {"dtype": "object", "shape": [2, 1], "data": [1, {}]},
        {"dtype": "int8", "shape": [2, 2], "data": ["a", "b", "c", "d"]},
        [[1], [2, 3]],
        "abc",
        None,
    ],
)
def test_broken_arrays_in_json_are_config_errors(data: Any) -> None:
    with pytest.raises(ConfigError):
        from_json(Core, {"weights": data})


def test_every_problem_of_a_json_at_once_with_its_path() -> None:
    data = {"name": "x", "speed": -1.0, "stride": 3, "cores": [{}, {"threshold": 8}]}
    with pytest.raises(ConfigError) as caught:
        from_json(Chip, data)
    assert {p.where for p in caught.value.problems} == {"speed", "stride", "cores[1].threshold"}


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_a_number_that_is_no_json_is_refused_where_nothing_allows_it(text: str) -> None:
    (problem,) = problems(Chip(name="x", speed=float(text)))
    assert problem.where == "speed"


# --- checking fields -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "where", "limit"),
    [
        ({"speed": -0.5}, "speed", "0.."),
        ({"speed": "fast"}, "speed", "float"),
        ({"speed": True}, "speed", "float"),
        ({"stride": 3}, "stride", "one of [1, 2, 4]"),
        ({"stride": True}, "stride", "int"),
        ({"stride": 1.0}, "stride", "int"),
        ({"mode": "medium"}, "mode", "one of ['fast', 'slow']"),
        ({"mode": np.array([1, 2])}, "mode", "one of ['fast', 'slow']"),
        ({"order": (1, 9)}, "order[1]", "0..8"),
        ({"order": np.array([1, 2])}, "order", None),
        ({"order": "automatic"}, "order", None),
        ({"pair": (1, 10.0)}, "pair[1]", "..9"),
        ({"pair": (1,)}, "pair", 2),
        ({"pair": 1}, "pair", None),
        ({"flag": 1}, "flag", "bool"),
        ({"limit": 0.5}, "limit", "1.."),
        ({"fixed": {"a": -1}}, "fixed['a']", "0.."),
        ({"fixed": [1]}, "fixed", None),
        ({"seen": {1}}, "seen[0]", "str"),
        ({"name": 5}, "name", "str"),
        ({"cores": (Core(threshold=9),)}, "cores[0].threshold", "-8..7 mV"),
        ({"cores": (1,)}, "cores[0]", "Core"),
        ({"cores": [Core()]}, "cores", None),
        ({"nothing": 1}, "nothing", None),
    ],
)
def test_a_field_out_of_its_declaration(fields: dict[str, Any], where: str, limit: Any) -> None:
    (problem,) = problems(Chip(**({"name": "x"} | fields)))
    assert problem.where == where
    if limit is not None:
        assert problem.limit == limit


@pytest.mark.parametrize("value", [np.int64(2), np.uint8(4)])
def test_numpy_integers_are_integers(value: Any) -> None:
    assert problems(Chip(name="x", stride=value)) == []
    assert type(to_json(Chip(name="x", stride=value))["stride"]) is int


def test_unknown_words_come_with_advice() -> None:
    (problem,) = problems(Chip(name="x", mode="slwo"))  # type: ignore[arg-type]
    assert problem.hint == "did you mean 'slow'?"


def test_all_fields_are_reported_at_once_and_rules_only_on_good_ones() -> None:
    bad = Chip(name=5, speed=-1, cores=(Core(threshold=9), Core(), Core(), Core()))  # type: ignore[arg-type]
    assert [p.where for p in problems(bad)] == ["name", "cores[0].threshold", "speed"]
    assert [p.where for p in problems(Chip(name="x", cores=(Core(),) * 4))] == ["cores"]


def test_rules_of_nested_classes_have_the_whole_path() -> None:
    chip = Chip(name="x", cores=(Core(), Core(weights=[[100], [100]])))
    (problem,) = problems(chip)
    assert problem.where == "cores[1].weights"


def test_check_returns_the_config_or_raises_with_everything() -> None:
    chip = Chip(name="x")
    assert check(chip) is chip
    with pytest.raises(ConfigError, match="the registers") as caught:
        check(Chip(name="x", speed=-1, stride=3), "the registers")
    assert len(caught.value.problems) == 2


# --- arrays ----------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Arrays:
    i8: NDArray[np.int8] = array("int8", (None,), doc="-", maximum=100, factory=lambda: np.zeros(0, np.int8))
    u32: NDArray[np.uint32] = array("uint32", (None,), doc="-", factory=lambda: np.zeros(0, np.uint32))
    i64: NDArray[np.int64] = array("int64", (None,), doc="-", factory=lambda: np.zeros(0, np.int64))
    f32: NDArray[np.float32] = array("float32", doc="-", factory=lambda: np.zeros(0, np.float32))
    flags: NDArray[np.bool_] = array("bool", (None,), doc="-", factory=lambda: np.zeros(0, np.bool_))


@pytest.mark.parametrize(
    ("field", "value", "index"),
    [
        ("i8", [1, 101], 1),
        ("i8", [128], 0),
        ("i8", [0.5], 0),
        ("i8", [np.nan], 0),
        ("i8", [np.inf], 0),
        ("u32", [0, -1], 1),
        ("u32", np.array([-1], np.int32), 0),
        ("i64", np.array([2**63], np.uint64), 0),
        ("f32", [np.nan], 0),
        ("f32", [-np.inf], 0),
        ("flags", [0, 2], 1),
        ("flags", [0.5], 0),
        ("flags", [np.nan], 0),
    ],
)
def test_an_element_out_of_range_is_named(field: str, value: Any, index: int) -> None:
    (problem,) = problems(Arrays(**{field: value}))
    assert problem.where == f"{field}[{index}]"


def test_several_elements_are_counted() -> None:
    (problem,) = problems(Arrays(i8=[1, 200, 300, -200]))
    assert problem.what.startswith("3 elements")
    assert (problem.where, problem.value) == ("i8[1]", 200)


@pytest.mark.parametrize("value", [["a"], [None], [1j], np.zeros(1, "M8[ns]")])
def test_other_dtypes_are_refused(value: Any) -> None:
    (problem,) = problems(Arrays(i8=value))
    assert problem.what == "wrong dtype"


def test_a_wrong_shape_is_named() -> None:
    (problem,) = problems(Arrays(i8=[[1]]))
    assert (problem.what, problem.value, problem.limit) == ("wrong shape", (1, 1), (None,))


def test_a_scalar_is_no_array_of_one() -> None:
    (problem,) = problems(Arrays(i8=5))  # type: ignore[arg-type]
    assert problem.what == "wrong shape"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [("i8", [1.0, 2.0], [1, 2]), ("flags", [0, 1], [False, True]), ("u32", [2**32 - 1], [2**32 - 1]), ("i8", [], [])],
)
def test_what_loses_nothing_is_converted(field: str, value: Any, expected: Any) -> None:
    made = getattr(Arrays(**{field: value}), field)
    assert made.tolist() == expected
    assert made.dtype.name == {"i8": "int8", "u32": "uint32", "flags": "bool"}[field]


def test_arrays_are_copied_and_read_only() -> None:
    mine = np.array([1, 2], np.int8)
    made = Arrays(i8=mine)
    mine[0] = 7
    assert made.i8.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        made.i8[0] = 3


@given(
    st.sampled_from(["int8", "uint8", "int16", "uint32", "int64", "uint64", "bool"]),
    st.sampled_from(["i8", "u32", "i64", "flags"]),
    st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=4),
)
def test_no_value_changes_without_a_problem(dtype: str, field: str, values: list[int]) -> None:
    info = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    given_values = np.array([min(max(v, int(info[0])), int(info[1])) for v in values], dtype)
    made = Arrays(**{field: given_values})
    if not problems(made):
        assert [int(v) for v in getattr(made, field)] == [int(v) for v in given_values]


def test_65536_entries_are_checked_fast(benchmark: Any) -> None:
    config = Arrays(i8=np.arange(65536) % 100)
    found = benchmark.pedantic(problems, (config,), rounds=3)
    assert found == []


# --- keywords --------------------------------------------------------------------------------------------------------


def test_build_reports_unknown_missing_and_bad_together() -> None:
    with pytest.raises(ConfigError) as caught:
        build(Chip, {"speeed": 1.0, "stride": 3, "flag": 1}, "options")
    assert {p.where for p in caught.value.problems} == {"speeed", "name", "stride", "flag"}
    hints = {p.where: p.hint for p in caught.value.problems}
    assert hints["speeed"] == "did you mean 'speed'?"


def test_build_reports_what_a_converter_refuses() -> None:
    with pytest.raises(ConfigError) as caught:
        build(Chip, {"name": "x", "seen": 5, "zzz": 1}, "options")
    assert len(caught.value.problems) == 2


def test_build_refuses_keys_that_are_no_text() -> None:
    with pytest.raises(ConfigError):
        build(Chip, {"name": "x", 5: 1}, "options")  # type: ignore[dict-item]


@attrs.frozen(kw_only=True)
class Board:
    core: Core = setting(doc="a core", factory=Core)
    spare: Core | None = setting(None, doc="another")


def test_build_takes_keywords_of_fields_that_are_config_classes() -> None:
    made = build(Board, {"core": {"threshold": 3}, "spare": {"threshold": -1}}, "a board")
    assert (made.core.threshold, made.spare and made.spare.threshold) == (3, -1)
    assert build(Board, {"spare": Core(threshold=2)}, "a board").spare == Core(threshold=2)
    assert build(Board, {"spare": None}, "a board").spare is None
    with pytest.raises(ConfigError) as error:
        build(Board, {"core": {"threshold": 99}, "spare": {"treshold": 1}, "nothing": 1}, "a board")
    assert [p.where for p in error.value.problems] == ["nothing", "core.threshold", "spare.treshold"]
    assert "did you mean 'threshold'" in error.value.problems[2].hint
    with pytest.raises(ConfigError, match=r"core: wrong type \(value 5"):
        build(Board, {"core": 5}, "a board")


def test_build_makes_what_is_right() -> None:
    assert build(Chip, {"name": "x", "stride": 2}, "options") == Chip(name="x", stride=2)


# --- schema ----------------------------------------------------------------------------------------------------------


def test_the_schema_says_what_the_fields_say() -> None:
    schema = json_schema(Chip)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (schema["title"], schema["required"], schema["additionalProperties"]) == ("Chip", ["name"], False)
    fields = schema["properties"]
    assert fields["mode"] == {"description": "how", "enum": ["fast", "slow"]}
    assert fields["stride"] == {"description": "step", "type": "integer", "enum": [1, 2, 4]}
    assert fields["limit"]["anyOf"] == [{"type": "number", "minimum": 1}, {"type": "null"}]
    assert fields["order"]["anyOf"][0]["items"] == {"type": "integer", "minimum": 0, "maximum": 8}
    assert fields["pair"]["minItems"] == fields["pair"]["maxItems"] == 2
    assert fields["nothing"]["type"] == "null"
    core = fields["cores"]["items"]
    assert core["description"] == "One core."
    assert core["properties"]["threshold"] == {
        "description": "fires at", "unit": "mV", "source": "datasheet 3.1", "type": "integer", "minimum": -8,
        "maximum": 7,
    }  # fmt: skip
    weights = core["properties"]["weights"]["properties"]
    assert weights["dtype"] == {"const": "int8"}
    assert weights["data"]["items"]["type"] == "integer"


# --- map options -----------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class LeakOptions(MapOptions):
    """Understands one word."""

    approximations: ClassVar[tuple[str, ...]] = ("leak", "reset")


@pytest.mark.parametrize("given", ["leak", ["leak"], {"leak"}, ("leak",), frozenset(["leak"])])
def test_words_to_approximate_may_be_given_in_any_collection_or_alone(given: Any) -> None:
    made = LeakOptions(approximate=given)
    assert made.approximate == {"leak"}
    assert problems(made) == []


def test_a_word_nobody_understands_is_refused_with_advice() -> None:
    (problem,) = problems(LeakOptions(approximate={"leek", "reset"}))
    assert (problem.value, problem.hint) == ("leek", "did you mean 'leak'?")
    assert [p.value for p in problems(MapOptions(approximate={"leak"}))] == ["leak"]


def test_all_installed_mappers_refuse_unknown_words(net: Any) -> None:
    for listing in hal.devices():
        with pytest.raises(ConfigError, match="leeek"):
            hal.mapper(listing.name).check(net.relay(), {"approximate": {"leeek"}})
