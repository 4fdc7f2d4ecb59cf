"use strict";
// The table of trials: sorts, filters, and draws only the rows that are seen.

const ROW = 22, AROUND = 12;

// "learning_rate > 0.01 activation = relu pruned": comparisons, and words that must stand somewhere in the row.
function parsed(study, text) {
  const tests = [], faults = [];
  const compare = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b, "!=": (a, b) => a !== b };
  const words = text.replace(/([\w ]*?)([\w.]+)\s*(<=|>=|!=|<|>|=)\s*(\S+)/g, (whole, before, name, sign, value) => {
    const trial = name === "trial", column = study.of[name];
    if (!column && !trial) { faults.push(`there is no column ${name}`); return before; }
    if (column && column.labels) {
      if (sign !== "=" && sign !== "!=") { faults.push(`${name} is a choice: write ${name} = ${column.labels[0]}`); return before; }
      const same = (row) => column.values[row] !== null && column.labels[column.values[row]].toLowerCase() === value.toLowerCase();
      tests.push(sign === "=" ? same : (row) => !same(row));
      return before;
    }
    const bound = Number(value), values = trial ? study.data.trial : column.values;
    if (value === "" || Number.isNaN(bound)) { faults.push(`${name} is compared with numbers, not ${value}`); return before; }
    tests.push((row) => values[row] !== null && compare[sign](values[row], bound));
    return before;
  });
  const labelled = study.columns.filter((column) => column.labels);
  for (const word of words.toLowerCase().split(/\s+/).filter(Boolean)) {
    tests.push((row) => labelled.some((column) => column.values[row] !== null && column.labels[column.values[row]].toLowerCase().includes(word)));
  }
  return { tests, faults };
}

function trialsTable(study) {
  const columns = [{ name: "trial", values: study.data.trial }, ...study.columns];
  let sorted = null, down = false, order = [];
  const body = html("tbody"), said = html("span", { class: "note", role: "status", id: "looked" });
  const heads = columns.map((column, i) => {
    const button = html("button", { type: "button", onclick: () => sortBy(i) }, column === study.objectiveColumn ? study.data.objective : column.name);
    return html("th", { scope: "col", "aria-sort": "none" }, button);
  });
  const box = html("div", { class: "rows", tabindex: "0", role: "region", "aria-label": "table of trials", id: "rows" },
    html("table", {}, html("thead", {}, html("tr", {}, ...heads)), body));

  function arrange() {
    const rows = [...Array(study.count).keys()].filter((row) => !study.mask || study.mask[row]);
    if (sorted === null) {
      const rank = new Map(study.ranked.map((row, i) => [row, i]));
      rows.sort((a, b) => (rank.get(a) ?? Infinity) - (rank.get(b) ?? Infinity) || a - b);
    } else {
      const { values, labels } = columns[sorted], sign = down ? -1 : 1;
      const of = labels ? (row) => (values[row] === null ? null : labels[values[row]]) : (row) => values[row];
      rows.sort((a, b) => {
        const x = of(a), y = of(b);
        if (x === null || y === null) return (x === null) - (y === null) || a - b;
        return sign * (x < y ? -1 : x > y ? 1 : 0) || a - b;
      });
    }
    order = rows;
    const all = study.data.total > study.count ? ` (of ${study.data.total}: the best, and a sample of the others)` : "";
    said.textContent = study.mask ? `${order.length} of ${study.count} trials${all}` : `${study.count} trials${all}`;
  }
  function sortBy(i) {
    down = sorted === i ? !down : false;
    sorted = i;
    heads.forEach((head, j) => head.setAttribute("aria-sort", j !== i ? "none" : down ? "descending" : "ascending"));
    box.scrollTop = 0;
    arrange(); draw();
  }
  function draw() {
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - AROUND), last = Math.min(order.length, first + Math.ceil((box.clientHeight || 418) / ROW) + 2 * AROUND);
    const filler = (many) => html("tr", { style: `height: ${many * ROW}px`, "aria-hidden": "true" });
    const rows = order.slice(first, last).map((row) => html("tr", { class: row === study.chosen ? "chosen" : "", "data-trial": study.data.trial[row], onclick: () => study.choose(row === study.chosen ? -1 : row) },
      ...columns.map((column) => html("td", {}, study.text(column, row)))));
    body.replaceChildren(filler(first), ...rows, filler(order.length - last));
  }
  function reveal() {
    const at = order.indexOf(study.chosen);
    if (at < 0) return;
    const top = at * ROW, seen = box.clientHeight - 3 * ROW;
    if (top < box.scrollTop || top > box.scrollTop + seen) box.scrollTop = Math.max(0, top - seen / 2);
  }
  let drawing = false;
  box.addEventListener("scroll", () => { if (!drawing) { drawing = true; requestAnimationFrame(() => { drawing = false; draw(); }); } });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || !order.length) return;
    event.preventDefault();
    const at = order.indexOf(study.chosen), next = at < 0 ? 0 : Math.max(0, Math.min(order.length - 1, at + step));
    study.choose(order[next]);
  });
  const fault = html("span", { class: "warning", role: "alert" });
  const input = html("input", { type: "search", id: "filter", placeholder: "learning_rate > 0.01 activation = relu", "aria-label": "filter trials", oninput: () => {
    const { tests, faults } = parsed(study, input.value);
    fault.textContent = faults[0] || "";
    study.test("filter", tests.length ? (row) => tests.every((passes) => passes(row)) : null);
  } });
  study.clearers.push(() => { input.value = ""; fault.textContent = ""; study.test("filter", null); });
  let mask, chosen;
  study.listen(() => {
    if (mask !== study.mask || !order.length) { mask = study.mask; arrange(); }
    if (chosen !== study.chosen) { chosen = study.chosen; reveal(); }
    draw();
  });
  const clear = html("button", { type: "button", id: "clear", onclick: () => study.clear() }, "show all");
  return html("div", {}, html("div", { class: "tools" }, input, clear, said, fault), box,
    html("p", { class: "note" }, "A click on a column sorts; a click on a row, or the arrow keys, choose a trial, which is then marked in every view. Escape shows all again."));
}
