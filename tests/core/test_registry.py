"""The registry against plugins good and bad, made as real distributions on sys.path."""

import json
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import types
from importlib import metadata

import attrs
import pluggy
import pytest

import hal
from hal import hookspecs, registry
from hal.errors import CapabilityError, ConfigError, OptionalDependencyError, PluginError
from hal.testing import registered

BODY = """
import attrs
from hal.config import OpenOptions, Profile, setting
from hal.device import Clock, Device, DeviceSpec
from hal.hookspecs import hookimpl
from hal.mapper import Mapper, Plan

HAL_PLUGIN_API = "1.0"

@attrs.frozen(kw_only=True)
class Options(OpenOptions):
    noise: float = setting(0.0, doc="noise", minimum=0, maximum=1)
    overflow: str = setting("stall", doc="what overload does", choices=("stall", "drop"))

class Chip(Device):
    def _load(self, mapping): ...
    def _run(self, stimulus, duration_ns, recorder): ...
    def _reset(self, mode): ...

class Allocator(Mapper):
    def _plan(self, model, options, record, like, seed, rates_hz):
        return Plan()

def spec(name, **more):
    more = {"family": FAMILY, "summary": name, "clock": Clock(kind="event"), "config": object} | more
    return DeviceSpec(name=name, open_options=Options, profile=Profile, **more)

@hookimpl
def hal_devices():
    return tuple(spec(name) for name in NAMES)

@hookimpl
def hal_mapper(spec, profile):
    return Allocator(spec, profile)

@hookimpl
def hal_open(spec, kind, serial, profile, seed, options):
    return Chip(spec, kind=kind, serial=serial, profile=profile, seed=seed, options=options)
"""


def source(family, *names, more=""):
    """A good plugin's text, then `more`, which may spoil it."""
    return f"FAMILY = {family!r}\nNAMES = {names!r}\n{BODY}\n{textwrap.dedent(more)}"


def plant(site, distribution, *, version="1.0", families=(), devices=(), modules=(), described=True):
    """Put a distribution on disk: families and devices are (name, module) pairs, modules (name, text) pairs."""
    folder = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    if described:
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    groups = [("hal.plugins", families), ("hal.devices", devices)]
    text = "\n".join(
        f"[{group}]\n" + "\n".join(f"{name} = {module}" for name, module in rows) for group, rows in groups
    )
    (folder / "entry_points.txt").write_text(text + "\n")
    for name, body in modules:
        (site / f"{name}.py").write_text(body)


def plant_family(site, family, *names, distribution="", more="", version="1.0"):
    """The usual case: one distribution, one family, its devices."""
    module = (
        f"{family}_of_{distribution.lower().translate(str.maketrans('-.', '__'))}"
        if distribution
        else f"{family}_plugin"
    )
    plant(
        site,
        distribution or f"{family}-dist",
        version=version,
        families=[(family, module)],
        devices=[(name, module) for name in names],
        modules=[(module, source(family, *names, more=more))],
    )
    return module


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of distributions on sys.path; what is installed besides is blocked."""
    for variable in ("HAL_PLUGINS_ONLY", "HAL_PLUGINS_STRICT", "HAL_TRACE"):
        monkeypatch.delenv(variable, raising=False)
    before = registry.use(None)
    installed = ",".join(f"{record.family}@{record.distribution}" for record in registry.records())
    monkeypatch.setenv("HAL_PLUGINS_BLOCK", installed)
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = set(sys.modules)
    registry.refresh()
    yield tmp_path
    registry.use(before)
    for name in set(sys.modules) - loaded:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def records(site):
    """Records by family@distribution of what the test planted."""

    def read(load=True):
        found = registry.records(load=load)
        return {f"{r.family}@{r.distribution}": r for r in found if (site / f"{r.entry}.py").exists()}

    return read


# --- nine plugins in one environment --------------------------------------------------------------------------------

MISSPELT = """
@hookimpl
def hal_opne(spec): ...
"""
RAISING = """
@hookimpl
def hal_open(spec, kind):
    raise ZeroDivisionError("no volts")
"""
NINE = {
    "good": ("", "loaded", ""),
    "vendor": ("import a_vendor_package_nobody_has", "broken", "ModuleNotFoundError: No module named 'a_vendor_pack"),
    "quitter": ("raise SystemExit(3)", "broken", "SystemExit: 3"),
    "argument": ("@hookimpl\ndef hal_mapper(spec, colour): ...", "broken", "hal_mapper has an unknown argument 'colou"),
    "misspelt": (MISSPELT, "broken", "hal_opne is no hook; did you mean hal_open?"),
    "future": ("HAL_PLUGIN_API = '2.3'", "incompatible", "was written for plugin API 2.3, this core speaks 1.0"),
    "silent": ("del HAL_PLUGIN_API", "incompatible", "declares no HAL_PLUGIN_API; this core speaks 1.0"),
    "raises": (RAISING, "loaded", ""),
}

DRIVER = """
import json, hal
from hal import registry
out = {"listed": [d.name for d in hal.devices()], "answers": {}}
for name in ("good1", "raises1", "good1"):
    try:
        with hal.open(name) as chip:
            out["answers"][name] = type(hal.mapper(name)).__name__ + " " + chip.state
    except hal.PluginError as error:
        out["answers"][name] = str(error)
out["records"] = [
    [r.family, r.distribution, r.state, r.error, r.traceback, r.load_ms] for r in registry.records(load=True)
]
with hal.open("good1") as chip:
    out["after"] = chip.state
print(json.dumps(out))
"""


def run_python(code, *folders, **variables):
    """Run code in a child process with folders first on its path."""
    path = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path} | variables
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("backwards", [False, True], ids=["a-z", "z-a"])
def test_nine_plugins_each_judged_alone(tmp_path, backwards):
    families = sorted(NINE, reverse=backwards)
    if backwards:
        plant_family(tmp_path, "good", "good9", distribution="zz-second")
    for family in families:
        plant_family(tmp_path, family, f"{family}1", more=NINE[family][0])
    if not backwards:
        plant_family(tmp_path, "good", "good9", distribution="zz-second")
    done = run_python(DRIVER, tmp_path)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert {f"{family}1" for family in NINE} | {"good9"} <= set(out["listed"])
    assert out["answers"]["good1"] == "Allocator open"
    assert (
        "hal_open() of plugin 'raises' of raises-dist 1.0 raised ZeroDivisionError: no vo" in out["answers"]["raises1"]
    )
    assert out["after"] == "open"
    found = {distribution: rest for _, distribution, *rest in out["records"]}
    for family, (_, state, error) in NINE.items():
        got_state, got_error, trace, load_ms = found[f"{family}-dist"]
        assert (family, got_state) == (family, state)
        assert got_error.startswith(error)
        assert bool(got_error) == (state != "loaded")
        assert load_ms > 0
        assert ("Traceback" in trace) == (family in ("vendor", "quitter"))
    state, error, _, load_ms = found["zz-second"]
    assert (state, load_ms) == ("duplicate", None)
    assert "good-dist 1.0" in error
    assert "zz-second 1.0" in error


# --- finding and loading --------------------------------------------------------------------------------------------


def test_listing_comes_from_metadata_and_opening_imports_only_the_owner(site, records):
    one, two = plant_family(site, "alpha", "a2", "a1", version="2.5"), plant_family(site, "beta", "b1")
    registry.refresh()
    mine = [device for device in hal.devices() if device.distribution in ("alpha-dist", "beta-dist")]
    assert [attrs.astuple(device) for device in mine] == [
        ("a1", "alpha", "alpha-dist", "2.5"),
        ("a2", "alpha", "alpha-dist", "2.5"),
        ("b1", "beta", "beta-dist", "1.0"),
    ]
    assert {record.state for record in records(load=False).values()} == {"found"}
    assert one not in sys.modules
    with hal.open("a1") as chip:
        assert chip.spec.name == "a1"
    assert one in sys.modules
    assert two not in sys.modules
    assert [record.state for record in records(load=False).values()] == ["loaded", "found"]
    assert records(load=False)["alpha@alpha-dist"].load_ms > 0


def test_entry_points_are_read_once_until_refresh(site, monkeypatch):
    groups = []
    real = metadata.entry_points
    monkeypatch.setattr(metadata, "entry_points", lambda **key: groups.append(key["group"]) or real(**key))
    hal.devices()
    hal.devices()
    registry.records()
    assert sorted(groups) == ["hal.devices", "hal.plugins"]
    plant_family(site, "late", "late1")
    assert "late1" not in {device.name for device in hal.devices()}
    registry.refresh()
    assert "late1" in {device.name for device in hal.devices()}


def test_record_is_written_before_the_import(site, records):
    plant_family(site, "inner", "in1", more="from hal import registry\nSEEN = registry.records()")
    registry.refresh()
    assert records()["inner@inner-dist"].state == "loaded"
    seen = {record.family: record for record in sys.modules["inner_plugin"].SEEN}["inner"]
    assert (seen.state, seen.error) == ("broken", "its import was begun and has not come back")


INTERRUPT = "import builtins\nif not hasattr(builtins, 'AGAIN'): raise KeyboardInterrupt"
IN_HOOK = "@hookimpl\ndef hal_devices():\n" + textwrap.indent(f"{INTERRUPT}\nreturn [spec('slow1')]", "    ")


@pytest.mark.parametrize("more", [INTERRUPT, IN_HOOK], ids=["import", "hal_devices"])
def test_ctrl_c_while_loading_is_no_verdict(site, records, more):
    plant_family(site, "slow", "slow1", more=more)
    registry.refresh()
    with pytest.raises(KeyboardInterrupt):
        hal.open("slow1")
    record = records(load=False)["slow@slow-dist"]
    assert (record.state, record.error) == ("found", "its import was interrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.AGAIN", True, raising=False)
        hal.open("slow1").close()
    assert records(load=False)["slow@slow-dist"].state == "loaded"


def test_refresh_gives_a_repaired_plugin_another_chance(site, records):
    module = plant_family(site, "fixable", "fix1", more="import a_vendor_package_nobody_has")
    registry.refresh()
    with pytest.raises(PluginError, match="a_vendor_package_nobody_has"):
        hal.open("fix1")
    (site / f"{module}.py").write_text(source("fixable", "fix1"))
    registry.refresh()
    assert hal.open("fix1").spec.name == "fix1"
    assert records()["fixable@fixable-dist"].error == ""


def test_a_plugin_that_pluggy_refuses_leaves_no_hook_behind(site, monkeypatch):
    plant_family(site, "half", "half1", more="@hookimpl\ndef hal_open(spec, colour): ...")
    registry.refresh()
    # our own check would refuse it before pluggy sees it
    monkeypatch.setattr(hookspecs, "hook_problems", lambda plugin, manager: [])
    with pytest.raises(PluginError, match="PluginValidationError"):
        hal.open("half1")
    now = registry.current()
    (plugin,) = [plugin for plugin in now.plugins if plugin.record.family == "half"]
    assert [hook for hook in hookspecs.HOOKS if now.loader.implementation(plugin, hook)] == []


def test_one_module_for_two_families_is_broken_and_named(site, records):
    text = source("twin1", "twin1a")
    plant(
        site,
        "twins",
        families=[("twin1", "twins"), ("twin2", "twins")],
        devices=[("twin1a", "twins")],
        modules=[("twins", text)],
    )
    registry.refresh()
    found = records()
    assert found["twin1@twins"].state == "loaded"
    assert found["twin2@twins"].state == "broken"
    assert "already registered" in found["twin2@twins"].error


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (
            "@hookimpl\ndef hal_devices(): raise KeyError('x')",
            "hal_devices() of plugin 'bad' of bad-dist 1.0 raised KeyError: 'x'",
        ),
        ("@hookimpl\ndef hal_devices(): return None", "hal_devices() returned None, not a sequence of DeviceSpec"),
        ("@hookimpl\ndef hal_devices(): return ['bad1']", "hal_devices() returned ['bad1'], not a sequence"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise KeyError", "KeyError"),
        ("def (", "SyntaxError: "),
    ],
)
def test_broken_plugins_say_why(site, records, more, reason):
    plant_family(site, "bad", "bad1", more=more)
    plant_family(site, "well", "well1")
    registry.refresh()
    record = records()["bad@bad-dist"]
    assert record.state == "broken"
    assert record.error.startswith(reason)
    with pytest.raises(PluginError) as caught:
        hal.open("bad1")
    assert str(caught.value).startswith(
        f"the device 'bad1' belongs to plugin 'bad' of bad-dist 1.0, which is broken: {reason}"
    )
    assert caught.value.data["distribution"] == "bad-dist"
    assert pickle.loads(pickle.dumps(caught.value)).data == caught.value.data
    hal.open("well1").close()


@pytest.mark.parametrize("name", ["sh1", "sh"], ids=["name", "alias"])
def test_threads_wait_for_a_plugin_that_another_one_is_loading(site, name):
    more = "import time; time.sleep(0.1)\n@hookimpl\ndef hal_devices(): return [spec('sh1', aliases=('sh',))]"
    plant_family(site, "shared", "sh1", more=more)
    registry.refresh()
    opened, start = [], threading.Barrier(8)

    def work():
        start.wait()
        opened.append(registry.spec(name))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 8
    assert len({id(spec) for spec in opened}) == 1


def test_a_distribution_without_metadata_is_still_listed(site):
    plant(
        site,
        "bare",
        families=[("bare", "bare_p")],
        devices=[("bare1", "bare_p")],
        modules=[("bare_p", source("bare", "bare1"))],
        described=False,
    )
    registry.refresh()
    (listing,) = [device for device in hal.devices() if device.name == "bare1"]
    assert listing.family == "bare"
    assert hal.open("bare1").spec.name == "bare1"


# --- environment ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "blocked"),
    [
        ("HAL_PLUGINS_BLOCK", "one", {"one@one-dist"}),
        ("HAL_PLUGINS_BLOCK", " one , three,", {"one@one-dist", "three@three-dist"}),
        ("HAL_PLUGINS_BLOCK", "two@two-dist", {"two@two-dist"}),
        ("HAL_PLUGINS_ONLY", "one", {"two@two-dist", "three@three-dist"}),
        ("HAL_PLUGINS_ONLY", "one,three@three-dist", {"two@two-dist"}),
        ("HAL_PLUGINS_ONLY", "", set()),
    ],
)
def test_only_and_block(site, records, monkeypatch, variable, value, blocked):
    for family in ("one", "two", "three"):
        plant_family(site, family, f"{family}1")
    monkeypatch.setenv(variable, value)
    registry.refresh()
    found = records()
    assert {key for key, record in found.items() if record.state == "blocked"} == blocked
    assert {record.state for key, record in found.items() if key not in blocked} == {"loaded"}
    listed = {device.family for device in hal.devices()}
    for key in blocked:
        family = key.partition("@")[0]
        assert variable in found[key].error
        assert family not in listed
        assert f"{family}_plugin" not in sys.modules
        with pytest.raises(PluginError, match=f"which is blocked: {variable}"):
            hal.open(f"{family}1")


@pytest.mark.parametrize("more", ["1 / 0", "HAL_PLUGIN_API = '9.0'", "del hal_open"])
def test_strict_raises(site, monkeypatch, more):
    plant_family(site, "bad", "bad1", more=more)
    registry.refresh()
    monkeypatch.setenv("HAL_PLUGINS_STRICT", "1")
    with pytest.raises(PluginError, match=r"plugin 'bad' of bad-dist 1\.0 is") as caught:
        registry.records(load=True)
    assert caught.value.__cause__ is not None
    monkeypatch.setenv("HAL_PLUGINS_STRICT", "0")
    registry.refresh()
    registry.records(load=True)


def test_trace_logs_loads_and_calls_into_standard_logging(site, monkeypatch, caplog):
    plant_family(site, "seen", "seen1", more="@hookimpl\ndef hal_mapper(spec): raise ValueError")
    registry.refresh()
    with caplog.at_level("DEBUG"):
        hal.open("seen1")
        assert not [entry for entry in caplog.records if entry.name == "hal.plugins"]
        registry.refresh()
        monkeypatch.setenv("HAL_TRACE", "1")
        hal.open("seen1")
        with pytest.raises(PluginError):
            hal.mapper("seen1")
    logged = [entry for entry in caplog.records if entry.name == "hal.plugins"]
    assert {entry.levelname for entry in logged} == {"DEBUG"}
    calls = [(entry.hook, entry.outcome) for entry in logged if entry.msg == "hook_called"]
    assert calls == [("hal_devices", "returned"), ("hal_open", "returned"), ("hal_mapper", "raised")]
    (load,) = [entry for entry in logged if entry.msg == "plugin_loaded"]
    assert (load.family, load.distribution, load.state) == ("seen", "seen-dist", "loaded")


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_device_name_of_two_plugins_is_refused_and_both_are_named(site):
    one = plant_family(site, "left", "both1", "left1")
    two = plant_family(site, "right", "both1", "right1", distribution="Right.Dist_x")
    registry.refresh()
    with pytest.raises(PluginError) as caught:
        hal.open("both1")
    assert "left-dist 1.0" in str(caught.value)
    assert "Right.Dist_x 1.0" in str(caught.value)
    assert one not in sys.modules
    assert two not in sys.modules
    assert hal.open("both1@left-dist").spec.family == "left"
    assert hal.open("both1@right-dist-x").spec.family == "right"
    assert hal.open("left1").spec.family == "left"
    assert hal.open("right1").spec.family == "right"


def test_blocking_one_claimant_frees_the_name(site, monkeypatch):
    plant_family(site, "left", "both1")
    plant_family(site, "right", "both1")
    monkeypatch.setenv("HAL_PLUGINS_BLOCK", "left")
    registry.refresh()
    assert hal.open("both1").spec.family == "right"


def test_the_second_plugin_of_a_family_is_loaded_only_by_distribution(site, records):
    plant_family(site, "fam", "fam1", distribution="aa")
    plant_family(site, "fam", "fam2", distribution="bb")
    registry.refresh()
    assert hal.open("fam1").spec.name == "fam1"
    with pytest.raises(PluginError, match=r"is duplicate: .*aa 1\.0 .*bb 1\.0") as caught:
        hal.open("fam2")
    assert "fam2@bb" in caught.value.hint
    assert hal.open("fam2@bb").spec.name == "fam2"
    assert records()["fam@aa"].state == "loaded"


def test_alias_loads_all_plugins_but_a_listed_name_does_not(site):
    plant_family(site, "al", "al1", more="@hookimpl\ndef hal_devices(): return [spec('al1', aliases=('ally', 'pal'))]")
    other = plant_family(site, "other", "other1")
    registry.refresh()
    assert registry.spec("al1").name == "al1"
    assert other not in sys.modules
    assert registry.spec("pal").name == "al1"
    assert registry.spec("ally@al-dist").name == "al1"
    assert other in sys.modules
    with pytest.raises(PluginError):
        registry.spec("ally@other-dist")


def test_an_alias_of_two_plugins_is_refused(site):
    for family in ("al", "be"):
        more = f"@hookimpl\ndef hal_devices(): return [spec('{family}1', aliases=('pal',))]"
        plant_family(site, family, f"{family}1", more=more)
    registry.refresh()
    with pytest.raises(PluginError, match=r"'pal' is claimed by al-dist \(al1\) and by be-dist \(be1\)"):
        hal.open("pal")
    assert hal.open("pal@be-dist").spec.name == "be1"


def test_unknown_name_lists_near_names_devices_and_plugins_that_could_not_be_asked(site):
    plant_family(site, "chips", "chip1f", "chip1e")
    plant_family(site, "broken", "broken1", more="import a_vendor_package_nobody_has")
    registry.refresh()
    with pytest.raises(PluginError) as caught:
        hal.open("chip1g")
    text = str(caught.value)
    assert "there is no device 'chip1g'" in text
    assert "did you mean chip1" in text
    assert {"chip1f", "chip1e"} <= set(caught.value.data["near"])
    assert {"broken1", "chip1e", "chip1f"} <= set(caught.value.data["devices"])
    assert "plugin 'broken' of broken-dist 1.0: broken and could not be asked: ModuleNotFoundError" in text


@pytest.mark.parametrize("call", [hal.open, hal.mapper, registry.spec])
def test_a_name_is_a_text(call):
    with pytest.raises(ConfigError, match="named by a text, not NoneType"):
        call(None)


def test_an_empty_registry_says_so(site, monkeypatch):
    monkeypatch.setattr(metadata, "entry_points", lambda **_: metadata.EntryPoints())
    registry.refresh()
    assert hal.devices() == ()
    with pytest.raises(PluginError, match="devices: none; is a plugin installed"):
        hal.open("anything")


def test_a_device_that_no_plugin_owns(site):
    plant(
        site,
        "orphan",
        families=[("orph", "orph_p")],
        devices=[("orph1", "elsewhere")],
        modules=[("orph_p", source("orph", "orph1"))],
    )
    registry.refresh()
    (listing,) = [device for device in hal.devices() if device.name == "orph1"]
    assert listing.family == ""
    with pytest.raises(PluginError, match=r"orphan lists the device 'orph1' in hal\.devices, but none of its entries"):
        hal.open("orph1")


def test_a_device_newer_than_the_metadata_can_be_opened(site, records):
    plant_family(site, "dev", "dev1", more="NAMES = ('dev1', 'dev2')")
    registry.refresh()
    assert hal.open("dev2").spec.name == "dev2"
    assert registry.inconsistencies(records()["dev@dev-dist"]) == [
        "dev2 is given by hal_devices(), but not listed in hal.devices"
    ]


def test_metadata_and_plugin_are_compared(site, records):
    plant_family(site, "good", "good1", "good2")
    more = "@hookimpl\ndef hal_devices(): return [spec('odd2', aliases=('good1',)), spec('odd2', family='even')]"
    plant_family(site, "odd", "odd1", more=more)
    registry.refresh()
    assert registry.inconsistencies(records(load=False)["good@good-dist"]) == []
    found = registry.inconsistencies(records(load=False)["odd@odd-dist"])
    assert found == [
        "odd1 is listed in hal.devices, but hal_devices() does not give it",
        "odd2 is given by hal_devices(), but not listed in hal.devices",
        "odd2 is given more than once, as name or alias",
        "good1 is also a device of another plugin",
        "odd2 says it is of family 'even', its plugin is 'odd'",
    ]
    with pytest.raises(PluginError, match="does not give the device 'odd1' exactly once") as caught:
        hal.open("odd1")
    assert [problem.what for problem in caught.value.problems] == found


def test_inconsistencies_of_what_is_not_loaded_or_not_there(site, records):
    plant_family(site, "bad", "bad1", more="1 / 0")
    registry.refresh()
    record = records(load=False)["bad@bad-dist"]
    with pytest.raises(PluginError, match=r"plugin 'bad' of bad-dist 1\.0 is broken: ZeroDivisionError"):
        registry.inconsistencies(record)
    with pytest.raises(PluginError, match="is not in the registry"):
        registry.inconsistencies(attrs.evolve(record, family="gone"))


# --- opening --------------------------------------------------------------------------------------------------------


@pytest.fixture
def chip(site):
    """A plugin whose devices come as hardware too and have profiles."""
    more = """
    NAMES = ()
    @hookimpl
    def hal_devices():
        return [spec("c1", kinds=("emulator", "hardware"), capabilities={"profile"}), spec("c2")]
    """
    plant_family(site, "chip", "c1", "c2", more=more)
    registry.refresh()


def test_everything_arrives_at_the_plugin(chip):
    from hal.config import Profile

    profile = Profile(id="board 7")
    device = hal.open("c1", kind="hardware", serial="7", profile=profile, seed=5, noise=0.5)
    assert (device.kind, device.serial, device.profile, device.seed) == ("hardware", "7", profile, 5)
    assert (device.options.noise, device.options.overflow) == (0.5, "stall")
    assert hal.mapper("c1", profile=profile).profile is profile
    assert hal.open("c1").seed == 0


def test_a_kind_the_device_does_not_come_in(chip):
    with pytest.raises(CapabilityError, match="c2 cannot be opened as 'hardware'") as caught:
        hal.open("c2", kind="hardware")
    assert caught.value.data["kinds"] == ("emulator",)


def test_profiles_are_refused_where_not_declared(chip):
    from hal.config import Profile

    for call in (hal.open, hal.mapper):
        with pytest.raises(CapabilityError, match="c2 does not support profiles"):
            call("c2", profile=Profile(id="x"))
        with pytest.raises(ConfigError, match="profile: not a profile of this device"):
            call("c1", profile={"id": "x"})
        with pytest.raises(ConfigError, match=r"profile\.id: wrong type"):
            call("c1", profile=Profile(id=3))


def test_all_problems_of_an_open_at_once(chip):
    with pytest.raises(ConfigError) as caught:
        hal.open("c1", seed=-1, serial=7, noies=0.5, overflow="explode")
    text = str(caught.value)
    for part in (
        "noies: no such option",
        "did you mean 'noise'?",
        "overflow: unknown value",
        "seed: not a seed",
        "serial:",
    ):
        assert part in text
    assert "options of c1: noise, overflow" in text
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("seed", [-1, 1.0, "1", None, True])
def test_bad_seeds(chip, seed):
    with pytest.raises(ConfigError, match="seed: not a seed"):
        hal.open("c1", seed=seed)


def test_a_numpy_integer_is_a_seed(chip):
    import numpy as np

    assert type(hal.open("c1", seed=np.uint8(7)).seed) is int


@pytest.mark.parametrize(
    ("more", "call", "text"),
    [
        (
            "@hookimpl\ndef hal_open(spec): return None",
            hal.open,
            "hal_open() of plugin 'odd' of odd-dist 1.0 returned NoneType, not a Device",
        ),
        (
            "@hookimpl\ndef hal_mapper(): return 3",
            hal.mapper,
            "hal_mapper() of plugin 'odd' of odd-dist 1.0 returned int, not a Mapper",
        ),
        (
            "@hookimpl\ndef hal_open(): raise SystemExit(2)",
            hal.open,
            "hal_open() of plugin 'odd' of odd-dist 1.0 raised SystemExit: 2",
        ),
        (
            "@hookimpl\ndef hal_mapper(): return {}['k']",
            hal.mapper,
            "hal_mapper() of plugin 'odd' of odd-dist 1.0 raised KeyError: 'k'",
        ),
    ],
)
def test_hooks_that_misbehave_concern_their_plugin(site, more, call, text):
    plant_family(site, "odd", "odd1", more=more)
    plant_family(site, "well", "well1")
    registry.refresh()
    with pytest.raises(PluginError) as caught:
        call("odd1")
    assert str(caught.value).startswith(text)
    assert caught.value.data["family"] == "odd"
    call("well1")


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "OptionalDependencyError"])
def test_our_own_errors_and_ctrl_c_come_through(site, error):
    more = f"from hal.errors import OptionalDependencyError\n@hookimpl\ndef hal_open(): raise {error}('x')"
    plant_family(site, "odd", "odd1", more=more)
    registry.refresh()
    with pytest.raises(KeyboardInterrupt if error == "KeyboardInterrupt" else OptionalDependencyError):
        hal.open("odd1")


def test_optional_hooks(site):
    plant_family(site, "opt", "opt1", more="@hookimpl\ndef hal_export(to, spec): return (spec.name, to)")
    registry.refresh()
    assert registry.implements("opt1", "hal_export")
    assert not registry.implements("opt1", "hal_calibrate")
    assert registry.call("opt1", "hal_export", mapping=None, to="script") == ("opt1", "script")
    with pytest.raises(CapabilityError, match=r"plugin 'opt' of opt-dist 1\.0 has no hal_calibrate") as caught:
        registry.call("opt1", "hal_calibrate", options=None)
    assert caught.value.data["capability"] == "hal_calibrate"


def test_a_hook_name_that_does_not_exist(site):
    plant_family(site, "opt", "opt1")
    registry.refresh()
    for ask in (registry.implements, registry.call):
        with pytest.raises(ConfigError, match=r"hal_exprot is no hook.*hal_export"):
            ask("opt1", "hal_exprot")


def test_an_argument_with_a_default_gets_the_value_all_the_same(site):
    plant_family(
        site,
        "deft",
        "deft1",
        more="@hookimpl\ndef hal_open(spec, seed=0, *, kind): return Chip(spec, kind=kind, seed=seed)",
    )
    registry.refresh()
    assert hal.open("deft1", seed=9).seed == 9


# --- handshake and hooks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("core", "declared", "problem"),
    [
        ("1.0", "1.0", ""),
        ("1.9", "1.3", ""),
        ("1.10", "1.9", ""),
        ("1.9", "1.10", "was written for plugin API 1.10, this core speaks 1.9; update neurohal"),
        ("2.0", "1.9", "was written for plugin API 1.9, this core speaks 2.0; update the plugin"),
        ("1.0", "2.0", "was written for plugin API 2.0, this core speaks 1.0; update neurohal"),
        ("1.0", None, 'declares no HAL_PLUGIN_API; this core speaks 1.0: add HAL_PLUGIN_API = "1.0"'),
        ("1.0", 1.0, "HAL_PLUGIN_API is 1.0, not a text"),
        ("1.0", "1", "HAL_PLUGIN_API is '1', not a text"),
        ("1.0", "1.0.0", "HAL_PLUGIN_API is '1.0.0', not a text"),
    ],
)
def test_handshake(monkeypatch, core, declared, problem):
    monkeypatch.setattr(hookspecs, "API_VERSION", core)
    plugin = types.SimpleNamespace(HAL_PLUGIN_API=declared)
    found = hookspecs.api_problem(plugin)
    assert found.startswith(problem)
    assert bool(found) == bool(problem)


def complete(**more):
    """A namespace with the required hooks."""
    marked = hookspecs.hookimpl
    hooks = {
        "hal_devices": marked(lambda: ()),
        "hal_mapper": marked(lambda spec, profile: None),
        "hal_open": marked(lambda spec: None),
    }
    return types.SimpleNamespace(HAL_PLUGIN_API="1.0", **hooks | more)


@pytest.mark.parametrize(
    ("more", "problems"),
    [
        ({}, []),
        ({"hal_dynapse": types.ModuleType("hal_dynapse"), "helper": len, "_hal_private": 1}, []),
        ({"hal_future": hookspecs.hookimpl(lambda: None, optionalhook=True)}, []),
        ({"export": hookspecs.hookimpl(lambda spec: None, specname="hal_export")}, []),
        (
            {"hal_floorplna": hookspecs.hookimpl(lambda spec: None)},
            ["hal_floorplna is no hook; did you mean hal_floorplan?"],
        ),
        ({"hal_zzz": 3}, [f"hal_zzz is no hook; there are: {', '.join(hookspecs.HOOKS)}"]),
        ({"other": hookspecs.hookimpl(lambda: None)}, [f"other is no hook; there are: {', '.join(hookspecs.HOOKS)}"]),
        (
            {"export": hookspecs.hookimpl(lambda: None, specname="hal_exprot")},
            ["hal_exprot is no hook; did you mean hal_export?"],
        ),
        ({"hal_export": lambda spec: None}, ["hal_export is not marked with @hookimpl, so it would never be called"]),
        ({"hal_open": 3}, ["hal_open is not marked with @hookimpl, so it would never be called"]),
        (
            {"hal_open": hookspecs.hookimpl(lambda spce, colour, sede=1: None)},
            [
                "hal_open has an unknown argument 'spce'; did you mean spec?",
                "hal_open has an unknown argument 'colour'; there are: spec, kind, serial, profile, seed, options",
                "hal_open has an unknown argument 'sede'; did you mean seed?",
            ],
        ),
        (
            {"hal_devices": hookspecs.hookimpl(lambda x: ())},
            ["hal_devices has an unknown argument 'x'; there are: none"],
        ),
        (
            {"hal_open": hookspecs.hookimpl(lambda *rest, **more: None)},
            [
                "hal_open must name its arguments, passed by keyword; *rest is not that",
                "hal_open must name its arguments, passed by keyword; **more is not that",
            ],
        ),
    ],
)
def test_hook_problems(more, problems):
    found = hookspecs.hook_problems(complete(**more), pluggy.PluginManager("hal"))
    assert found == problems


def test_hook_wrappers_and_missing_hooks_are_refused():
    def around(spec):
        yield

    plugin = complete(hal_open=hookspecs.hookimpl(around, wrapper=True))
    (problem,) = hookspecs.hook_problems(plugin, pluggy.PluginManager("hal"))
    assert problem.startswith("hal_open is a hook wrapper")
    empty = types.SimpleNamespace()
    missing = hookspecs.hook_problems(empty, pluggy.PluginManager("hal"))
    assert missing == [f"{name} is missing; a plugin must implement it" for name in hookspecs.REQUIRED]


def test_every_hook_is_documented_with_since_and_is_not_to_be_called():
    assert len(hookspecs.HOOKS) == 8
    for name in hookspecs.HOOKS:
        hook = getattr(hookspecs, name)
        assert "Since 1." in hook.__doc__
        assert len(hook.__annotations__) == hook.__code__.co_argcount + 1
        with pytest.raises(NotImplementedError):
            hook(*[None] * hook.__code__.co_argcount)


# --- without installing ---------------------------------------------------------------------------------------------


def namespace(family, *names, more=""):
    """A plugin as a module object that no path leads to."""
    module = types.ModuleType(f"{family}_in_memory")
    exec(compile(source(family, *names, more=more), module.__name__, "exec"), module.__dict__)
    return module


def test_registered_lists_opens_and_restores(site):
    before = hal.devices()
    plugin = namespace("mem", "mem1")
    with registered(plugin, family="mem") as record:
        assert (record.state, record.distribution) == ("loaded", "test")
        assert record in registry.records()
        assert [d.name for d in hal.devices() if d.distribution == "test"] == ["mem1"]
        assert hal.open("mem1").spec.name == "mem1"
        assert hal.open("mem1@test").spec.name == "mem1"
        assert registry.inconsistencies(record) == []
    assert hal.devices() == before
    with pytest.raises(PluginError, match="there is no device 'mem1'"):
        hal.open("mem1")
    with registered(plugin, family="mem", distribution="again"):
        assert hal.open("mem1@again").spec.name == "mem1"


def test_registered_nests_and_restores_after_an_error(site):
    with registered(namespace("outer", "outer1"), family="outer"):

        def fails_inside():
            with registered(namespace("inner", "inner1"), family="inner"):
                assert hal.open("inner1").spec.family == "inner"
                assert hal.open("outer1").spec.family == "outer"
                raise RuntimeError("inside")

        with pytest.raises(RuntimeError, match="inside"):
            fails_inside()
        assert "inner1" not in {device.name for device in hal.devices()}
        assert hal.open("outer1").spec.family == "outer"


def test_registered_keeps_the_rule_about_names(site):
    plant_family(site, "inst", "inst1")
    registry.refresh()
    hal.open("inst1")
    with registered(namespace("inst", "inst1", "inst2"), family="inst"):
        with pytest.raises(PluginError, match=r"claimed by inst-dist 1\.0 and by test 0"):
            hal.open("inst1")
        assert hal.open("inst1@test").spec.name == "inst1"
        assert hal.open("inst2").spec.name == "inst2"
        assert hal.open("inst1@inst-dist").spec.name == "inst1"
    assert hal.open("inst1").spec.name == "inst1"


def test_registered_has_the_same_module_step_aside(site):
    module = plant_family(site, "inst", "inst1")
    registry.refresh()
    hal.open("inst1")
    with registered(sys.modules[module], family="inst") as record:
        assert record.state == "loaded"
        assert hal.open("inst1").spec.name == "inst1"
        assert [d.distribution for d in hal.devices() if d.name == "inst1"] == ["test"]
    assert [d.distribution for d in hal.devices() if d.name == "inst1"] == ["inst-dist"]
    assert hal.open("inst1").spec.name == "inst1"


def test_registered_takes_any_namespace_and_says_what_is_wrong(site):
    with registered(complete(), family="plain") as record:
        assert record.state == "loaded"
    with registered(types.SimpleNamespace(), family="plain") as record:
        assert record.state == "incompatible"
    with registered(complete(hal_opne=3), family="plain") as record:
        assert (record.state, record.error) == ("broken", "hal_opne is no hook; did you mean hal_open?")


# --- other versions of pluggy ---------------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize("wanted", ["pluggy==1.5.0", "pluggy"], ids=["oldest", "newest"])
def test_this_file_passes_with_other_versions_of_pluggy(tmp_path, wanted):
    """The version shadows the installed one on the path; it needs pip and an index."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), wanted]
    subprocess.run(pip, check=True, capture_output=True, timeout=300)
    version = run_python("import pluggy; print(pluggy.__file__, pluggy.__version__)", tmp_path)
    assert str(tmp_path) in version.stdout, version.stderr
    arguments = ["-q", "-p", "no:cacheprovider", "-m", "not full", __file__]
    done = run_python(f"import pytest; raise SystemExit(pytest.main({arguments!r}))", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
