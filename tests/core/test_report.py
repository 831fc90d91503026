"""Reports of recordings: their numbers, their size, what a browser makes of them, and pieces for notebooks."""

import base64
import json
import re
import shutil
import subprocess
import sys
import zlib

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hal
from hal.report import blocks, gather, html, load
from hal.store.manifest import INTERVAL, RunHeader

EVIL = "</script><img src=x onerror=alert(1)>&\x07"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def made(spikes, duration_ns=1_000_000, shapes=None, **more):
    """A recording of given events, without any chip."""
    events = {name: hal.events(t, index) for name, (t, index) in spikes.items()}
    cores = more.pop("cores", 1)
    header = RunHeader(
        device=more.pop("device", "toy"),
        kind="emulator",
        nodes=shapes or dict.fromkeys(spikes, (4,)),
        duration_ns=duration_ns,
        cores=cores,
        step_ns=more.pop("step_ns", None),
        stimulus=more.pop("stimulus", {}),
    )
    return hal.Recording(header=header, spikes=events, **more)


def numbers_of(page):
    text = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', page).group(1)
    return json.loads(text)


def blocks_of(page):
    return json.loads(re.search(r'<script type="application/json" id="blocks">(.*?)</script>', page).group(1))


def unpacked(block):
    types = {"u1": "<u1", "u2": "<u2", "u4": "<u4", "f4": "<f4", "f8": "<f8"}
    return np.frombuffer(zlib.decompress(base64.b64decode(block["data"])), types[block["type"]])


@pytest.fixture
def run(net):
    """A relay on Speck, recorded."""
    model = net.relay(4)
    mapping = hal.mapper("speck2f").map(model, record=["cells"])
    t = np.arange(0, 60_000, 1000)
    with hal.open("speck2f") as chip:
        chip.load(mapping)
        return chip.run({"input": hal.events(t, t // 1000 % 3)}, 100_000)


# --- numbers --------------------------------------------------------------------------------------------------------


def test_the_numbers_in_the_page_are_the_recordings(run):
    page = hal.report(run)
    numbers = numbers_of(page)
    assert numbers["events"] == run.event_count() > 0
    assert numbers["duration_ns"] == run.duration_ns
    for node in run.shapes:
        assert numbers["nodes"][node]["events"] == run.event_count(node)
        assert numbers["nodes"][node]["counts"] == run.counts(node).tolist()
        assert f'<span data-node="{node}">{run.event_count(node):,}</span>' in page
    assert numbers["stats"] == {name: per_core.tolist() for name, per_core in run.stats.items()}
    assert numbers["stimulus"]["input"] == 60
    assert numbers["nodes"]["cells"]["silent"] == int((run.counts("cells") == 0).sum())
    assert f"<b>{int(run.stats['synops'].sum()):,}</b>synaptic operations" in page
    assert "<svg" in page
    assert "core 0: cells" in page


def test_a_recording_on_disk_keeps_its_mapping_and_makes_the_same_page(run, tmp_path):
    saved = run.save(tmp_path / "rec")
    assert saved.mapping.placement.nodes == run.mapping.placement.nodes
    assert np.array_equal(saved.mapping.placement.rows, run.mapping.placement.rows)
    mine, theirs = hal.report(run), hal.report(hal.read_recording(tmp_path / "rec"))
    assert theirs == mine.replace("in memory", "rec")
    again = saved.save(tmp_path / "again")
    assert (tmp_path / "again" / "mapping.zip").read_bytes() == (tmp_path / "rec" / "mapping.zip").read_bytes()
    assert hal.report(again) == mine.replace("in memory", "again")


def test_a_mapping_that_cannot_be_written_ends_the_recording_with_an_error_and_events_are_safe(
    run, tmp_path, monkeypatch
):
    def refuse(mapping, path, *, packed=True):
        raise hal.errors.WriteError("cannot write mapping.zip: no space left", file=str(path))

    monkeypatch.setattr("hal.store.mappings.write", refuse)
    with pytest.raises(hal.errors.WriteError, match="no space left") as caught:
        run.save(tmp_path / "rec")
    kept = hal.read_recording(tmp_path / "rec")
    assert caught.value.data["events_safe"] == run.event_count() == kept.event_count()
    assert kept.mapping is None
    assert kept.status == "interrupted"


def test_without_a_mapping_the_page_says_so(run, tmp_path):
    bare = attrs.evolve(run, header=attrs.evolve(run.header, mapping=None))
    page = hal.report(bare)
    assert "the recording kept no mapping" in page
    assert "<svg" not in page
    assert hal.report(bare, run.mapping) == hal.report(run)
    bare.save(tmp_path / "bare")
    assert not (tmp_path / "bare" / "mapping.zip").exists()
    run.save(tmp_path / "torn")
    (tmp_path / "torn" / "mapping.zip").write_bytes(b"PK nothing")
    torn = hal.report(hal.read_recording(tmp_path / "torn"))
    assert "the mapping kept with the recording cannot be read" in torn
    assert numbers_of(torn)["events"] == run.event_count()


def test_a_report_is_of_one_recording(run):
    with pytest.raises(hal.ConfigError, match="one Recording"):
        hal.report(str(run))


def test_losses_and_findings_are_told(net):
    model = net.chain(
        net.input("input", 2),
        net.linear("fc", [[1, 0.001], [0.5, 1]]),
        net.spiking("cells", 2),
        net.output("output", 2),
    )
    mapping = hal.mapper("speck2f").map(model)
    with hal.open("speck2f") as chip:
        chip.load(mapping)
        page = hal.report(chip.run({}, 1000))
    assert len(mapping.losses)
    assert numbers_of(page)["losses"]["rows"] == len(mapping.losses)
    assert numbers_of(page)["losses"]["groups"] == [list(line) for line in mapping.losses.summary()]
    assert mapping.losses.summary()[0][2] in page


def test_names_cannot_break_out_of_the_page():
    recording = made({EVIL: ([5], [1])}, diagnostics=(hal.Finding(level="note", node=EVIL, field="x", reason=EVIL),))
    page = hal.report(recording)
    assert "<img" not in page
    assert EVIL in numbers_of(page)["nodes"]
    assert "\x07" not in page


def test_nothing_is_loaded_from_anywhere(run):
    page = hal.report(run)
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {"data:,"}
    assert set(re.findall(r"https?://[^\"' ]*", page)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page


# --- size -----------------------------------------------------------------------------------------------------------


def test_ten_million_events_are_counted_in_bins_and_lose_none():
    n, end = 10_000_000, 10**9
    rng = np.random.default_rng(0)
    t = rng.integers(0, end, n)
    index = rng.integers(0, 5000, n).astype(np.uint32)
    spikes = np.empty(n, hal.EVENT)
    spikes["t"], spikes["index"] = t, index
    header = RunHeader(device="toy", kind="emulator", nodes={"n": (5000,)}, duration_ns=end)
    page = hal.report(hal.Recording(header=header, spikes={"n": spikes}))
    assert len(page) < 4_000_000
    (panel,) = blocks_of(page)["panels"]
    assert unpacked(panel["counts"]).sum() == n
    assert numbers_of(page)["events"] == n
    assert "counts" not in numbers_of(page)["nodes"]["n"]


def test_few_events_stand_one_by_one():
    page = hal.report(made({"n": ([7, 3, 3], [1, 2, 0])}))
    (panel,) = blocks_of(page)["panels"]
    assert np.cumsum(unpacked(panel["t"])).tolist() == [3, 3, 7]
    assert unpacked(panel["index"]).tolist() == [2, 0, 1]


def test_many_nodes_share_the_budget(monkeypatch):
    monkeypatch.setattr(gather, "EXACT_IN_ALL", 250)
    monkeypatch.setattr(gather, "EXACT_EVENTS", 150)
    t = np.arange(100)
    every = gather.rasters(made({f"n{k}": (t, t % 4) for k in range(4)}), None)
    assert [raster.t is not None for raster in every] == [True, True, False, False]
    assert all((100 if r.t is not None else r.counts.sum()) == 100 for r in every)
    (big,) = gather.rasters(made({"n": (np.arange(200), np.zeros(200, np.int64))}), None)
    assert big.counts.sum() == 200


def test_a_run_of_nothing_has_a_page():
    for duration_ns in (0, 1):
        page = hal.report(made({"n": ([], [])}, duration_ns=duration_ns))
        assert numbers_of(page)["events"] == 0
    assert 'id="range"' in page


@given(
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 36)), max_size=60),
    st.integers(1, 4000),
    st.sampled_from([None, 1, 10, 100]),
)
def test_bins_hold_every_event_where_it_belongs(events, cells, step_ns):
    t, index = np.array([e[0] for e in events], np.int64), np.array([e[1] for e in events], np.int64)
    train = gather.Train(name="n", shape=(37,), events=hal.events(t, index), stimulus=False)
    raster = gather.raster(train, 1000, cells=cells, step_ns=step_ns)
    columns, rows = raster.counts.shape
    assert raster.counts.sum() == len(events)
    assert columns * rows <= max(cells, 1)
    assert step_ns is None or raster.bin_ns % step_ns == 0
    for when, where in events:
        assert raster.counts[when // raster.bin_ns, where * rows // 37] > 0


@given(st.lists(st.integers(0, 2**40), max_size=40))
def test_blocks_come_back(values):
    array = np.sort(np.array(values, np.int64))
    packed = blocks.times(array)
    assert np.cumsum(unpacked(packed)).astype(np.int64).tolist() == array.tolist()
    assert packed["length"] == len(values)


# --- signals, load --------------------------------------------------------------------------------------------------


def test_long_signals_keep_their_extremes():
    values = np.zeros((100_000, 20))
    values[77_777, 3], values[5, 4] = 9.0, -7.0
    values[:, 0] = np.linspace(0, 100, 100_000)
    traces = {("n", "v"): hal.Signal(np.arange(100_000) * 10, values)}
    (curves,) = gather.curves(made({}, traces=traces))
    assert {0, 3, 4} <= set(curves.channels)
    assert len(curves.channels) == gather.CHANNELS
    assert len(curves.t) == len(curves.values) == gather.SAMPLES // 2
    assert curves.values.max() == 100
    assert curves.values[:, curves.channels.index(3)].max() == 9
    assert curves.values[:, curves.channels.index(4)].min() == -7
    page = hal.report(made({}, traces=traces))
    assert "drawn: 12 of 20" in page
    assert len(page) < 400_000


def test_a_last_state_is_drawn_by_index_and_holes_do_no_harm():
    traces = {
        ("n", "v"): hal.Signal([999], [[1.0, -2.0, 3.0]]),
        ("n", "w"): hal.Signal([0, 1, 2], [[1.0], [np.nan], [np.inf]]),
        ("n", "empty"): hal.Signal(np.empty(0, np.int64), np.empty((0, 2))),
    }
    page = hal.report(made({}, traces=traces))
    last, holes = blocks_of(page)["panels"]
    assert last["timeless"] is True
    assert unpacked(last["values"]).tolist() == [1, -2, 3]
    assert np.isnan(unpacked(holes["values"])[1])


def test_a_cores_course_adds_up_to_its_counter(run):
    (lane,) = load.lanes(run, run.mapping)
    assert lane.core == 0
    assert lane.nodes == ("cells",)
    assert lane.synops == run.stats["synops"][0] > 0
    assert lane.course.sum() == pytest.approx(lane.synops)
    # nothing goes in during the last 40 us of 100
    assert lane.course[int(0.62 * len(lane.course)) :].sum() == 0
    (blind,) = load.lanes(run, None)
    assert blind.course is None
    assert load.lanes(made({}, stats={"synops": np.zeros(1, np.int64)}), None) == []


def test_connections_weigh_events(net):
    model = net.chain(
        net.input("input", 2),
        net.linear("fc", [[1, 0], [1, 0], [1, 1]]),
        net.spiking("cells", 3),
        net.output("output", 3),
    )
    mapping = hal.mapper("speck2f").map(model)
    with hal.open("speck2f") as chip:
        chip.load(mapping)
        run = chip.run({"input": hal.events([0, 90_000], [0, 1])}, 100_000)
    (lane,) = load.lanes(run, mapping)
    first, last = lane.course[: len(lane.course) // 2].sum(), lane.course[len(lane.course) // 2 :].sum()
    assert first == pytest.approx(3 * last)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9_000), st.integers(0, 900)), min_size=1, max_size=200))
def test_intervals_put_together_cover_what_they_were(drawn):
    rows = np.array([("stall", core, t0, t0 + length) for core, t0, length in drawn], INTERVAL)
    recording = made({}, duration_ns=10_000, intervals=rows, cores=2)
    limit = load.MOST_INTERVALS
    load.MOST_INTERVALS = 20
    try:
        kept = load.stretches(recording)
    finally:
        load.MOST_INTERVALS = limit
    assert len(kept) <= 2 * 20 + 2
    for core in (0, 1):
        own = [s for s in kept if s.core == core]
        held, shown = np.zeros(10_001, bool), np.zeros(10_001, bool)
        for _, _, t0, t1 in rows[rows["core"] == core].tolist():
            held[t0:t1] = True
        for s in own:
            shown[s.t0 : s.t1] = True
        assert not (held & ~shown).any()
        if len(rows) > 20:
            assert sum(s.share * (s.t1 - s.t0) for s in own) <= held.sum() + 1e-6


def test_stalls_are_shown():
    rows = np.array([("stall", 0, 100, 200), ("stall", -1, 300, 400)], INTERVAL)
    stats = {"synops": np.array([50]), "stalled_ns": np.array([200])}
    page = hal.report(made({"n": ([1], [1])}, intervals=rows, stats=stats, status="untrusted"))
    assert blocks_of(page)["panels"][-1]["intervals"] == [["stall", 0, 100, 200, 1.0], ["stall", -1, 300, 400, 1.0]]
    assert "2 of stall" in page
    assert 'class="status untrusted"' in page
    assert "<b>200 ns</b>stalled" in page


# --- notebooks ------------------------------------------------------------------------------------------------------


def test_notebooks_show_reports_mappings_and_recordings(run, net, tmp_path):
    fits = run.mapping.fit._repr_html_()
    assert ">fits<" in fits
    assert "kernel memory" in fits
    wide = hal.mapper("speck2f").check(net.chain(net.input("i", 2), net.neuron(hal_lif(), "l", 2), net.output("o", 2)))
    refused = wide._repr_html_()
    assert ">does not fit<" in refused
    assert all(html.text(str(problem)) in refused for problem in wide.problems())
    mapping = run.mapping._repr_html_()
    assert "<svg" in mapping
    assert "core 0: cells" in mapping
    recording = run._repr_html_()
    assert f"<b>{run.event_count()}</b>events recorded" in recording
    saved = run.save(tmp_path / "rec")
    for piece in (fits, refused, mapping, recording, saved._repr_html_()):
        assert "<script" not in piece
        assert piece.startswith('<div class="hal">')


def hal_lif():
    from hal import nodes

    return nodes.LIF


def test_a_large_recording_is_not_read_to_be_shown(run, tmp_path, monkeypatch):
    from hal.report import notebook

    saved = run.save(tmp_path / "rec")
    for file in (tmp_path / "rec" / "spikes").iterdir():
        file.write_bytes(b"")
    monkeypatch.setattr(notebook, "READ", 10)
    large = attrs.evolve(saved)
    assert f"{run.event_count('cells')}</td>" in large._repr_html_()


def test_tables_are_cut_and_say_so():
    made_of = html.table(("a",), [(k,) for k in range(html.MAX_ROWS + 5)])
    assert "and 5 more rows" in made_of
    assert made_of.count("<tr>") == html.MAX_ROWS + 1
    assert "and 5 more" in html.items(range(html.MAX_ROWS + 5))


def test_a_page_needs_neither_matplotlib_nor_rich(run, tmp_path):
    run.save(tmp_path / "rec")
    code = (
        "import sys, hal; hal.report(hal.read_recording(sys.argv[1]));"
        "print([m for m in ('matplotlib', 'rich', 'typer') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "rec")], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


# --- in a browser ---------------------------------------------------------------------------------------------------


@pytest.fixture
def browse(tmp_path):
    """Opens a page in headless Chromium: its elements when all is drawn, and what the console said."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")

    def open_page(page, script=""):
        file = tmp_path / "page.html"
        file.write_text(page.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
        arguments = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                     f"--user-data-dir={tmp_path / 'browser'}", "--enable-logging=stderr", "--window-size=1100,900",
                     "--virtual-time-budget=20000", "--dump-dom")  # fmt: skip
        done = subprocess.run(
            [found, *arguments, file.as_uri()], capture_output=True, text=True, encoding="utf-8", timeout=110
        )
        said = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return done.stdout, said

    return open_page


DRAG = """
const settled = setInterval(() => {
  if (!document.body.dataset.drawn) return;
  clearInterval(settled);
  const before = document.getElementById("range").textContent;
  const canvas = document.querySelector("canvas");
  canvas.setPointerCapture = () => {};
  const box = canvas.getBoundingClientRect();
  const send = (type, part) => canvas.dispatchEvent(new PointerEvent(type, {
    clientX: box.left + 56 + (box.width - 64) * part, clientY: box.top + 30, bubbles: true, pointerId: 1 }));
  send("pointerdown", 0.25); send("pointermove", 0.5); send("pointerup", 0.5);
  const dragged = document.getElementById("range").textContent;
  document.getElementById("all").click();
  const whole = document.getElementById("range").textContent;
  Object.assign(document.body.dataset, { before, dragged, whole });
}, 20);
"""


def test_a_browser_draws_every_event_and_says_no_error(browse, run):
    dom, said = browse(hal.report(run), DRAG)
    assert said == []
    assert numbers_of(dom)["events"] == run.event_count()
    # rasters of input, cells and output, and the load
    assert 'data-drawn="4"' in dom
    assert f'data-events="{run.event_count() + 60}"' in dom
    assert f">{run.event_count('cells')}</span>" in dom
    before, dragged, whole = (
        re.search(rf'data-{name}="([^"]*)"', dom).group(1) for name in ("before", "dragged", "whole")
    )
    assert before == whole == "0 µs – 100 µs"
    low, high = (float(word) for word in re.findall(r"[0-9.]+", dragged))
    assert (low, high) == (pytest.approx(25, abs=0.5), pytest.approx(50, abs=0.5))


def test_a_browser_takes_bins_signals_stalls_and_hostile_names(browse):
    n = 50_000
    t = np.sort(np.random.default_rng(1).integers(0, 10**6, n))
    rows = np.array([("stall", 0, 100, 200)], INTERVAL)
    traces = {
        ("n", "v"): hal.Signal(np.arange(0, 10**6, 100), np.random.default_rng(2).random((10_000, 3))),
        ("n", "w"): hal.Signal([999_999], [[1.0, np.nan, 3.0]]),
        ("n", "x"): hal.Signal([5], [[np.nan]]),
    }
    stats = {"synops": np.array([50])}
    page = hal.report(
        made({EVIL: (t, t % 4), "few": ([1], [0])}, traces=traces, intervals=rows, stats=stats)
    )  # fmt: skip
    dom, said = browse(page)
    assert said == []
    assert 'data-drawn="6"' in dom
    assert f'data-events="{n + 1}"' in dom


def test_a_browser_tells_of_errors_when_there_are_some(browse, run):
    """That the other tests would fail on an error."""
    _, said = browse(hal.report(run), "null.nothing")
    assert any("TypeError" in line for line in said)
    _, said = browse(hal.report(run).replace("</h1>", '</h1><img src="http://127.0.0.1:9/x.png">'))
    assert any("Content Security Policy" in line for line in said)
