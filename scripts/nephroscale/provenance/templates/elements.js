// Elements: text is always set as text, so that data are never read as markup.
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(3)) if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const GLYPHS = { match: "●", outdated_upstream: "◐", outdated: "▲", lost: "∅", unrecorded: "?", rejected: "✕", follows: "╳", file: "▪", gone: "?" };
const NAMES = { ...Object.fromEntries(D.statuses), file: "file", gone: "no longer in the plan" };
const stateMark = (state) => el("span", { class: `state ${state}` }, NAMES[state]);
const link = (i, text) => el("a", { href: hrefOf(i), class: `to ${statusOf(i)}` }, text || nameOf(i));
const short = (digest) => (digest ? String(digest).slice(0, 12) : "–");
const code = (text) => el("code", { class: "digest" }, text);
const plural = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
const moment = (text) => (text ? String(text).replace("T", " ").replace("Z", " UTC") : "–");

function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let k = 0;
  while (bytes >= 1000 && k < units.length - 1) { bytes /= 1000; k++; }
  return `${k && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[k]}`;
}
function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// A JSON value as nested lists; long ones are cut, and say so.
function show(value, depth = 0) {
  if (value === null || value === undefined || value === "") return el("span", { class: "who" }, "–");
  if (typeof value !== "object") return typeof value === "string" && /^[0-9a-f]{64}$/.test(value) ? code(value) : String(value);
  const entries = Object.entries(value);
  if (!entries.length) return el("span", { class: "who" }, "none");
  if (Array.isArray(value) && value.every((item) => item === null || typeof item !== "object")) return value.slice(0, 200).join(", ") + (value.length > 200 ? ` and ${value.length - 200} more` : "");
  const most = 60;
  return el("dl", { class: `json${depth ? " inner" : ""}` },
    entries.slice(0, most).map(([key, inner]) => [el("dt", {}, Array.isArray(value) ? String(+key + 1) : key), el("dd", {}, show(inner, depth + 1))]),
    entries.length > most && [el("dt", {}, "…"), el("dd", {}, `${entries.length - most} more in audit.json`)]);
}

// A list of which the first are shown, and the rest on demand, some hundreds at a time.
function capped(items, most, render, tag = "ul", attributes = {}) {
  const list = el(tag, attributes, items.slice(0, most).map(render));
  if (items.length <= most) return list;
  let shown = most;
  const more = el("button", { type: "button", class: "plain", onclick: () => {
    const next = items.slice(shown, shown + 300);
    list.append(...next.map(render));
    shown += next.length;
    if (shown >= items.length) more.remove();
    else more.textContent = `${(items.length - shown).toLocaleString("en")} more`;
  } }, `${(items.length - most).toLocaleString("en")} more`);
  return [list, more];
}
