"use strict";
// What follows from the trials: what matters, what is worth its cost, who copied whom, and how the best network does.

function importance(study) {
  const found = study.data.importance;
  if (!found.names) return html("p", { class: "note" }, `${found.why}.`);
  const parts = [];
  if (found.few) parts.push(html("p", { class: "warning" }, `${found.few}.`));
  parts.push(html("div", { class: "panels" },
    figure(`Share of the variance of the log of the objective (fANOVA), with its deviation over trees; ${found.among}`, bars(found.names, found.share, found.deviation)),
    figure("Share in being among the best tenth (PED-ANOVA)", bars(found.names, found.best, null))));
  const spread = found.effects.flatMap((effect) => effect.mean.flatMap((m, i) => [m - effect.spread[i], m + effect.spread[i]]));
  const panels = found.effects.map((effect) => {
    const p = plot({ width: 340, height: 220, x: scaleOf(effect.x, { log: effect.log, labels: effect.labels, whole: effect.whole }), y: scaleOf(spread),
      xlabel: effect.name, ylabel: "", title: `effect of ${effect.name}`, edge: { left: 46, right: 8 } });
    const line = effect.x.map((x, i) => [p.x(x), p.y(effect.mean[i])]);
    const upper = effect.x.map((x, i) => [p.x(x), p.y(effect.mean[i] + effect.spread[i])]), lower = effect.x.map((x, i) => [p.x(x), p.y(effect.mean[i] - effect.spread[i])]);
    if (effect.labels.length) {
      line.forEach(([x, y], i) => p.root.append(svg("line", { class: "whisker", x1: x, x2: x, y1: upper[i][1], y2: lower[i][1] }), svg("circle", { cx: x, cy: y, r: 4, class: "bar" })));
    } else {
      p.root.append(svg("path", { class: "band", d: `${linePath(upper)}${linePath(lower.reverse()).replace("M", "L")}Z` }), svg("path", { class: "step", d: linePath(line) }));
    }
    return figure("", p.root);
  });
  if (found.contour) panels.push(contour(study, found.contour));
  parts.push(html("p", { class: "note" }, "Effects: the mean of a forest over all other hyperparameters, log10 of the objective (less is better), one scale for all; the band is its deviation over trees."));
  parts.push(html("div", { class: "panels small" }, ...panels));
  return html("div", {}, ...parts);
}

function bars(names, shares, deviations) {
  const width = 520, left = 150, row = 24, height = names.length * row + 26;
  const most = Math.max(0.01, ...shares.map((share, i) => share + (deviations ? deviations[i] : 0)));
  const x = (share) => left + (share / most) * (width - left - 60);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "importance" });
  names.forEach((name, i) => {
    const y = i * row + 6;
    root.append(svg("text", { x: left - 8, y: y + 13, "text-anchor": "end", class: "strong" }, name),
      svg("rect", { class: "bar", x: left, y, width: Math.max(0, x(shares[i]) - left), height: row - 8, rx: 2 }));
    if (deviations) root.append(svg("line", { class: "whisker", x1: x(Math.max(0, shares[i] - deviations[i])), x2: x(shares[i] + deviations[i]), y1: y + 8, y2: y + 8 }));
    root.append(svg("text", { x: x(shares[i] + (deviations ? deviations[i] : 0)) + 6, y: y + 13 }, digits(shares[i], 2)));
  });
  return root;
}

function contour(study, found) {
  const [first, second] = found.names.map((name) => study.hyperparameters.find((column) => column.name === name));
  const p = plot({ width: 340, height: 300, x: scaleOf(found.ends[0], { log: found.log[0], pad: 0 }), y: scaleOf(found.ends[1], { log: found.log[1], pad: 0 }),
    xlabel: found.names[0], ylabel: found.names[1], title: `contour of ${found.names.join(" and ")}`, edge: { left: 58, right: 8 } });
  const flat = found.surface.flat(), low = Math.min(...flat), high = Math.max(...flat), many = found.surface.length;
  const wide = p.inner.width / many, tall = p.inner.height / many;
  const cells = svg("g");
  found.surface.forEach((line, i) => line.forEach((value, j) => {
    const share = high > low ? (value - low) / (high - low) : 0;
    cells.append(svg("rect", { x: p.edge.left + i * wide, y: p.edge.top + (many - 1 - j) * tall, width: wide + 0.4, height: tall + 0.4,
      style: `fill: color-mix(in oklab, var(--bin0) ${Math.round(100 * (1 - share))}%, var(--paper))`, "fill-opacity": 0.75 }));
  }));
  p.root.append(cells);
  const points = study.sample(400).filter((row) => study.bin[row] >= 0 && first.values[row] !== null && second.values[row] !== null);
  const dots = svg("path", { class: "dots", style: "stroke: var(--ink); stroke-width: 3.5" }), mark = svg("circle", { class: "chosen-mark", r: 6, visibility: "hidden" });
  p.root.append(dots, mark);
  const px = {}, py = {};
  for (const row of [...points, ...study.ranked]) { px[row] = p.x(first.values[row]); py[row] = p.y(second.values[row]); }
  study.listen(() => {
    dots.setAttribute("d", dotPath(px, py, points.filter((row) => !study.mask || study.mask[row])));
    const there = px[study.chosen] !== undefined && first.values[study.chosen] !== null && second.values[study.chosen] !== null;
    mark.setAttribute("visibility", there ? "visible" : "hidden");
    if (there) { mark.setAttribute("cx", px[study.chosen]); mark.setAttribute("cy", py[study.chosen]); }
  });
  const plain = !study.data.greater && study.ranked.every((row) => study.objective[row] > 0);
  const told = plain ? `from ${digits(10 ** low, 3)} (dark) to ${digits(10 ** high, 3)} (pale)` : "darker is better";
  return figure(`The two most important numbers together: ${told}`, p.root);
}

function pareto(study) {
  const names = Object.keys(study.data.pareto).filter((name) => study.data.pareto[name].length);
  if (!names.length) return null;
  const panels = names.map((name) => {
    const cost = study.results[name].values, front = study.data.pareto[name].map((trial) => study.row.get(trial)).filter((row) => row !== undefined);
    const shown = cost.map((c, row) => (study.early[row] ? null : c));
    const p = plot({ x: scaleOf(shown, { log: true }), y: scaleOf(study.objective.map((v, row) => (study.early[row] ? null : v)), { log: study.logObjective }),
      xlabel: name === "seconds" ? "seconds of the devices" : name, ylabel: study.label, title: `objective against ${name}` });
    p.root.append(svg("path", { class: "step", d: stepPath(front.map((row) => [p.x(cost[row]), p.y(study.objective[row])])) }));
    trialDots(study, p, shown, study.objective);
    const list = html("p", { class: "note" }, "On the front: ", ...front.slice(0, 12).flatMap((row, i) => [i ? ", " : "",
      html("button", { type: "button", onclick: () => study.choose(row) }, `${study.data.trial[row]}`)]), front.length > 12 ? " …" : "");
    const better = name === "parameters" || name === "seconds" ? `takes fewer ${name}` : `has a better ${name}`;
    return figure(`No other trained to the end is better and ${better}`, p.root, list);
  });
  return html("div", { class: "panels" }, ...panels);
}

function lineage(study) {
  const found = study.data.lineage;
  if (!found) return null;
  const until = [0, ...found.until], values = found.value, index = new Map(found.trial.map((trial, i) => [trial, i]));
  const flat = values.flat().filter((v) => v !== null);
  const p = plot({ width: 1080, height: 300, x: scaleOf(until, { pad: 0.02 }), y: scaleOf(flat, { log: !study.data.greater && spreads(flat) }), xlabel: "epoch", ylabel: study.label, title: "lineage" });
  let own = "", copied = "", best = "";
  for (let step = 1; step < values.length; step++) {
    values[step].forEach((value, i) => {
      const from = index.get(found.source[step][i]);
      if (value === null || from === undefined || values[step - 1][from] === null) return;
      const path = linePath([[p.x(until[step]), p.y(values[step - 1][from])], [p.x(until[step + 1]), p.y(value)]]);
      if (from === i) own += path; else copied += path;
      if (found.line[step] === found.trial[i]) best += path;
    });
  }
  p.root.append(svg("path", { class: "lines bin3", d: own }), svg("path", { class: "lines", style: "stroke: var(--chosen); stroke-dasharray: 3 3", d: copied }), svg("path", { class: "step", d: best }));
  const panels = Object.entries(found.schedules).map(([name, schedule]) => {
    const all = schedule.lines.flatMap((line) => line.value);
    const q = plot({ width: 340, height: 220, x: scaleOf(until, { pad: 0.02 }), y: scaleOf(all, { log: schedule.log }), xlabel: "epoch", ylabel: name, title: `schedules of ${name}` });
    const path = (line) => {
      let d = "", before = 0;
      line.value.forEach((v, i) => { if (v !== null) d += `${i ? "L" : "M"}${q.x(before).toFixed(1)},${q.y(v).toFixed(1)}H${q.x(line.until[i]).toFixed(1)}`; before = line.until[i]; });
      return d;
    };
    const last = found.line[found.line.length - 1];
    q.root.append(svg("path", { class: "lines bin3", d: schedule.lines.map(path).join("") }), svg("path", { class: "step", d: schedule.lines.filter((line) => line.trial === last).map(path).join("") }));
    return figure("", q.root);
  });
  return html("div", {}, figure(`${found.trial.length} members; dashed: a member went on from a copy of another; bold: the line of the best`, p.root), html("div", { class: "panels small", style: "margin-top: 14px" }, ...panels));
}

function network(study) {
  const found = study.data.network;
  if (!found) return null;
  if (found.why) return html("p", { class: "note" }, `${found.why}.`);
  const scores = Object.entries(found.scores).map(([name, value]) => `${name} ${digits(value)}`).join(", ");
  const parts = [html("p", {}, `Trial ${found.trial}, trained again on all rows but the test's; on ${found.rows} test rows: ${scores}.`)];
  const panels = [];
  if (found.confusion) panels.push(figure(`Test rows by true class (row) and predicted class (column)${found.classes > found.labels.length ? `; the ${found.labels.length} most frequent of ${found.classes} classes` : ""}`, confusion(found)));
  if (found.calibration) panels.push(figure("How often predictions of a confidence are right; on the dashed line they say the truth. Numbers are counts", calibration(found.calibration)));
  if (found.truth) {
    const every = [...found.truth, ...found.predicted];
    const p = plot({ x: scaleOf(every), y: scaleOf(every), xlabel: "true", ylabel: "predicted", title: "predicted against true" });
    p.root.append(svg("path", { class: "lines early", style: "stroke-dasharray: 4 4; stroke-opacity: 1", d: diagonal(p) }),
      svg("path", { class: "dots bin1", style: "stroke-opacity: 0.5", d: dotPath(found.truth.map(p.x), found.predicted.map(p.y), found.truth.keys()) }));
    panels.push(figure("Predicted against true; on the dashed line they agree", p.root));
  }
  parts.push(html("div", { class: "panels" }, ...panels));
  return html("div", {}, ...parts);
}
const diagonal = (p) => `M${p.edge.left},${p.edge.top + p.inner.height}L${p.edge.left + p.inner.width},${p.edge.top}`;

function confusion(found) {
  const body = found.confusion.map((line, i) => {
    const whole = line.reduce((a, b) => a + b, 0) || 1;
    return html("tr", {}, html("th", { scope: "row" }, found.labels[i]), ...line.map((count, j) => {
      const share = Math.round((100 * count) / whole), strong = i === j ? "var(--accent)" : "var(--chosen)";
      return html("td", { title: `${share} % of ${found.labels[i]}`, style: count ? `background: color-mix(in srgb, ${strong} ${Math.max(8, share * 0.7)}%, transparent)` : "color: var(--line)" }, String(count));
    }));
  });
  return html("div", { style: "overflow-x: auto" }, html("table", { class: "matrix" },
    html("thead", {}, html("tr", {}, html("th", {}, "true \\ predicted"), ...found.labels.map((label) => html("th", { scope: "col" }, label)))), html("tbody", {}, ...body)));
}

function calibration(found) {
  const unit = { at: (v) => v, ticks: [0, 0.2, 0.4, 0.6, 0.8, 1].map((v) => [v, String(v)]) };
  const p = plot({ width: 420, height: 320, x: unit, y: unit, xlabel: "confidence in the predicted class", ylabel: "share that is right", title: "calibration" });
  p.root.append(svg("path", { class: "lines early", style: "stroke-dasharray: 4 4; stroke-opacity: 1", d: diagonal(p) }),
    svg("path", { class: "step", d: linePath(found.confidence.map((c, i) => [p.x(c), p.y(found.right[i])])) }));
  found.confidence.forEach((c, i) => {
    const high = found.right[i] > 0.9;
    p.root.append(svg("circle", { class: "bar", cx: p.x(c), cy: p.y(found.right[i]), r: 4 }), svg("text", { x: p.x(c) - 7, y: p.y(found.right[i]) + (high ? 16 : -8), "text-anchor": "end" }, String(found.count[i])));
  });
  return p.root;
}

function facts(rows) {
  return html("table", { class: "facts" }, html("tbody", {}, ...rows.map(([name, value]) => html("tr", {}, html("td", {}, name), html("td", {}, value)))));
}
