"""What a plugin brings to its trial: vectors written and read back, and everything wrong with them said."""

import json
import types

import numpy as np
import pytest

import hal
from hal.errors import FormatError, PluginError
from hal.events import EVENT, events
from hal.evidence import Evidence, evidence, read_vectors, write_vector
from hal.hookspecs import hookimpl
from hal.semantics import Semantics
from hal.testing import registered


@pytest.fixture
def about():
    """The fields of a small vector of the NIR paper's demonstration."""
    return {
        "semantics": Semantics(profile="norse", dt_ns=1_000_000),
        "source": "made up",
        "stimulus": {"input": events([0, 3_000_000], [0, 0])},
        "duration_ns": 10_000_000,
        "spikes": {"output": events([1_000_000], [0])},
    }


@pytest.fixture
def model(golden):
    """A small NIR file."""
    return golden / "loihi" / "lif_norse.nir"


@pytest.fixture
def golden(request):
    return request.config.rootpath / "tests" / "golden"


def test_a_vector_reads_back_as_it_was_written(tmp_path, model, about):
    written = write_vector(tmp_path / "made", "one", model, **about, options={"a": 1}, window_ns=7)
    (read,) = read_vectors(tmp_path / "made")
    for vector in (written, read):
        assert (vector.name, vector.source, vector.duration_ns, vector.window_ns) == ("one", "made up", 10_000_000, 7)
        assert vector.options == {"a": 1}
        assert vector.open_options == {}
        assert vector.model.semantics == about["semantics"]
        assert vector.model.fingerprint == hal.read_model(model, about["semantics"]).fingerprint
        for kind in ("stimulus", "spikes"):
            assert list(getattr(vector, kind)) == list(about[kind])
            for key, records in about[kind].items():
                np.testing.assert_array_equal(getattr(vector, kind)[key], records)
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["one.nir", "one.npz"]


def test_vectors_come_in_the_order_of_their_names(tmp_path, model, about):
    for name in ("b", "a", "c"):
        write_vector(tmp_path, name, model, **about)
    assert [vector.name for vector in read_vectors(tmp_path)] == ["a", "b", "c"]
    assert read_vectors(tmp_path / "nowhere") == ()


def test_fields_missing_and_unknown_are_all_named(tmp_path, model, about):
    del about["source"], about["spikes"]
    with pytest.raises(FormatError) as caught:
        write_vector(tmp_path / "made", "one", model, **about, tolerance=3)
    assert {problem.where for problem in caught.value.problems} == {"source", "spikes", "tolerance"}
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"stimulus": {"elsewhere": events([0], [0])}}, "stimulus/elsewhere"),
        ({"spikes": {"elsewhere": events([0], [0])}}, "spikes/elsewhere"),
        ({"spikes": {}}, "spikes"),
    ],
)
def test_names_that_the_model_lacks_are_refused(tmp_path, model, about, change, where):
    with pytest.raises(FormatError) as caught:
        write_vector(tmp_path, "one", model, **(about | change))
    assert where in [problem.where for problem in caught.value.problems]
    assert not list(tmp_path.iterdir())


def test_records_of_another_form_are_refused(tmp_path, model, about):
    write_vector(tmp_path, "one", model, **about)
    with np.load(tmp_path / "one.npz") as data:
        arrays = dict(data)
    arrays["spikes/output"] = np.zeros(3)
    np.savez(tmp_path / "one.npz", **arrays)
    with pytest.raises(FormatError, match="not event records"):
        read_vectors(tmp_path)


@pytest.mark.parametrize("content", [b"no archive", None, json.dumps({"format": "other"})])
def test_files_that_are_no_vectors_are_refused(tmp_path, content):
    path = tmp_path / "one.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **({} if content is None else {"meta": np.array(content)}))
    with pytest.raises(FormatError, match=r"one\.npz is no vector"):
        read_vectors(tmp_path)


def plugin(answer):
    """A module whose device says `answer` about itself."""
    from hal_ideal import plugin as ideal

    module = types.ModuleType("hal_says")
    for name in ("HAL_PLUGIN_API", "hal_devices", "hal_mapper", "hal_open"):
        setattr(module, name, getattr(ideal, name))

    @hookimpl
    def hal_conformance(spec):
        return answer

    module.hal_conformance = hal_conformance
    return module


@pytest.mark.parametrize("answer", [Evidence(agreement=0.999, why="too small"), None])
def test_a_plugin_is_asked_by_its_device(answer):
    with registered(plugin(answer), "ideal"):
        found = evidence("ideal@test")
    if answer is None:
        assert (found.vectors, found.why) == ((), "")
    else:
        assert found is answer


def test_a_plugin_without_the_hook_says_nothing():
    found = evidence("ideal")
    assert (found.vectors, found.agreement, found.limits, found.overload) == ((), None, (), None)


def test_another_answer_is_the_plugins_fault():
    with (
        registered(plugin({"vectors": []}), "ideal"),
        pytest.raises(PluginError, match="returned dict, not an Evidence"),
    ):
        evidence("ideal@test")


def test_vectors_hold_event_records(tmp_path, model, about):
    vector = write_vector(tmp_path, "one", model, **about)
    assert vector.spikes["output"].dtype == EVENT
