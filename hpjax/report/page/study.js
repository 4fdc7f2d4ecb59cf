"use strict";
// A study: its trials, which of them are looked at, and which one is chosen. Views ask it, and are told when that changes.

const BINS = 5;

class Study {
  constructor(data) {
    this.data = data;
    this.columns = data.columns;
    const role = (name) => data.columns.filter((column) => column.role === name);
    [this.objectiveColumn] = role("objective");
    [this.statusColumn] = role("status");
    this.results = Object.fromEntries(role("result").map((column) => [column.of, column]));
    this.hyperparameters = role("hyperparameter");
    // by the names that a filter uses: a hyperparameter comes before what became of a trial
    const named = [[data.objective, this.objectiveColumn], ...data.columns.map((column) => [column.name, column]), ...this.hyperparameters.map((column) => [column.name, column])];
    this.of = Object.fromEntries(named);
    this.count = data.trial.length;
    this.objective = this.objectiveColumn.values;
    this.row = new Map(data.trial.map((trial, row) => [trial, row]));
    const status = this.statusColumn, ok = status.labels.indexOf("OK");
    const finished = status.values.map((code) => code === ok);
    this.early = finished.some(Boolean) && data.fidelity !== null ? finished.map((full) => !full) : finished.map(() => false);
    this.ranked = [...this.objective.keys()].filter((row) => this.objective[row] !== null && !this.early[row])
      .sort((a, b) => this.better(this.objective[a], this.objective[b]) || a - b);
    this.bin = new Int8Array(this.count).fill(-2);
    for (let row = 0; row < this.count; row++) if (this.early[row] && this.objective[row] !== null) this.bin[row] = -1;
    for (const row of this.ranked) {
      const bin = data.limits.findIndex((limit) => this.better(this.objective[row], limit) <= 0);
      this.bin[row] = bin < 0 ? BINS - 1 : bin;
    }
    this.tests = new Map();
    this.mask = null;
    this.chosen = -1;
    this.listeners = [];  // told in the next frame
    this.patient = [];  // told when nothing has changed for a moment, so that brushing is quick
    this.waiting = false;
    this.pause = 0;
  }
  better(a, b) { return this.data.greater ? b - a : a - b; }
  get label() { return `validation ${this.data.objective}${this.data.greater ? " (more is better)" : ""}`; }
  get logObjective() { return !this.data.greater && spreads(this.objective); }
  listen(view, now = false) { (now ? this.listeners : this.patient).push(view); view(); }
  changed(patience = 120) {
    clearTimeout(this.pause);
    this.pause = setTimeout(() => { for (const view of this.patient) view(); }, this.count > 500 ? patience : 0);
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; for (const view of this.listeners) view(); });
  }
  choose(row) { this.chosen = row; this.changed(0); }
  // Looks at those rows only that pass every test; a test is row -> boolean, null takes it back.
  test(name, passes) {
    if (passes) this.tests.set(name, passes); else this.tests.delete(name);
    this.mask = null;
    if (this.tests.size) {
      const tests = [...this.tests.values()];
      this.mask = Uint8Array.from({ length: this.count }, (_, row) => (tests.every((passes) => passes(row)) ? 1 : 0));
    }
    this.changed();
  }
  // Rows that are drawn where all are too many: the best, and every so many-th of the others.
  sample(most) {
    if (this.count <= most) return [...Array(this.count).keys()];
    const best = this.ranked.slice(0, most >> 2), there = new Set(best), step = this.count / (most - best.length);
    for (let at = 0; at < this.count; at += step) there.add(Math.floor(at));
    return [...there].sort((a, b) => a - b);
  }
  text(column, row) {
    const value = column.values[row];
    return column.labels ? (value === null ? "–" : column.labels[value]) : digits(value);
  }
  describe(row) {
    const lines = [`trial ${this.data.trial[row]}: ${this.data.objective} ${digits(this.objective[row])}, ${this.text(this.statusColumn, row)}`];
    if (this.results.epochs) lines[0] += `, ${this.results.epochs.values[row]} epochs`;
    for (const column of this.hyperparameters) if (column.values[row] !== null) lines.push(`${column.name} ${this.text(column, row)}`);
    return lines.join("\n");
  }
}

// Rows by the colour that they have: the bins of the objective, and those that were stopped early.
function byColour(study, rows) {
  const groups = [...Array(BINS + 1)].map(() => []);
  for (const row of rows) {
    if (study.bin[row] === -2 || (study.mask && !study.mask[row])) continue;
    groups[study.bin[row] === -1 ? BINS : study.bin[row]].push(row);
  }
  return groups;
}
const colourClass = (group) => (group === BINS ? "early" : `bin${group}`);

function colourKey(study) {
  const entries = [["var(--bin0)", "best tenth"], ["var(--bin1)", "quarter"], ["var(--bin2)", "half"], ["var(--bin3)", "three quarters"], ["var(--bin4)", "worst quarter"]];
  const early = study.bin.some((bin) => bin === -1) ? study.data.early : 0;
  if (early) entries.push(["var(--early)", `${study.data.grey}: ${early}; values of those that were stopped are after fewer epochs`, "square"]);
  return key(entries);
}

// Dots of trials in a plot: hover tells of one, a click chooses it.
function trialDots(study, p, xs, ys, most = 1500) {
  const rows = study.sample(most);
  const px = Float64Array.from({ length: study.count }, (_, row) => (xs[row] === null ? NaN : p.x(xs[row])));
  const py = Float64Array.from({ length: study.count }, (_, row) => (ys[row] === null ? NaN : p.y(ys[row])));
  const ghost = svg("path", { class: "dots ghost" });
  const paths = [...Array(BINS + 1).keys()].reverse().map((group) => [group, svg("path", { class: `dots ${colourClass(group)}` })]);
  const mark = svg("circle", { class: "chosen-mark", r: 6, visibility: "hidden" });
  const hit = svg("rect", { class: "hit", x: p.edge.left, y: p.edge.top, width: p.inner.width, height: p.inner.height });
  p.root.append(ghost, ...paths.map(([, path]) => path), mark, hit);
  const all = dotPath(px, py, rows.filter((row) => study.bin[row] !== -2));
  const nearest = (event) => {
    const box = p.root.getBoundingClientRect(), ratio = p.width / box.width;
    const x = (event.clientX - box.left) * ratio, y = (event.clientY - box.top) * ratio;
    let best = -1, least = 14 * 14;
    for (const row of rows) {
      if (study.mask && !study.mask[row]) continue;
      const distance = (px[row] - x) ** 2 + (py[row] - y) ** 2;
      if (distance < least) { least = distance; best = row; }
    }
    return best;
  };
  hit.addEventListener("pointermove", (event) => { const row = nearest(event); if (row < 0) tip.hide(); else tip.show(event, study.describe(row)); });
  hit.addEventListener("pointerleave", () => tip.hide());
  hit.addEventListener("click", (event) => study.choose(nearest(event)));
  study.listen(() => {
    ghost.setAttribute("d", study.mask ? all : "");
    const groups = byColour(study, rows);
    for (const [group, path] of paths) path.setAttribute("d", dotPath(px, py, groups[group]));
    const there = study.chosen >= 0 && px[study.chosen] === px[study.chosen] && py[study.chosen] === py[study.chosen];
    mark.setAttribute("visibility", there ? "visible" : "hidden");
    if (there) { mark.setAttribute("cx", px[study.chosen]); mark.setAttribute("cy", py[study.chosen]); }
  });
  return p;
}

function history(study) {
  const trial = study.data.trial;
  const p = plot({ x: scaleOf(trial), y: scaleOf(study.objective, { log: study.logObjective }), xlabel: "trial", ylabel: study.label, title: "objective of every trial" });
  trialDots(study, p, trial, study.objective);
  return figure("Every trial, in the order in which it was proposed", p.root);
}

function incumbent(study) {
  const { cost, value } = study.data.incumbent;
  const holder = html("div");
  let regret = false;
  const draw = () => {
    const points = cost.map((c, i) => [c, value[i]]).filter(([, v]) => v !== null);
    const last = points.length ? points[points.length - 1][1] : 0;
    const shown = regret ? points.map(([c, v]) => [c, Math.abs(v - last)]).filter(([, r]) => r > 0) : points;
    const p = plot({
      x: scaleOf(shown.map(([c]) => c), { log: shown.length > 1 && shown[0][0] > 0 }), y: scaleOf(shown.map(([, v]) => v), { log: regret || study.logObjective }),
      xlabel: study.data.fidelity === null ? "calls of the function" : "epochs, all trials", ylabel: regret ? "distance from the last incumbent" : `best ${study.label}`, title: "incumbent over cost",
    });
    p.root.append(svg("path", { class: "step", d: stepPath(shown.map(([c, v]) => [p.x(c), p.y(v)])) }));
    holder.replaceChildren(shown.length ? p.root : html("p", { class: "note" }, regret ? "The first incumbent was never beaten." : "No trial was trained to the end yet."));
  };
  const button = html("button", { type: "button", onclick: () => { regret = !regret; button.textContent = regret ? "show the value" : "show the regret"; draw(); } }, "show the regret");
  draw();
  return figure("The best that was trained to the end, over what all trials cost", holder, html("div", { class: "tools" }, button));
}

function learningCurves(study) {
  const curves = study.data.curves.filter((curve) => curve.value.some((v) => v !== null));
  if (!curves.length) return null;
  const flat = curves.flatMap((curve) => curve.value), epochs = curves.flatMap((curve) => curve.epoch);
  const longest = epochs.reduce((a, b) => Math.max(a, b), 1);
  const p = plot({
    width: 1080, height: 320, x: scaleOf(epochs, { log: longest > 40 }), y: scaleOf(flat, { log: !study.data.greater && spreads(flat) }),
    xlabel: "epoch", ylabel: study.label, title: "learning curves",
  });
  const rungs = [...new Set(curves.map((curve) => curve.epoch[curve.epoch.length - 1]))].sort((a, b) => b - a);
  const points = curves.map((curve) => curve.epoch.map((e, i) => (curve.value[i] === null ? null : [p.x(e), p.y(curve.value[i])])));
  const shade = (rung) => `bin${Math.min(BINS - 1, rungs.indexOf(rung))}`;
  const paths = new Map(rungs.slice().reverse().map((rung) => [rung, svg("path", { class: `lines ${shade(rung)}` })]));
  const ghost = svg("path", { class: "lines ghost" }), mark = svg("path", { class: "chosen-line" });
  const hit = svg("rect", { class: "hit", x: p.edge.left, y: p.edge.top, width: p.inner.width, height: p.inner.height });
  p.root.append(ghost, ...paths.values(), mark, hit);
  const nearest = (event) => {
    const box = p.root.getBoundingClientRect(), ratio = p.width / box.width;
    const x = (event.clientX - box.left) * ratio, y = (event.clientY - box.top) * ratio;
    let best = -1, least = 18 * 18;
    points.forEach((line, i) => { for (const point of line) if (point) {
      const distance = (point[0] - x) ** 2 + (point[1] - y) ** 2;
      if (distance < least) { least = distance; best = i; }
    } });
    return best;
  };
  const rowOf = (i) => study.row.get(curves[i].trial);
  hit.addEventListener("pointermove", (event) => { const i = nearest(event); if (i < 0 || rowOf(i) === undefined) tip.hide(); else tip.show(event, study.describe(rowOf(i))); });
  hit.addEventListener("pointerleave", () => tip.hide());
  hit.addEventListener("click", (event) => { const i = nearest(event); study.choose(i < 0 ? -1 : rowOf(i) ?? -1); });
  study.listen(() => {
    const lines = new Map(rungs.map((rung) => [rung, ""]));
    let out = "", chosen = "";
    curves.forEach((curve, i) => {
      const row = rowOf(i), end = curve.epoch[curve.epoch.length - 1], path = linePath(points[i]);
      if (row === study.chosen) chosen = path;
      if (study.mask && (row === undefined || !study.mask[row])) out += path; else lines.set(end, lines.get(end) + path);
    });
    ghost.setAttribute("d", out); mark.setAttribute("d", chosen);
    for (const [rung, path] of paths) path.setAttribute("d", lines.get(rung));
  });
  const told = rungs.length > 1 ? key(rungs.slice(0, 8).map((rung) => [`var(--${shade(rung)})`, `until epoch ${rung}`])) : null;
  const many = study.data.total > curves.length ? `${curves.length} of ${study.data.total} trials: the best, and a sample of the others` : `${curves.length} trials`;
  return figure(`Mean over folds and repeats; ${many}`, p.root, told);
}

function parallelCoordinates(study) {
  const order = study.data.importance && study.data.importance.names ? study.data.importance.names : study.hyperparameters.map((c) => c.name);
  const hyperparameter = Object.fromEntries(study.hyperparameters.map((column) => [column.name, column]));
  const columns = [study.objectiveColumn, ...order.map((name) => hyperparameter[name])].slice(0, 13);
  if (columns.length < 2) return null;
  const width = 1080, height = 330, top = 44, bottom = 30, inner = height - top - bottom;
  const scales = columns.map((column, i) => scaleOf(column.values, { log: i ? column.log : study.logObjective, labels: column.labels, whole: column.whole, pad: 0.02 }));
  const xs = columns.map((_, i) => 60 + (i * (width - 150)) / (columns.length - 1));
  const rows = study.sample(500).filter((row) => study.bin[row] !== -2);
  const points = new Map(rows.map((row) => [row, columns.map((column, i) =>
    (column.values[row] === null ? null : [xs[i], top + (1 - scales[i].at(column.values[row])) * inner]))]));
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "parallel coordinates", id: "parallel" });
  const layer = lineLayer(width, height), mark = svg("path", { class: "chosen-line" });
  root.append(mark);
  const ghosts = new Map(), ghost = () => {
    const colour = colourOf("early");
    if (!ghosts.has(colour)) ghosts.set(colour, layer.still([...points.values()], colour, 0.2));
    return ghosts.get(colour);
  };
  columns.forEach((column, i) => {
    const axis = svg("g", { class: "axis" }, svg("line", { x1: xs[i], x2: xs[i], y1: top, y2: top + inner, style: "stroke: var(--ink)" }));
    for (const [t, label] of scales[i].ticks) axis.append(svg("text", { x: xs[i] + 5, y: top + (1 - t) * inner + 4, style: "paint-order: stroke; stroke: var(--panel); stroke-width: 3px" }, label));
    const name = i ? column.name : study.data.objective;
    axis.append(svg("text", { x: xs[i], y: i % 2 ? top - 11 : top - 26, "text-anchor": "middle", class: "strong" }, name));
    const brush = svg("rect", { class: "brush", x: xs[i] - 9, width: 18, y: 0, height: 0, visibility: "hidden" });
    const handle = svg("rect", { class: "handle", x: xs[i] - 16, width: 32, y: top, height: inner, "data-axis": name });
    let from = null;
    const at = (event) => {
      const box = root.getBoundingClientRect(), y = ((event.clientY - box.top) * height) / box.height;
      return Math.max(0, Math.min(1, 1 - (y - top) / inner));
    };
    const brushed = (a, b) => {
      const low = Math.min(a, b), high = Math.max(a, b);
      if (high - low < 0.01) { brush.setAttribute("visibility", "hidden"); study.test(`brush ${i}`, null); return; }
      brush.setAttribute("visibility", "visible");
      brush.setAttribute("y", top + (1 - high) * inner); brush.setAttribute("height", (high - low) * inner);
      const scale = scales[i], values = column.values;
      study.test(`brush ${i}`, (row) => { if (values[row] === null) return false; const t = scale.at(values[row]); return t >= low && t <= high; });
    };
    handle.addEventListener("pointerdown", (event) => { from = at(event); handle.setPointerCapture(event.pointerId); });
    handle.addEventListener("pointermove", (event) => { if (from !== null) brushed(from, at(event)); });
    handle.addEventListener("pointerup", (event) => { if (from !== null) brushed(from, at(event)); from = null; });
    study.clearers.push(() => { brush.setAttribute("visibility", "hidden"); study.test(`brush ${i}`, null); });
    root.append(axis, brush, handle);
  });
  study.listen(() => {
    const groups = byColour(study, rows).map((group, i) => [group.map((row) => points.get(row)), colourOf(i === BINS ? "early" : `bin${i}`), i === BINS ? 0.35 : 0.7]);
    layer.draw(study.mask ? ghost() : null, groups.reverse());
    const line = study.chosen >= 0 ? columns.map((column, i) => (column.values[study.chosen] === null ? null
      : [xs[i], top + (1 - scales[i].at(column.values[study.chosen])) * inner])) : [];
    mark.setAttribute("d", linePath(line));
  }, true);
  const many = rows.length < study.count ? ` ${rows.length} of ${study.count} lines are drawn: the best, and a sample of the others; a brush looks at all.` : "";
  return figure(`Drag along an axis to look at a part of it; a click there takes it back.${many}`, html("div", { class: "layers" }, layer.canvas, root), colourKey(study));
}

function slices(study) {
  const panels = study.hyperparameters.map((column) => {
    const p = plot({ width: 340, height: 230, x: scaleOf(column.values, { log: column.log, labels: column.labels, whole: column.whole }),
      y: scaleOf(study.objective, { log: study.logObjective }), xlabel: column.name, ylabel: "", title: `objective over ${column.name}`, edge: { left: 46, right: 8 } });
    const jitter = column.labels ? column.values.map((v, row) => (v === null ? null : v + 0.5 * (((row * 0.618034) % 1) - 0.5))) : column.values;
    trialDots(study, p, jitter, study.objective, 800);
    return figure("", p.root);
  });
  return html("div", { class: "panels small" }, ...panels);
}
