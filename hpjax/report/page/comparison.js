"use strict";
// A comparison: methods over cost, their ranks, and where their studies ended.

const METHODS = ["#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#888888", "#004488", "#DDAA33", "#BB5566"];
const DASHES = ["", "6 3", "2 2", "8 3 2 3"];

function comparison(data) {
  const look = (i) => ({ colour: METHODS[i % METHODS.length], dash: DASHES[Math.floor(i / METHODS.length) % DASHES.length] });
  const flat = data.methods.flatMap((m) => [...m.lower, ...m.upper]).filter((v) => v !== null);
  const log = !data.greater && spreads(flat, 4);
  const x = scaleOf(data.cost, { log: data.cost[0] > 0, pad: 0.01 });
  const value = plot({ x, y: scaleOf(flat, { log }), xlabel: "epochs, all trials", ylabel: data.label, title: "methods over cost" });
  const ranks = plot({ x, y: { ...scaleOf([1, data.methods.length], { pad: 0.06 }) }, xlabel: "epochs, all trials", ylabel: "mean rank (1 is best)", title: "mean ranks over cost" });
  data.methods.forEach((method, i) => {
    const { colour, dash } = look(i), style = `stroke: ${colour}; stroke-dasharray: ${dash || "none"}`;
    const line = (values, p) => linePath(values.map((v, j) => (v === null ? null : [p.x(data.cost[j]), p.y(v)])));
    const both = data.cost.map((c, j) => (method.lower[j] === null || method.upper[j] === null ? null : [c, method.lower[j], method.upper[j]])).filter(Boolean);
    const band = both.length ? `${linePath(both.map(([c, low]) => [value.x(c), value.y(low)]))}${linePath(both.reverse().map(([c, , high]) => [value.x(c), value.y(high)])).replace("M", "L")}Z` : "";
    value.root.append(svg("path", { d: band, style: `fill: ${colour}; fill-opacity: 0.12` }), svg("path", { class: "step", style, d: line(method.median, value) }));
    ranks.root.append(svg("path", { class: "step", style, d: line(method.rank, ranks) }));
  });
  const told = key(data.methods.map((method, i) => [look(i).colour, method.name]));
  const names = data.methods.map((m) => m.name), finals = data.methods.flatMap((m) => m.final).filter((v) => v !== null);
  const ends = plot({ width: 1080, height: 280, x: scaleOf([], { labels: names }), y: scaleOf(finals, { log }), xlabel: "", ylabel: data.label, title: "where studies ended" });
  data.methods.forEach((method, i) => method.final.forEach((v, j) => {
    if (v === null) return;
    const at = ends.x(i + 0.4 * ((((j + 1) * 0.618034) % 1) - 0.5)), dot = svg("circle", { cx: at, cy: ends.y(v), r: 4, style: `fill: ${look(i).colour}; fill-opacity: 0.7` });
    dot.addEventListener("pointermove", (event) => tip.show(event, `${method.name}, seed ${data.seeds[j]}: ${digits(v)}`));
    dot.addEventListener("pointerleave", () => tip.hide());
    ends.root.append(dot);
  }));
  const cells = data.table.rows.map(([name, ...values]) => html("tr", {}, html("th", { scope: "row" }, name), ...values.map((v) => html("td", {}, digits(v)))));
  const table = html("div", { style: "overflow-x: auto" }, html("table", {}, html("thead", {}, html("tr", {}, html("th", {}, "method"), ...data.table.columns.map((c) => html("th", { scope: "col" }, c)))), html("tbody", {}, ...cells)));
  const difference = data.difference === null ? null : html("p", {}, `Mean ranks that differ by less than ${digits(data.difference, 3)} (Nemenyi's critical difference at 5 %, ${data.seeds.length} seeds) cannot be told apart${data.alike.length ? `: ${data.alike.map((group) => group.join(", ")).join("; ")}` : ""}.`);
  return [
    section("Methods", "methods", table, difference),
    section("Over cost", "cost", html("div", { class: "panels" }, figure(`Median and quartiles of ${data.seeds.length} seeds`, value.root), figure("Mean rank over seeds", ranks.root)), told),
    section("Where the studies ended", "ends", figure("A dot for each seed", ends.root)),
    section("How it ran", "facts", facts(data.facts)),
  ];
}
