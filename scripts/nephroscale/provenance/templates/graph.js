// The drawing: one lane per stage, from the report at the top to raw files at the bottom.
const ONE_BY_ONE = 10;
const MOST_OPEN = 120;
const MOST_EDGES = 1200;
const NODE = { height: 26, gap: 8, row: 34, pad: 9, lane: 34, label: 104 };
const measure = document.createElement("canvas").getContext("2d");
measure.font = "12px sans-serif";
const widthOf = (text) => Math.ceil(measure.measureText(text).width * 1.06) + 34;
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

// Nodes of one lane: a few members are single nodes, many are grouped by status, opened groups show their members.
function gather(stage, members, view) {
  const single = (i) => ({ places: [i], key: `n${i}`, state: statusOf(i), text: cut(labelOf(i), 34), place: i });
  if (members.length <= ONE_BY_ONE) return members.map(single);
  const groups = new Map();
  const nodes = [];
  for (const i of members) {
    if (view.selected === i) { nodes.push(single(i)); continue; }
    const state = conflicts.has(i) ? "conflict" : statusOf(i);
    const kind = `${state}${view.direct.has(i) ? "-direct" : ""}`;
    if (!groups.has(kind)) groups.set(kind, []);
    groups.get(kind).push(i);
  }
  for (const [kind, places] of groups) {
    const [state, direct] = kind.split("-");
    const key = `g${stage}-${kind}`;
    const open = view.open.includes(key);
    if (places.length <= 3) nodes.push(...places.map(single));
    else if (!open) nodes.push({ places, key, state, text: `${places.length.toLocaleString("en")} ${groupName(state)}${direct ? ", direct" : ""}`, group: true });
    else {
      nodes.push({ places: [], key, state, text: "close", closes: true });
      nodes.push(...places.slice(0, MOST_OPEN).map(single));
      if (places.length > MOST_OPEN) nodes.push({ places: places.slice(MOST_OPEN), key: `m${key}`, state, text: `${(places.length - MOST_OPEN).toLocaleString("en")} more: search`, more: true, stage });
    }
  }
  return nodes;
}
const groupName = (state) => ({ match: "match", file: "files", outdated_upstream: "outdated upstream", gone: "no longer planned", conflict: "in conflict", follows: "follow" }[state] || state);

function layOut(view, width) {
  const lanes = new Map();
  for (const i of [...view.shown].sort((a, b) => a - b)) {
    const stage = stageOf(i);
    if (!lanes.has(stage)) lanes.set(stage, []);
    lanes.get(stage).push(i);
  }
  const order = [...lanes.keys()].sort((a, b) => b - a);
  const nodes = [];
  const rows = [];
  let y = 6;
  for (const stage of order) {
    const members = gather(stage, lanes.get(stage), view);
    const top = y;
    let x = NODE.label;
    const lines = [[]];
    for (const node of members) {
      node.width = widthOf(node.text) + (node.group ? 4 : 0);
      if (x > NODE.label && x + node.width > width - 6) { lines.push([]); x = NODE.label; }
      Object.assign(node, { x, y: top + NODE.pad + (lines.length - 1) * NODE.row, stage });
      lines[lines.length - 1].push(node);
      x += node.width + NODE.gap;
      nodes.push(node);
    }
    for (const line of lines) {
      const last = line[line.length - 1];
      const spare = Math.floor((width - 12 - last.x - last.width) / 2);
      if (lines.length === 1) for (const node of line) node.x += spare;
    }
    const height = lines.length * NODE.row + NODE.pad * 2 - NODE.gap;
    rows.push({ stage, top, height, count: lanes.get(stage).length, lines });
    y = top + height + NODE.lane;
  }
  return { nodes, rows, height: y - NODE.lane + 6 };
}

function edgesOf(nodes, view) {
  const owner = new Map();
  nodes.forEach((node, number) => node.places.forEach((i) => owner.set(i, number)));
  const found = new Map();
  for (const [i, number] of owner) {
    for (const input of inputsOf(i)) {
      const other = owner.get(input);
      if (other === undefined || other === number) continue;
      if (view.reports && view.reports.has(i) && !view.roots.has(input)) continue;
      const key = number * nodes.length + other;
      found.set(key, (found.get(key) || 0) + 1);
    }
  }
  return [...found.keys()].map((key) => ({ from: Math.floor(key / nodes.length), to: key % nodes.length }));
}

// What is also reached by way of another node is drawn only where it is pointed at: the rest stays readable. A loose
// edge, of what depends on nothing but whether its inputs were accepted, is no such way.
function markImplied(edges, nodes) {
  const next = nodes.map(() => []);
  for (const edge of edges) {
    edge.loose = nodes[edge.from].places.every((i) => loose.has(i));
    if (!edge.loose) next[edge.from].push(edge.to);
  }
  const below = new Map();
  const reached = (n) => {
    if (!below.has(n)) { below.set(n, new Set()); for (const m of next[n]) { below.get(n).add(m); for (const k of reached(m)) below.get(n).add(k); } }
    return below.get(n);
  };
  for (const edge of edges) edge.implied = next[edge.from].some((other) => other !== edge.to && reached(other).has(edge.to));
}

function paint(view, act) {
  const host = byId("drawing");
  const width = Math.max(host.clientWidth, 320);
  const { nodes, rows, height } = layOut(view, width);
  let edges = edgesOf(nodes, view);
  if (edges.length > MOST_EDGES) edges = edges.filter((edge) => [edge.from, edge.to].some((n) => nodes[n].places.length > 1 || nodes[n].place === view.selected)).slice(0, MOST_EDGES);
  markImplied(edges, nodes);
  const laneOf = new Map(rows.map((row, number) => [row.stage, number]));
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": "Lineage: each row is a stage; what is above was made from what is below" });
  for (const row of rows) {
    svg.append(draw("rect", { class: "lane", x: 0, y: row.top, width, height: row.height, rx: 4 }),
      draw("text", { class: "stage", x: 10, y: row.top + 22 }, stageName(row.stage)),
      row.count > 1 ? draw("text", { class: "howmany", x: 10, y: row.top + 36 }, row.count.toLocaleString("en")) : "");
  }
  const lines = draw("g", { class: "edges" });
  for (const edge of edges) {
    const [from, to] = [nodes[edge.from], nodes[edge.to]];
    const [x1, y1, x2, y2] = [from.x + from.width / 2, from.y + NODE.height, to.x + to.width / 2, to.y];
    const bend = Math.min(60, Math.max(18, Math.abs(y2 - y1) / 2));
    const far = Math.abs(laneOf.get(from.stage) - laneOf.get(to.stage)) > 1;
    const chosen = [from, to].some((node) => node.place !== undefined && node.place === view.selected);
    edge.line = draw("path", { class: `edge${edge.implied ? " implied" : far ? " far" : ""}${chosen ? " chosen" : ""}${edge.loose ? " loose" : ""}`, d: `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}` });
    lines.append(edge.line);
  }
  svg.append(lines);
  nodes.forEach((node, number) => svg.append(node.drawn = paintNode(node, number, nodes, edges, view, svg, act)));
  const focused = host.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  host.replaceChildren(svg);
  const chosen = nodes.find((node) => node.place === view.selected) || nodes.find((node) => node.key === focused) || nodes[0];
  if (chosen) chosen.drawn.setAttribute("tabindex", "0");
  if (focused) (nodes.find((node) => node.key === focused) || chosen).drawn.focus({ preventScroll: true });
  byId("drawing").dataset.nodes = nodes.length;
}

function paintNode(node, number, nodes, edges, view, svg, act) {
  const conflict = node.state === "conflict" || (node.place !== undefined && conflicts.has(node.place));
  const chosen = node.place !== undefined && node.place === view.selected;
  const name = node.place !== undefined ? `${nameOf(node.place)}, ${NAMES[statusOf(node.place)]}${conflict ? ", in conflict" : ""}` : node.closes ? `${stageName(node.stage)}: close the group` : `${stageName(node.stage)}: ${node.text}, open`;
  const glyph = node.closes ? "×" : conflict ? "◆" : GLYPHS[node.state];
  const light = (on) => {
    svg.classList.toggle("pointed", on);
    for (const edge of edges) {
      const near = on && (edge.from === number || edge.to === number);
      edge.line.classList.toggle("near", near);
    }
  };
  return draw("g", {
    class: `node ${node.state}${node.group ? " group" : ""}${chosen ? " selected" : ""}${conflict ? " conflict" : ""}${view.roots && view.roots.has(node.place) ? " root" : ""}`,
    transform: `translate(${node.x} ${node.y})`, role: "button", tabindex: "-1", "aria-label": name, "aria-pressed": node.place !== undefined ? String(chosen) : null, "data-key": node.key,
    onclick: () => act(node), onpointerenter: () => light(true), onpointerleave: () => light(false), onfocus: () => light(true), onblur: () => light(false),
    onkeydown: (event) => walk(event, node, nodes, act),
  },
  draw("title", {}, name),
  node.group ? draw("rect", { class: "behind", x: 4, y: 4, width: node.width - 4, height: NODE.height, rx: 5 }) : "",
  draw("rect", { class: "box", width: node.width - (node.group ? 4 : 0), height: NODE.height, rx: 5 }),
  draw("text", { class: "glyph", x: 14, y: 17.5, "text-anchor": "middle" }, glyph),
  draw("text", { x: 25, y: 17.5 }, node.text));
}

// Arrows: left and right in reading order, up and down to the nearest node of the next row.
function walk(event, node, nodes, act) {
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(node); return; }
  const at = nodes.indexOf(node);
  let next = null;
  if (event.key === "ArrowRight") next = nodes[at + 1];
  else if (event.key === "ArrowLeft") next = nodes[at - 1];
  else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const side = event.key === "ArrowDown" ? 1 : -1;
    const centre = node.x + node.width / 2;
    const far = (other) => Math.abs(other.y - node.y) * 8 + Math.abs(other.x + other.width / 2 - centre);
    next = nodes.filter((other) => (other.y - node.y) * side > 0).sort((a, b) => far(a) - far(b))[0];
  } else return;
  event.preventDefault();
  if (next) { node.drawn.setAttribute("tabindex", "-1"); next.drawn.setAttribute("tabindex", "0"); next.drawn.focus(); }
}
