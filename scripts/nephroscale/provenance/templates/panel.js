// The panel of one artifact.
const facts = (...pairs) => el("dl", { class: "facts-of" }, pairs.filter(Boolean).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
const fold = (title, ...children) => el("details", {}, el("summary", {}, title), ...children);
const heading = (text, note) => el("h4", {}, text, note ? el("span", { class: "of" }, note) : null);

function commitText(git) {
  if (!git) return el("span", { class: "who" }, "not in a checkout");
  return git.endsWith("+") ? [code(git), el("p", { class: "caution" }, "The + means uncommitted changes: compare the digests of the code files below.")] : code(git);
}

function whyOf(i) {
  const state = statusOf(i);
  if (state === "match") return [el("p", { class: "why" }, "Made by the present code, configuration and data, and so are all its ancestors."), capped(D.because[i].map((k) => D.words.because[k]), 12, (text) => el("li", {}, text), "ul", { class: "reasons" })];
  if (state === "unrecorded") return el("p", { class: "why" }, "There is no record of how this was made.");
  if (state === "rejected" || state === "follows") return el("p", { class: "why" }, state === "follows" ? "Rejected because an input was rejected: " : "The data could not be used: ", el("strong", {}, word("reason", i) || "no reason given"));
  if (state === "outdated" || state === "lost") return [el("p", { class: "why" }, state === "lost" ? "It cannot be used; a new run recomputes it:" : "Does not match the present code, configuration and data:"), capped(D.because[i].map((k) => D.words.because[k]), 12, (text) => el("li", {}, text), "ul", { class: "reasons" })];
  const invalid = [...reach([i], inputsOf)].filter((k) => !isFile(k) && INVALID.has(D.status[k]) && D.status[k] !== STATE.outdated_upstream).sort((a, b) => b - a);
  return [el("p", { class: "why" }, "Matches, but an ancestor does not:"), capped(invalid, 6, (k) => el("li", {}, link(k)))];
}

function disagreements(i, repeats) {
  if (!repeats.length) return null;
  const others = repeats.filter((repeat) => !repeat.agrees);
  const table = (list) => capped(list, 5, (repeat) => el("li", {}, moment(repeat.made.started), ` on ${repeat.made.node}, ${repeat.made.device}`, repeat.digest ? [", ", code(short(repeat.digest))] : null, ...Object.entries(repeat).filter(([key, value]) => !["made", "agrees", "digest"].includes(key) && value !== null).map(([key, value]) => `; ${key.replaceAll("_", " ")}: ${typeof value === "object" ? JSON.stringify(value) : value}`)));
  if (!others.length) return el("p", { class: "again" }, `Computed again ${repeats.length === 1 ? "once" : `${repeats.length} times`}, and equal to the byte.`);
  return el("div", { class: "conflict-note", role: "note" }, el("strong", {}, "Conflict. "), `Of ${plural(repeats.length, "later computation")} of this recipe, ${others.length} gave a different outcome. The first outcome is kept.`, table(others));
}

function comparedOf(i) {
  const others = D.elsewhere.filter(([place]) => place === i);
  return others.length ? [heading("Comparison with other machines"), capped(others, 5, ([, device, within, sentence]) => el("li", { class: within ? null : "mark" }, `${device}: ${sentence}`))] : null;
}

function madeFrom(i, values) {
  const inputs = inputsOf(i);
  if (!inputs.length) return el("p", { class: "who" }, isFile(i) ? "A raw file." : "Its inputs are unknown.");
  const order = inputs.map((place, k) => [place, values[k]]).sort((a, b) => (stageOf(b[0]) - stageOf(a[0])) || (a[0] - b[0]));
  return capped(order, 14, ([place, value]) => {
    const part = value && value[0];
    const digest = value ? value[1] : digestOf(place);
    const words = digest && digest.length !== 64;
    return el("li", {}, link(place), part ? el("span", { class: "part" }, part === "receipt" ? "whole receipt" : part === "status" ? "only whether accepted" : `part ${part}`) : null, el("code", { title: digest }, words ? digest : short(digest)));
  }, "ul", { class: "links" });
}

function panelOf(i) {
  const usedBy = usersOf(i).sort((a, b) => a - b);
  const used = [heading("Used by", usedBy.length ? usedBy.length.toLocaleString("en") : ""), usedBy.length ? capped(usedBy, 10, (k) => el("li", {}, link(k)), "ul", { class: "links" }) : el("p", { class: "who" }, "No other artifact.")];
  if (isFile(i)) {
    const gone = statusOf(i) === "gone";
    return [el("p", { class: "eyebrow" }, gone ? stageName(stageOf(i)) : "file"), el("h3", {}, labelOf(i)),
      el("p", { class: "why" }, gone ? "An artifact that is no longer in the plan." : "An external file, named by its label in the recipe (a raw file by its image) and its digest. No artifact holds its path."),
      facts(["Digest", code(digestOf(i))]), ...used];
  }
  const detail = detailOf(i);
  const stage = D.stages[D.stage[i]];
  const run = word("run", i);
  const shared = (name) => (D[name][i] === null ? null : D.shared[name][D[name][i]]);
  const [files, packages] = [Object.entries(shared("code") || {}), Object.entries(shared("packages") || {})];
  const decided = D.recipe[i] !== null;
  return [
    el("p", { class: "eyebrow" }, stage[0]), el("h3", {}, D.unit[i]),
    el("p", { class: "states" }, stateMark(statusOf(i)), rejected.has(i) && !["rejected", "follows"].includes(statusOf(i)) ? stateMark("rejected") : null),
    whyOf(i), disagreements(i, detail.repeats),
    facts(D.digest[i] && ["Digest", code(D.digest[i])], D.digest[i] && ["Content", `${["one file", "a folder"][D.kind[i]]}, ${size(D.size[i])}`], decided && ["Recipe", code(D.recipe[i])], D.patient[i] && ["Patient", el("a", { href: `#find?q=${encodeURIComponent(D.patient[i])}` }, D.patient[i])]),
    comparedOf(i),
    Object.keys(detail.figures).length ? [heading("Figures"), show(detail.figures)] : null,
    heading("Made from", D.inputs[i].length ? D.inputs[i].length.toLocaleString("en") : ""), madeFrom(i, detail.values), ...used,
    D.started[i] === null ? null : [heading("How it was made"), facts(["Rule", `${stage[1]} (${stage[2]})`], ["Started", moment(D.started[i])], run && ["Run", el("a", { href: `#find?run=${encodeURIComponent(run)}` }, moment(run))], ["Took", duration(D.seconds[i])], ["Peak memory", D.peak[i] === null ? "–" : `${D.peak[i].toLocaleString("en")} MB`], ["Device", word("device", i)], ["Node", word("node", i)], ["Commit", commitText(word("git", i))])],
    decided ? [heading("Recipe"),
      fold("Settings", show(shared("settings"))), fold("Rows of the tables", show(detail.rows)),
      fold("Seed and compute", show({ seed: detail.seed === null ? "none: there is no random choice, or the seed is among the settings" : detail.seed, ...shared("compute") })),
      fold(`Packages (${packages.length})`, show(Object.fromEntries(packages))),
      fold(`Code (${files.length} files)`, el("ul", { class: "links files" }, files.map(([file, digest]) => el("li", {}, el("a", { href: `#find?q=${encodeURIComponent(file)}` }, file), el("code", { title: digest }, short(digest))))))] : null,
  ];
}

function panelOfNumbers(model, shown, roots) {
  const found = D.metrics[model];
  const invalid = [...shown].filter((i) => !isFile(i) && INVALID.has(D.status[i])).sort((a, b) => b - a);
  const stages = new Map();
  for (const i of shown) stages.set(stageOf(i), (stages.get(stageOf(i)) || 0) + 1);
  const metric = (key) => key.split("_").map((part) => ({ auc: "AUC", f1: "F1" }[part] || part)).join(" ").replace(/^./, (c) => c.toUpperCase());
  const number = (value) => (typeof value === "number" ? value.toFixed(3) : "–");
  return [el("p", { class: "eyebrow" }, "figures of a model"), el("h3", {}, model),
    el("p", { class: "why" }, `${found ? `${found.cases}. ` : ""}Pooled from ${plural(roots.length, "evaluation")}, each of one fold and seed.`),
    found ? facts(...Object.entries(found.pooled).filter(([, value]) => value && typeof value === "object").map(([key, value]) => [metric(key), `${number(value.value)} (${number(value.low)}–${number(value.high)})`])) : null,
    invalid.length ? el("div", { class: "conflict-note" }, el("strong", {}, `${invalid.length.toLocaleString("en")} artifacts behind these figures do not match. `), capped(invalid, 6, (i) => el("li", {}, link(i)))) : el("p", { class: "states" }, stateMark("match"), " all the way back"),
    heading("Made from"), facts(...[...stages].sort((a, b) => b[0] - a[0]).map(([stage, count]) => [stageName(stage), count.toLocaleString("en")])),
    heading("Pooled evaluations", String(roots.length)), capped(roots, 15, (i) => el("li", {}, link(i)), "ul", { class: "links" })];
}

function panelOfAll() {
  const ends = [];
  for (let i = 0; i < N; i++) if (D.stages[D.stage[i]][0] === "report") ends.push(i);
  const models = Object.keys(D.metrics);
  return [el("p", { class: "eyebrow" }, "all artifacts"), el("h3", {}, "Provenance of a figure"),
    el("p", { class: "why" }, "Choose a figure above or a node of the drawing. Each row is a stage; artifacts were made from those in the rows below. A stack opens when it is chosen."),
    heading("Start with"), el("ul", { class: "links" }, models.map((model) => el("li", {}, el("a", { href: `#numbers/${encodeURIComponent(model)}` }, `Figures of ${model}`))), ends.map((i) => el("li", {}, link(i))), D.status.some((s) => s === STATE.outdated) ? el("li", {}, el("a", { href: "#find?state=outdated" }, "Outdated artifacts")) : null, D.conflicts.slice(0, 5).map((i) => el("li", {}, link(i), " (conflict)")))];
}
