// Draws rasters, curves and lanes of cores on canvases that share one axis of time. Nothing is loaded from anywhere.
"use strict";
(async () => {
  const data = JSON.parse(document.getElementById("blocks").textContent);
  const arrays = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array };
  const end = data.duration_ns;
  const left = 56, bottom = 20;
  let view = [0, end];
  const panels = [];
  const tip = document.querySelector(".tip");
  const range = document.getElementById("range");

  async function read(block) {
    const packed = Uint8Array.from(atob(block.data), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new arrays[block.type](await new Response(stream).arrayBuffer());
  }

  async function readTimes(block) {
    const steps = await read(block), t = new Float64Array(steps.length);
    let now = 0;
    for (let i = 0; i < t.length; i++) t[i] = now += steps[i];
    return t;
  }

  function time(ns, span) {
    const units = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];
    const [factor, unit] = units.find(([f]) => Math.max(span, 1) >= f) || units[3];
    return `${+(ns / factor).toPrecision(7)} ${unit}`;
  }

  function quantity(value, unit) {
    const [factor, prefix] = [[1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([f]) => Math.abs(value) >= f) || [1, ""];
    return `${+(value / factor).toPrecision(3)} ${prefix}${unit}`;
  }

  function ticks(low, high, most) {
    const rough = (high - low) / most || 1, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough), out = [];
    for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) out.push(+v.toPrecision(12));
    return out;
  }

  function first(sorted, value) {
    let low = 0, high = sorted.length;
    while (low < high) { const mid = (low + high) >> 1; if (sorted[mid] < value) low = mid + 1; else high = mid; }
    return low;
  }

  // --- a canvas with a plot area; kinds differ in how they draw inside it and in what they say about a point ---
  class Panel {
    constructor(canvas, spec) {
      Object.assign(this, { canvas, spec, y: null });
      panels.push(this);
      this.listen();
    }
    frame() {
      const scale = window.devicePixelRatio || 1, wide = this.canvas.clientWidth, high = this.spec.height;
      this.canvas.style.height = `${high}px`;
      this.canvas.width = Math.round(wide * scale);
      this.canvas.height = Math.round(high * scale);
      const g = this.canvas.getContext("2d");
      g.setTransform(scale, 0, 0, scale, 0, 0);
      g.font = "11px system-ui, sans-serif";
      this.w = wide - left - 8;
      this.h = high - bottom - 6;
      return g;
    }
    get x0() { return this.spec.timeless ? 0 : view[0]; }
    get x1() { return this.spec.timeless ? this.spec.width : view[1]; }
    px(t) { return left + ((t - this.x0) / (this.x1 - this.x0)) * this.w; }
    ns(px) { return this.x0 + ((px - left) / this.w) * (this.x1 - this.x0); }
    py(v) { const [a, b] = this.ys(); return 6 + (1 - (v - a) / (b - a || 1)) * this.h; }
    value(py) { const [a, b] = this.ys(); return a + (1 - (py - 6) / this.h) * (b - a); }
    ys() { return this.y || this.span; }
    draw() {
      const g = this.frame();
      g.save();
      g.beginPath();
      g.rect(left, 4, this.w, this.h + 3);
      g.clip();
      this.paint(g);
      g.restore();
      g.fillStyle = "#5b6672";
      g.strokeStyle = "#dfe4e9";
      const span = this.x1 - this.x0;
      for (const t of ticks(this.x0, this.x1, Math.max(2, this.w / 110))) {
        const x = this.px(t);
        g.beginPath(); g.moveTo(x, this.h + 6); g.lineTo(x, this.h + 10); g.stroke();
        const text = this.spec.timeless ? `${t}` : time(t, span);
        g.fillText(text, Math.min(x - 4, left + this.w - g.measureText(text).width), this.h + 20);
      }
      this.axis(g);
      if (this.box) {
        const [x, y, w, h] = this.box;
        g.fillStyle = "#2f6db522"; g.strokeStyle = "#2f6db5";
        g.fillRect(x, y, w, h); g.strokeRect(x, y, w, h);
      }
    }
    axis(g) {
      const [low, high] = this.ys();
      g.textAlign = "right";
      for (const v of ticks(low, high, Math.max(2, this.h / 34))) {
        if (this.spec.whole && (v % 1 || v >= high)) continue;
        g.fillText(`${v}`, left - 5, this.py(v + (this.spec.whole ? 0.5 : 0)) + 4);
      }
      g.textAlign = "left";
    }
    listen() {
      const at = (e) => { const r = this.canvas.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
      let from = null;
      this.canvas.addEventListener("pointerdown", (e) => {
        from = { point: at(e), view: [...view], pan: e.shiftKey };
        this.canvas.setPointerCapture(e.pointerId);
      });
      this.canvas.addEventListener("pointermove", (e) => {
        const [x, y] = at(e);
        if (!from) return this.tell(e, x, y);
        tip.style.display = "none";
        if (from.pan && !this.spec.timeless) {
          const shift = ((from.point[0] - x) / this.w) * (from.view[1] - from.view[0]);
          return show(from.view[0] + shift, from.view[1] + shift);
        }
        const flat = Math.abs(y - from.point[1]) < 12 || !this.spec.rows;
        const top = flat ? 6 : Math.min(y, from.point[1]), high = flat ? this.h : Math.abs(y - from.point[1]);
        this.box = [Math.min(x, from.point[0]), top, Math.abs(x - from.point[0]), high, flat];
        this.draw();
      });
      this.canvas.addEventListener("pointerup", () => {
        const box = this.box;
        from = this.box = null;
        if (!box || box[2] < 4) return this.draw();
        const low = this.ns(Math.max(box[0], left)), high = this.ns(Math.min(box[0] + box[2], left + this.w));
        if (!box[4]) this.y = [Math.max(this.span[0], this.value(box[1] + box[3])), Math.min(this.span[1], this.value(box[1]))];
        if (this.spec.timeless) this.draw(); else show(low, high);
      });
      this.canvas.addEventListener("pointerleave", () => { tip.style.display = "none"; });
      this.canvas.addEventListener("dblclick", () => { this.y = null; show(0, end); });
      this.canvas.addEventListener("wheel", (e) => {
        if (this.spec.timeless || !(e.ctrlKey || e.shiftKey || e.altKey)) return;
        e.preventDefault();
        zoom(2 ** ((e.deltaY || e.deltaX) / 240), this.ns(at(e)[0]));
      }, { passive: false });
    }
    tell(e, x, y) {
      const inside = x >= left && x <= left + this.w && y >= 4 && y <= this.h + 8;
      const text = inside ? this.about(this.ns(x), this.value(y), this.spec) : "";
      tip.style.display = text ? "block" : "none";
      tip.textContent = text;
      tip.style.left = `${Math.min(e.clientX + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
      tip.style.top = `${e.clientY + 14}px`;
    }
  }

  class Raster extends Panel {
    async load() {
      this.span = [0, this.spec.size];
      if (this.spec.t) [this.t, this.index] = [await readTimes(this.spec.t), await read(this.spec.index)];
      else { this.counts = await read(this.spec.counts); this.most = this.counts.reduce((a, b) => Math.max(a, b), 1); }
    }
    paint(g) { if (this.t) this.dots(g); else this.bins(g); }
    dots(g) {
      const a = first(this.t, view[0]), b = first(this.t, view[1] + 1), [low, high] = this.ys();
      const tall = Math.max(1.5, Math.min(this.h / (high - low) * 0.8, 10));
      const wide = Math.max(1.2, Math.min(3, (this.w / (b - a + 1)) * 4));
      g.fillStyle = this.spec.colour;
      g.globalAlpha = b - a > 8000 ? 0.45 : b - a > 2000 ? 0.7 : 1;
      for (let i = a; i < b; i++) g.fillRect(this.px(this.t[i]), this.py(this.index[i] + 0.5) - tall / 2, wide, tall);
      g.globalAlpha = 1;
    }
    bins(g) {
      const { rows, bin_ns: bin, size } = this.spec, columns = this.counts.length / rows;
      const W = Math.max(1, Math.round(this.w)), H = Math.max(1, Math.round(this.h)), sums = new Float64Array(W * H);
      const [low, high] = this.ys();
      const c0 = Math.max(0, Math.floor(view[0] / bin)), c1 = Math.min(columns, Math.ceil(view[1] / bin));
      for (let c = c0; c < c1; c++) {
        const xa = Math.round(this.px(c * bin) - left), xb = Math.max(xa + 1, Math.round(this.px((c + 1) * bin) - left));
        for (let r = 0; r < rows; r++) {
          const n = this.counts[c * rows + r];
          if (!n) continue;
          const ya = Math.round((1 - (((r + 1) * size) / rows - low) / (high - low)) * H);
          const yb = Math.max(ya + 1, Math.round((1 - ((r * size) / rows - low) / (high - low)) * H));
          for (let x = Math.max(0, xa); x < Math.min(W, xb); x++)
            for (let y = Math.max(0, ya); y < Math.min(H, yb); y++) sums[y * W + x] += n;
        }
      }
      const most = sums.reduce((a, b) => Math.max(a, b), 1), image = new ImageData(W, H);
      const rgb = [1, 3, 5].map((k) => parseInt(this.spec.colour.slice(k, k + 2), 16));
      for (let i = 0; i < sums.length; i++) {
        if (!sums[i]) continue;
        image.data.set(rgb, 4 * i);
        image.data[4 * i + 3] = 40 + 215 * (Math.log1p(sums[i]) / Math.log1p(most));
      }
      const off = document.createElement("canvas");
      off.width = W; off.height = H;
      off.getContext("2d").putImageData(image, 0, 0);
      g.drawImage(off, left, 6, this.w, this.h);
    }
    about(ns, value) {
      const index = Math.floor(value), span = view[1] - view[0];
      if (this.counts) {
        const { rows, bin_ns: bin, size } = this.spec;
        const c = Math.floor(ns / bin), r = Math.min(rows - 1, Math.floor((index * rows) / size));
        const n = this.counts[c * rows + r] || 0, a = Math.ceil((r * size) / rows), b = Math.ceil(((r + 1) * size) / rows) - 1;
        return `${time(c * bin, span)} + ${time(bin, bin)}, index ${a === b ? a : `${a}–${b}`}: ${n} events`;
      }
      const near = this.nearest(ns, value);
      return near === null ? `${time(ns, span)}, index ${index}` : `${time(this.t[near], this.t[near])}, index ${this.index[near]}`;
    }
    nearest(ns, value) {
      let best = null, least = 36;
      const reach = (6 / this.w) * (view[1] - view[0]);
      for (let i = first(this.t, ns - reach); i < this.t.length && this.t[i] <= ns + reach; i++) {
        const d = (this.px(this.t[i]) - this.px(ns)) ** 2 + (this.py(this.index[i] + 0.5) - this.py(value)) ** 2;
        if (d < least) [best, least] = [i, d];
      }
      return best;
    }
  }

  class Curves extends Panel {
    async load() {
      this.t = this.spec.timeless ? null : await readTimes(this.spec.t);
      this.values = await read(this.spec.values);
      let low = Infinity, high = -Infinity;
      for (const v of this.values) if (Number.isFinite(v)) { low = Math.min(low, v); high = Math.max(high, v); }
      if (!(low <= high)) [low, high] = [0, 1];
      const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
      this.span = this.spec.timeless ? [Math.min(0, low), Math.max(0, high) + room] : [low - room, high + room];
    }
    paint(g) { if (this.t) this.lines(g); else this.bars(g); }
    lines(g) {
      const n = this.spec.channels.length, a = Math.max(0, first(this.t, view[0]) - 2), b = Math.min(this.t.length, first(this.t, view[1]) + 2);
      for (let c = 0; c < n; c++) {
        g.strokeStyle = this.spec.colours[c % this.spec.colours.length];
        g.beginPath();
        for (let i = a, on = false; i < b; i++) {
          const v = this.values[i * n + c];
          if (!Number.isFinite(v)) { on = false; continue; }
          const x = this.px(this.t[i]), y = this.py(v);
          if (on) g.lineTo(x, y); else g.moveTo(x, y);
          on = true;
        }
        g.stroke();
      }
    }
    bars(g) {
      g.fillStyle = this.spec.colours[0];
      const wide = Math.max(1, (this.w / this.spec.width) * 0.8), zero = this.py(0);
      this.values.forEach((v, i) => { const y = this.py(v); g.fillRect(this.px(i + 0.1), Math.min(y, zero), wide, Math.abs(y - zero)); });
    }
    about(ns, value) {
      if (!this.t) { const i = Math.floor(ns); return `index ${i}: ${+this.values[i].toPrecision(6)}`; }
      const i = Math.min(this.t.length - 1, first(this.t, ns)), n = this.spec.channels.length;
      let best = 0;
      for (let c = 1; c < n; c++)
        if (Math.abs(this.values[i * n + c] - value) < Math.abs(this.values[i * n + best] - value)) best = c;
      return `${time(this.t[i], view[1] - view[0])}, index ${this.spec.channels[best]}: ${+this.values[i * n + best].toPrecision(6)}`;
    }
  }

  class Lanes extends Panel {
    async load() {
      this.span = [0, this.spec.lanes.length];
      for (const lane of this.spec.lanes) lane.values = lane.course ? await read(lane.course) : null;
      for (const lane of this.spec.lanes) lane.most = Math.max(1e-30, ...(lane.values || []));
    }
    paint(g) {
      const lanes = this.spec.lanes, tall = this.h / lanes.length;
      lanes.forEach((lane, k) => {
        const base = 6 + tall * (k + 1) - 1;
        g.fillStyle = "#c22f2f";
        for (const [, core, t0, t1, share] of this.spec.intervals) {
          if (core !== lane.core && core >= 0) continue;
          g.globalAlpha = 0.05 + 0.25 * share;
          g.fillRect(this.px(t0), base - tall + 2, Math.max(1, this.px(t1) - this.px(t0)), tall - 2);
        }
        g.globalAlpha = 1;
        if (lane.values) {
          g.fillStyle = lane.colour;
          g.beginPath();
          g.moveTo(this.px(0), base);
          lane.values.forEach((v, i) => {
            const y = base - (v / lane.most) * (tall - 14);
            g.lineTo(this.px(i * this.spec.bin_ns), y);
            g.lineTo(this.px((i + 1) * this.spec.bin_ns), y);
          });
          g.lineTo(this.px(lane.values.length * this.spec.bin_ns), base);
          g.fill();
          g.fillStyle = "#5b6672";
          g.fillText(`peak ${quantity((lane.most / this.spec.bin_ns) * 1e9, "synops/s")}`, left + 5, base - tall + 12);
        }
        g.fillStyle = "#dfe4e9";
        g.fillRect(left, base, this.w, 1);
      });
    }
    axis(g) {
      const tall = this.h / this.spec.lanes.length;
      g.textAlign = "right";
      this.spec.lanes.forEach((lane, k) => g.fillText(lane.label, left - 5, 6 + tall * (k + 0.5) + 4));
      g.textAlign = "left";
    }
    about(ns, value) {
      const lanes = this.spec.lanes, lane = lanes[Math.max(0, Math.min(lanes.length - 1, Math.floor(lanes.length - value)))];
      const there = this.spec.intervals.filter(([, core, t0, t1]) => (core === lane.core || core < 0) && t0 <= ns && ns < t1);
      const v = lane.values ? lane.values[Math.floor(ns / this.spec.bin_ns)] : null;
      const rate = v === null || v === undefined ? "" : `: ${quantity((v / this.spec.bin_ns) * 1e9, "synops/s")}`;
      return `${time(ns, view[1] - view[0])}, ${lane.title}${rate}${there.map(([what, , , , share]) => `, ${what}${share < 1 ? ` ${Math.round(share * 100)} % of the time` : ""}`).join("")}`;
    }
  }

  // --- the common axis of time ---
  function show(low, high) {
    const span = Math.min(end, Math.max(high - low, Math.min(end, 10)));
    low = Math.max(0, Math.min(low, end - span));
    view = [low, low + span];
    range.textContent = `${time(low, span)} – ${time(low + span, span)}`;
    for (const panel of panels) panel.draw();
  }
  function zoom(factor, around = (view[0] + view[1]) / 2) {
    show(around - (around - view[0]) * factor, around + (view[1] - around) * factor);
  }

  const kinds = { raster: Raster, curves: Curves, lanes: Lanes };
  for (const canvas of document.querySelectorAll("canvas[data-panel]")) {
    const spec = data.panels[+canvas.dataset.panel];
    const panel = new kinds[spec.kind](canvas, spec);
    await panel.load();
  }
  if (range) {
    document.getElementById("in").onclick = () => zoom(0.5);
    document.getElementById("out").onclick = () => zoom(2);
    document.getElementById("all").onclick = () => { panels.forEach((p) => { p.y = null; }); show(0, end); };
    show(0, end);
    window.addEventListener("resize", () => show(...view));
  }
  const total = panels.reduce((n, p) => n + (p.t && p.index ? p.t.length : p.counts ? p.counts.reduce((a, b) => a + b, 0) : 0), 0);
  Object.assign(document.body.dataset, { drawn: panels.length, events: total });
})();
