"use strict";
// Scales, axes and paths: the little that the views share.

const NAMESPACE = "http://www.w3.org/2000/svg";

function make(create, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) create.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null) create.setAttribute(name, value);
  }
  for (const child of children) if (child !== null && child !== undefined) create.append(child);
  return create;
}
const svg = (tag, attributes, ...children) => make(document.createElementNS(NAMESPACE, tag), attributes, children);
const html = (tag, attributes, ...children) => make(document.createElement(tag), attributes, children);

function digits(value, count = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(Math.max(0, count - 2)).replace(/\.?0*e\+?/, "e");
  return String(Number(value.toPrecision(count)));
}

// A scale: where a value lies between 0 and 1, and which values are written beside the axis.
function scaleOf(values, options = {}) {
  const labels = options.labels && options.labels.length ? options.labels : null;
  if (labels) {
    const many = labels.length;
    return {
      at: (v) => (v + 0.5) / many,
      ticks: labels.map((label, i) => [(i + 0.5) / many, label]), labels,
    };
  }
  const numbers = values.filter((v) => v !== null && v !== undefined && Number.isFinite(v));
  let low = numbers.reduce((a, b) => Math.min(a, b), Infinity), high = numbers.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!(low <= high)) { low = 0; high = 1; }
  const log = options.log && low > 0;
  if (log) { low = Math.log10(low); high = Math.log10(high); }
  if (high - low < 1e-12) { low -= log ? 0.1 : Math.abs(low) * 0.05 || 0.5; high += log ? 0.1 : Math.abs(high) * 0.05 || 0.5; }
  const pad = options.pad === undefined ? 0.04 : options.pad, span = high - low;
  low -= pad * span; high += pad * span;
  const at = (v) => ((log ? Math.log10(v) : v) - low) / (high - low);
  const all = log ? logTicks(low, high) : linearTicks(low, high);
  const ticks = options.whole ? [...new Set(all.map(Math.round))].filter((v) => v > 0 || !log) : all;
  return { at, ticks: ticks.map((v) => [at(v), digits(v, 3)]) };
}
// Whether values are best seen on a logarithmic scale.
function spreads(values, ratio = 8) {
  const numbers = values.filter((v) => v !== null && Number.isFinite(v));
  const low = numbers.reduce((a, b) => Math.min(a, b), Infinity), high = numbers.reduce((a, b) => Math.max(a, b), -Infinity);
  return low > 0 && high / low > ratio;
}
function linearTicks(low, high) {
  const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high + 1e-9 * step; n++) ticks.push(Number((n * step).toPrecision(12)));
  return ticks;
}
function logTicks(low, high) {
  const ticks = [], every = Math.max(1, Math.round((high - low) / 5));
  for (let p = Math.floor(low); p <= Math.ceil(high); p++) {
    const within = high - low > 2.2 ? (p % every === 0 ? [1] : []) : high - low > 1 ? [1, 3] : [1, 2, 5];
    for (const m of within) {
      const x = p + Math.log10(m);
      if (x >= low - 1e-9 && x <= high + 1e-9) ticks.push(Number((m * 10 ** p).toPrecision(3)));
    }
  }
  return ticks.length > 1 ? ticks : linearTicks(10 ** low, 10 ** high).filter((v) => v > 0);
}

// A plot with two axes; x and y give pixels.
function plot(options) {
  const width = options.width || 520, height = options.height || 300;
  const edge = { left: 58, right: 14, top: 10, bottom: 40, ...options.edge };
  const inner = { width: width - edge.left - edge.right, height: height - edge.top - edge.bottom };
  const x = (v) => edge.left + options.x.at(v) * inner.width;
  const y = (v) => edge.top + (1 - options.y.at(v)) * inner.height;
  const grid = svg("g", { class: "grid" }), axis = svg("g", { class: "axis" });
  const bottom = height - edge.bottom;
  const turned = options.x.labels && options.x.labels.join("").length > 26;
  for (const [t, label] of options.x.ticks) {
    const at = edge.left + t * inner.width;
    axis.append(svg("line", { x1: at, x2: at, y1: bottom, y2: bottom + 4 }));
    axis.append(svg("text", turned
      ? { x: at, y: bottom + 13, "text-anchor": "end", transform: `rotate(-24 ${at} ${bottom + 13})` }
      : { x: at, y: bottom + 16, "text-anchor": "middle" }, label));
  }
  for (const [t, label] of options.y.ticks) {
    const at = edge.top + (1 - t) * inner.height;
    grid.append(svg("line", { x1: edge.left, x2: width - edge.right, y1: at, y2: at }));
    axis.append(svg("text", { x: edge.left - 6, y: at + 4, "text-anchor": "end" }, label));
  }
  axis.append(svg("path", { d: `M${edge.left},${edge.top}V${bottom}H${width - edge.right}` }));
  axis.append(svg("text", { x: edge.left + inner.width / 2, y: height - 4, "text-anchor": "middle", class: "strong" }, options.xlabel || ""));
  axis.append(svg("text", { x: 12, y: edge.top + inner.height / 2, "text-anchor": "middle", class: "strong",
    transform: `rotate(-90 12 ${edge.top + inner.height / 2})` }, options.ylabel || ""));
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.title || options.ylabel || "" }, grid, axis);
  return { root, x, y, edge, inner, width, height };
}

// Many dots as one path: segments without length, with round ends.
function dotPath(xs, ys, rows) {
  let path = "";
  for (const row of rows) {
    const x = xs[row], y = ys[row];
    if (x === x && y === y) path += `M${x.toFixed(1)},${y.toFixed(1)}h0`;
  }
  return path;
}
// A broken line through points; null breaks it.
function linePath(points) {
  let path = "", pen = "M";
  for (const point of points) {
    if (point === null) { pen = "M"; continue; }
    path += `${pen}${point[0].toFixed(1)},${point[1].toFixed(1)}`;
    pen = "L";
  }
  return path;
}
function stepPath(points) {
  let path = "";
  points.forEach(([x, y], i) => { path += i ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `M${x.toFixed(1)},${y.toFixed(1)}`; });
  return path;
}

// Many lines, each with its own stroke, on a canvas under an SVG of the same size: one SVG path of them all is slow to paint.
function lineLayer(width, height) {
  const sharp = Math.min(2, Math.max(1, devicePixelRatio || 1)), make = () => { const c = html("canvas", { width: Math.round(width * sharp), height: Math.round(height * sharp) }); c.getContext("2d").scale(sharp, sharp); return c; };
  const canvas = make(), context = canvas.getContext("2d");
  const stroke = (target, lines, colour, alpha) => {
    target.strokeStyle = colour; target.globalAlpha = alpha; target.lineWidth = 1;
    for (const line of lines) {
      target.beginPath();
      let pen = false;
      for (const point of line) {
        if (point === null) pen = false;
        else if (pen) target.lineTo(point[0], point[1]);
        else { target.moveTo(point[0], point[1]); pen = true; }
      }
      target.stroke();
    }
  };
  return {
    canvas,
    // A picture of lines that stay, to be put under others.
    still(lines, colour, alpha) { const picture = make(); stroke(picture.getContext("2d"), lines, colour, alpha); return picture; },
    draw(under, groups) {
      context.globalAlpha = 1;
      context.clearRect(0, 0, width, height);
      if (under) context.drawImage(under, 0, 0, width, height);
      for (const [lines, colour, alpha] of groups) stroke(context, lines, colour, alpha);
    },
  };
}
const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const tip = {
  show(event, text) {
    const box = document.getElementById("tip");
    box.textContent = text; box.hidden = false;
    const wide = box.offsetWidth, high = box.offsetHeight;
    box.style.left = `${Math.min(event.clientX + 14, innerWidth - wide - 8)}px`;
    box.style.top = `${Math.min(event.clientY + 14, innerHeight - high - 8)}px`;
  },
  hide() { document.getElementById("tip").hidden = true; },
};

function figure(caption, ...children) {
  return html("figure", {}, caption ? html("figcaption", {}, caption) : null, ...children);
}
function section(title, id, ...children) {
  return html("section", { id }, html("h2", {}, title), ...children);
}
function key(entries) {
  return html("div", { class: "key" }, ...entries.map(([colour, label, shape]) =>
    html("span", {}, html("i", { style: `color: ${colour}`, class: shape || "" }), label)));
}
