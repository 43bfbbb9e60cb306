// Search: every word must occur in an artifact's name, patient, digests, reasons, code, packages or machine.
const MOST_FOUND = 100;
const STATES = { "": "any", ...NAMES, conflict: "in conflict", again: "computed again", uncommitted: "uncommitted changes" };
delete STATES.file;
delete STATES.gone;
const ORDERS = {
  "": ["by stage", null],
  newest: ["newest first", (a, b) => String(D.started[b] || "").localeCompare(String(D.started[a] || ""))],
  longest: ["longest first", (a, b) => (D.seconds[b] || 0) - (D.seconds[a] || 0)],
  largest: ["largest first", (a, b) => (D.size[b] || 0) - (D.size[a] || 0)],
  memory: ["most memory first", (a, b) => (D.peak[b] || 0) - (D.peak[a] || 0)],
};

let haystack = null;
function haystackOf(i) {
  if (!haystack) haystack = new Array(N + F);
  if (haystack[i] === undefined) {
    const parts = isFile(i) ? [nameOf(i), digestOf(i)] : [nameOf(i), D.patient[i], D.digest[i], D.recipe[i], word("reason", i), word("node", i), word("device", i), word("git", i), ...D.because[i].map((k) => D.words.because[k])];
    haystack[i] = parts.filter(Boolean).join("\n").toLowerCase();
  }
  return haystack[i];
}

// Code and packages are shared by many artifacts: they are searched once for a word, not once per artifact.
function sharedWith(text) {
  return ["code", "packages"].map((name) => new Set(D.shared[name].flatMap((values, place) => (Object.entries(values).some(([key, value]) => key.toLowerCase().includes(text) || (text.length >= 4 && String(value).startsWith(text))) ? [place] : []))));
}

function search(asked) {
  const words = (asked.q || "").toLowerCase().split(/\s+/).filter(Boolean).map((text) => [text, ...sharedWith(text)]);
  const stage = D.stages.findIndex(([name]) => name === asked.stage);
  const run = D.words.run.indexOf(asked.run);
  const again = new Set(D.again);
  const filtered = asked.stage || asked.state || asked.run || asked.because !== undefined;
  const found = [];
  for (let i = 0; i < N + (filtered || !words.length ? 0 : F); i++) {
    if (!isFile(i)) {
      if (asked.stage && D.stage[i] !== stage) continue;
      if (asked.run && D.run[i] !== run) continue;
      if (asked.because !== undefined && !D.because[i].some((k) => D.groups[k] === asked.because)) continue;
      if (asked.state === "conflict" ? !conflicts.has(i) : asked.state === "again" ? !again.has(i) : asked.state === "uncommitted" ? !(word("git", i) || "").endsWith("+") : asked.state === "rejected" ? !rejected.has(i) || statusOf(i) === "follows" : asked.state && statusOf(i) !== asked.state) continue;
    }
    if (words.every(([text, code, packages]) => haystackOf(i).includes(text) || (!isFile(i) && (code.has(D.code[i]) || packages.has(D.packages[i]))))) found.push(i);
  }
  const order = (ORDERS[asked.order] || [])[1];
  return order ? found.sort(order) : found;
}

function resultRow(i) {
  const why = isFile(i) ? "" : word("reason", i) || (D.because[i].length ? D.words.because[D.because[i][0]] + (D.because[i].length > 1 ? ` and ${D.because[i].length - 1} more` : "") : "");
  return el("tr", {}, el("th", { scope: "row" }, link(i)), el("td", {}, isFile(i) ? "file" : stateMark(statusOf(i)), conflicts.has(i) ? stateMark("conflict") : null), el("td", { class: "ids" }, why), el("td", {}, el("code", {}, short(digestOf(i)))), el("td", { class: "n" }, isFile(i) ? "" : size(D.size[i])), el("td", { class: "n" }, isFile(i) ? "" : duration(D.seconds[i])), el("td", { class: "n" }, isFile(i) || D.peak[i] === null ? "" : `${D.peak[i]} MB`), el("td", {}, isFile(i) ? "" : moment(D.started[i])));
}

function showResults(asked) {
  const host = byId("results");
  const found = search(asked);
  const because = asked.because === undefined ? null : D.words.because.find((text, k) => D.groups[k] === asked.because);
  const summary = el("p", { class: "found" }, `${plural(found.length, "result")}${found.length > MOST_FOUND ? `, the first ${MOST_FOUND} of them below` : ""}${because ? ", outdated because of: " + because : ""} `, el("a", { href: "#explore" }, "clear"));
  host.replaceChildren(summary, found.length ? el("div", { class: "scroll hits", tabindex: "0", role: "region", "aria-label": "Results" }, el("table", {}, el("thead", {}, el("tr", {}, ["Artifact", "State", "Why", "Digest"].map((text) => el("th", { scope: "col" }, text)), ["Size", "Duration", "Memory"].map((text) => el("th", { scope: "col", class: "n" }, text)), el("th", { scope: "col" }, "Started"))), el("tbody", {}, found.slice(0, MOST_FOUND).map(resultRow)))) : el("p", { class: "empty" }, "No artifact was found."));
}
