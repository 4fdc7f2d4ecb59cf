"use strict";
// Puts a page together from its data, and, on a live page, again whenever the data have changed.

let current = null;

function studySections(study) {
  const some = (title, id, content, note) => (content ? section(title, id, note ? html("p", { class: "note" }, note) : null, content) : null);
  return [
    section("Trials", "trials", html("div", { class: "panels" }, history(study), incumbent(study)), colourKey(study)),
    study.hyperparameters.length ? some("Hyperparameters together", "together", parallelCoordinates(study)) : null,
    study.hyperparameters.length ? some("One by one", "slices", slices(study), `${study.label} over each hyperparameter; inactive ones are left out`) : null,
    section("All trials", "table", trialsTable(study)),
    some("Learning curves", "curves", learningCurves(study)),
    study.hyperparameters.length ? some("What matters", "importance", importance(study)) : null,
    some("What is worth its cost", "pareto", pareto(study)),
    some("Who copied whom", "lineage", lineage(study)),
    some("The best network", "network", network(study)),
    section("How it ran", "facts", facts(study.data.facts)),
  ];
}

function render(data) {
  document.title = `${data.title} · hpjax`;
  const heading = document.getElementById("title");
  heading.textContent = data.title;
  const words = html("section", { id: "words" }, html("p", {}, data.asked), html("p", {}, html("strong", {}, data.found)));
  const main = document.getElementById("main");
  let sections;
  if (data.kind === "comparison") { current = null; sections = comparison(data); } else {
    const before = current, study = new Study(data);
    study.clearers = [];
    study.clear = () => { study.choose(-1); for (const clear of study.clearers) clear(); };
    sections = studySections(study);
    if (before && before.chosen >= 0) study.choose(study.row.get(before.data.trial[before.chosen]) ?? -1);
    current = study;
  }
  const text = document.getElementById("filter") ? document.getElementById("filter").value : "", scrolled = scrollY;
  main.replaceChildren(words, ...sections.filter(Boolean));
  const filter = document.getElementById("filter");
  if (text && filter) { filter.value = text; filter.dispatchEvent(new Event("input")); }
  scrollTo(0, scrolled);
  document.getElementById("footer").textContent = `hpjax ${data.version}`;
  document.body.dataset.ready = String(data.total ?? data.methods.length);
}

document.addEventListener("keydown", (event) => { if (event.key === "Escape" && current) current.clear(); });
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = root.dataset.theme === "dark";
  root.dataset.theme = dark ? "light" : "dark";
  if (current) current.changed(0);
});
document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";

const data = JSON.parse(document.getElementById("data").textContent);
render(data);
if (data.live) {
  const live = html("span", { id: "live", role: "status" }, "live");
  document.getElementById("title").after(live);
  let version = data.live;
  setInterval(async () => {
    try {
      const answer = await fetch(`data.json?version=${encodeURIComponent(version)}`);
      if (answer.status === 204) { live.textContent = `live, nothing new at ${new Date().toLocaleTimeString()}`; return; }
      const next = await answer.json();
      if (next.fault) { live.textContent = next.fault; return; }
      version = next.live;
      render(next);
      live.textContent = `live, ${new Date().toLocaleTimeString()}`;
    } catch { live.textContent = "the server does not answer; hpjax watch starts it again"; }
  }, 2000);
}
