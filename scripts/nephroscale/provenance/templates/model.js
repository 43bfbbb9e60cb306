// The artifacts: places 0 to N - 1 are artifacts; N and above are files, which are no artifacts of the plan.
const D = JSON.parse(document.getElementById("index").textContent);
const N = D.unit.length;
const F = D.files.length;
const STATE = Object.fromEntries(D.statuses.map(([key], number) => [key, number]));
const INVALID = new Set([STATE.outdated, STATE.unrecorded, STATE.lost, STATE.outdated_upstream]);
const rejected = new Set(D.rejected);
const conflicts = new Set(D.conflicts);
const loose = new Set(D.loose);

const isFile = (i) => i >= N;
const stageOf = (i) => (isFile(i) ? D.files[i - N][2] : D.stage[i]);
const stageName = (stage) => (stage < 0 ? "raw files" : D.stages[stage][0]);
const word = (column, i) => { const place = D[column][i]; return place === null || place === undefined ? null : D.words[column][place]; };
const fileLabel = (i) => D.files[i - N][0];
const nameOf = (i) => (isFile(i) ? (D.files[i - N][2] < 0 ? `raw/${fileLabel(i)}` : fileLabel(i)) : `${D.stages[D.stage[i]][0]}/${D.unit[i]}`);
const labelOf = (i) => (isFile(i) ? fileLabel(i).replace(/^[^/]+\//, "") : D.unit[i]);
const digestOf = (i) => (isFile(i) ? D.files[i - N][1] : D.digest[i]);
const statusOf = (i) => (isFile(i) ? (D.files[i - N][2] < 0 ? "file" : "gone") : D.statuses[D.status[i]][0]);
const hrefOf = (i) => {
  const twin = isFile(i) && placeOf(nameOf(i)) !== i ? `@${digestOf(i).slice(0, 12)}` : "";
  return `#${encodeURI(nameOf(i)).replace(/#/g, "%23").replace(/\?/g, "%3F")}${twin}`;
};
const inputsOf = (i) => (isFile(i) ? [] : D.inputs[i].map((place) => (place < 0 ? N - 1 - place : place)));

let byName = null;
function placeOf(name) {
  if (!byName) {
    byName = new Map();
    for (let i = N + F - 1; i >= 0; i--) byName.set(nameOf(i), i);
  }
  const at = name.lastIndexOf("@");
  if (!byName.has(name) && at > 0) {
    const [label, digest] = [name.slice(0, at), name.slice(at + 1)];
    for (let i = N; i < N + F; i++) if (nameOf(i) === label && String(digestOf(i)).startsWith(digest)) return i;
  }
  return byName.has(name) ? byName.get(name) : -1;
}

// The users of each place, as one array with a start for each place; built on first use.
let users = null;
function usersOf(i) {
  if (!users) {
    const start = new Int32Array(N + F + 1);
    for (let k = 0; k < N; k++) for (const p of inputsOf(k)) start[p + 1]++;
    for (let p = 0; p < N + F; p++) start[p + 1] += start[p];
    const list = new Int32Array(start[N + F]);
    const next = start.slice();
    for (let k = 0; k < N; k++) for (const p of inputsOf(k)) list[next[p]++] = k;
    users = { start, list };
  }
  return [...new Set(users.list.subarray(users.start[i], users.start[i + 1]))];
}

// Some places and everything that can be reached from them; `follow` gives the neighbours of one.
function reach(places, follow) {
  const found = new Set(places);
  const pending = [...found];
  while (pending.length) for (const next of follow(pending.pop())) if (!found.has(next)) { found.add(next); pending.push(next); }
  return found;
}

// The way back goes through a patient's register only to the raw files that are read: a TEM bag is not made from a slide.
const isRegister = (i) => !isFile(i) && D.stages[D.stage[i]][0] === "register";
function backFrom(roots) {
  const found = new Set(roots);
  const whole = new Set([...roots].filter(isRegister));
  const pending = [...found];
  const add = (p) => { if (!found.has(p)) { found.add(p); pending.push(p); } };
  while (pending.length) {
    const u = pending.pop();
    const parts = isFile(u) ? null : D.through[u];
    for (const p of inputsOf(u)) {
      if (isFile(p) && isRegister(u) && !whole.has(u)) continue;
      if (isRegister(p) && !parts && !whole.has(p)) { whole.add(p); if (found.has(p)) pending.push(p); }
      add(p);
    }
    if (parts) for (const file of parts) add(N + file);
  }
  return found;
}
function onFrom(root) {
  if (!isFile(root)) return reach([root], usersOf);
  const reads = (u) => !D.through[u] || D.through[u].includes(root - N);
  return reach([root], (i) => (isRegister(i) ? usersOf(i).filter(reads) : usersOf(i)));
}

// Details lie in chunks, each read when one of its artifacts is looked at.
const chunks = [...document.querySelectorAll("script.chunk")];
const read = new Map();
function detailOf(i) {
  const number = Math.floor(i / D.chunk);
  if (!read.has(number)) {
    if (read.size > 20) read.delete(read.keys().next().value);
    read.set(number, JSON.parse(chunks[number].textContent));
  }
  const [figures, rows, seed, repeats, values] = read.get(number)[i % D.chunk];
  return { figures, rows, seed, repeats, values };
}

// What is behind a model's figures: its evaluations and the reports; of the latter not what they also read.
function numbersOf(model) {
  const roots = [];
  const reports = [];
  for (let i = 0; i < N; i++) {
    const stage = D.stages[D.stage[i]][0];
    if (stage === "report") reports.push(i);
    if (stage === "evaluate" && D.unit[i].startsWith(`${model}/`)) roots.push(i);
  }
  return { roots, reports };
}
