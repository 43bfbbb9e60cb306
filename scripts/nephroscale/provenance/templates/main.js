// Addresses decide what is shown: #stage/unit, #raw/image, #numbers/model, #find?q=…; the rest are sections.
NAMES.conflict = "conflict";
const WAYS = { back: "Made from", on: "Used by", both: "Both" };
const view = { selected: -1, model: null, way: "back", open: [], shown: new Set(), roots: new Set(), reports: null, direct: new Set() };

function refresh() {
  view.reports = null;
  view.roots = new Set();
  view.direct = view.selected < 0 ? new Set() : new Set([...inputsOf(view.selected), ...usersOf(view.selected)]);
  if (view.model !== null) {
    const { roots, reports } = numbersOf(view.model);
    view.shown = backFrom(roots);
    reports.forEach((i) => view.shown.add(i));
    view.roots = new Set(roots);
    view.reports = new Set(reports);
    byId("panel").replaceChildren(...panelOfNumbers(view.model, view.shown, roots).flat(3).filter(Boolean));
    byId("shown").textContent = `Behind the figures of ${view.model}: ${view.shown.size.toLocaleString("en")} artifacts and files`;
  } else if (view.selected >= 0) {
    // A file has no inputs, so show the artifacts that use it.
    if (isFile(view.selected)) view.way = "on";
    const back = view.way === "on" ? new Set([view.selected]) : backFrom([view.selected]);
    const on = view.way === "back" ? new Set() : onFrom(view.selected);
    view.shown = new Set([...back, ...on]);
    byId("panel").replaceChildren(...panelOf(view.selected).flat(3).filter(Boolean));
    byId("shown").textContent = `${nameOf(view.selected)}: ${{ back: "made from", on: "used by", both: "made from and used by" }[view.way]} ${view.shown.size > 1 ? `${(view.shown.size - 1).toLocaleString("en")} artifacts and files` : "nothing"}`;
  } else {
    view.shown = new Set(Array.from({ length: N + F }, (_, i) => i));
    byId("panel").replaceChildren(...panelOfAll().flat(3).filter(Boolean));
    byId("shown").textContent = N ? "All artifacts and files" : "There is no artifact yet.";
  }
  document.querySelectorAll(".ways button").forEach((button) => {
    button.setAttribute("aria-pressed", String(button.dataset.way === view.way));
    button.hidden = view.selected < 0;
  });
  paint(view, act);
}

function act(node) {
  if (node.place !== undefined) { location.hash = hrefOf(node.place); return; }
  if (node.more) { location.hash = `#find?${new URLSearchParams({ ...(node.stage >= 0 ? { stage: stageName(node.stage) } : { q: "raw/" }), ...(STATES[node.state] && node.stage >= 0 ? { state: node.state } : {}) })}`; return; }
  // Two open groups at most: never more than some hundred nodes.
  view.open = view.open.includes(node.key) ? view.open.filter((key) => key !== node.key) : [...view.open, node.key].slice(-2);
  paint(view, act);
}

const fields = { q: byId("query"), stage: byId("by-stage"), state: byId("by-state"), run: byId("by-run"), order: byId("by-order") };
let because;
const asked = () => ({ ...Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, field.value])), because });
const isAsked = (what) => what.q.trim() || what.stage || what.state || what.run || what.order || what.because !== undefined;
function ask() {
  const what = asked();
  if (isAsked(what)) showResults(what);
  else byId("results").replaceChildren();
}

function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function route(first) {
  const hash = location.hash.slice(1);
  if (hash.startsWith("find?")) {
    const wanted = new URLSearchParams(hash.slice(5));
    because = wanted.has("because") ? Number(wanted.get("because")) : undefined;
    for (const [key, field] of Object.entries(fields)) field.value = wanted.get(key) || "";
    if (hash === "find?") showResults(asked());
    else ask();
    if (first === true) refresh();
    byId("explore").scrollIntoView({ behavior: first === true ? "instant" : "auto" });
    return;
  }
  const slash = hash.indexOf("/");
  const before = `${view.model}/${view.selected}`;
  if (slash > 0) {
    const name = decode(hash);
    view.model = hash.startsWith("numbers/") ? name.slice(8) : null;
    view.selected = view.model === null ? placeOf(name) : -1;
    if (view.model === null && view.selected < 0) {
      refresh();
      byId("shown").textContent = `There is no artifact ${name}.`;
    }
  } else if (hash === "explore" || first === true) {
    view.model = null;
    view.selected = -1;
    if (hash === "explore") { because = undefined; Object.values(fields).forEach((field) => { field.value = ""; }); ask(); }
  }
  if (before !== `${view.model}/${view.selected}` || first === true) {
    view.open = [];
    view.way = "back";
    refresh();
    if (slash > 0) {
      const panes = document.querySelector(".panes");
      const box = panes.getBoundingClientRect();
      if (first === true || box.top < 0 || box.top > innerHeight * 0.6) panes.scrollIntoView({ behavior: first === true ? "instant" : "auto" });
      byId("panel").scrollTop = 0;
    }
  }
}

function begin() {
  byId("find").hidden = false;
  document.querySelector(".panes").hidden = false;
  const options = (field, entries) => field.append(...entries.map(([value, text]) => el("option", { value }, text)));
  options(fields.stage, [["", "any"], ...D.stages.map(([name]) => [name, name])]);
  options(fields.state, Object.entries(STATES));
  options(fields.run, [["", "any"], ...[...D.words.run].sort().reverse().slice(0, 300).map((run) => [run, moment(run)])]);
  options(fields.order, Object.entries(ORDERS).map(([key, [text]]) => [key, text]));
  document.querySelector(".ways").append(...Object.entries(WAYS).map(([way, text]) => el("button", { type: "button", "data-way": way, onclick: () => { view.way = way; view.open = []; refresh(); } }, text)), el("a", { href: "#explore" }, "All"));
  document.querySelector(".legend").append(...D.statuses.map(([state, name]) => el("span", { class: `state ${state}` }, name)), el("span", { class: "state conflict" }, "conflict"), el("span", { class: "state file" }, "file"));
  let waiting = null;
  byId("find").addEventListener("input", (event) => { because = undefined; clearTimeout(waiting); waiting = setTimeout(ask, event.target === fields.q ? 150 : 0); });
  byId("find").addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(waiting); ask(); const first = document.querySelector("#results th a"); if (first) first.focus(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && !event.ctrlKey && !event.metaKey) { event.preventDefault(); fields.q.focus(); fields.q.select(); }
    if (event.key === "Escape" && event.target === fields.q) { fields.q.value = ""; ask(); }
  });
  addEventListener("hashchange", route);
  let width = byId("drawing").clientWidth;
  new ResizeObserver(() => { if (Math.abs(byId("drawing").clientWidth - width) > 8) { width = byId("drawing").clientWidth; paint(view, act); } }).observe(byId("drawing"));
  route(true);
}
begin();
