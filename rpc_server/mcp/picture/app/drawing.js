// The picture as SVG: drawn once for a layout, then only coloured.

const ICONS = {
  pending: "M0-3.2a3.2 3.2 0 1 0 .01 0Z",
  running: "M0-6a6 6 0 0 1 6 6",
  completed: "M-4.5.3-1.3 3.5 4.8-3.2",
  failed: "M-3.8-3.8 3.8 3.8M3.8-3.8-3.8 3.8",
  skipped: "M-4 0H4",
};
const STATUSES = Object.keys(ICONS);

const statusOf = (node) => (STATUSES.includes(node.status) ? node.status : "pending");

// What a step is, and when it runs.
function subtitle(node, forest) {
  const leading = forest.edges.filter((edge) => edge.target === node.id && edge.source === node.parent);
  const outcome = leading.find(({ kind }) => kind === "outcome" || kind === "selected_outcome");
  const isItem = forest.nodes.get(node.parent)?.kind === "PipeBatch";
  const when = outcome ? (outcome.label === "default" ? "otherwise" : `if ${outcome.label}`) : isItem ? "for each" : "";
  return [when, node.kind].filter(Boolean).join(" · ");
}

function draw(forest, place) {
  const [holders, links, leaves] = [svg("g"), svg("g", { "aria-hidden": "true" }), svg("g")];
  const groups = new Map();
  for (const box of place.boxes) {
    const node = forest.nodes.get(box.id);
    const group = box.inner ? drawHolder(node, box, forest) : drawLeaf(node, box, forest);
    groups.set(box.id, group);
    (box.inner ? holders : leaves).append(group);
  }
  for (const link of place.links) links.append(drawLink(link));
  return { content: svg("g", {}, holders, links, leaves), groups };
}

function drawHolder(node, box, forest) {
  const room = box.width - 64;
  const name = fitted(node.label, room * 0.7, 13, 600);
  const rest = room - textWidth(name, 13, 600) - 8;
  const title = svg("text", { class: "name", x: 14, y: 25 }, name);
  const kind = svg(
    "text",
    { class: "kind", x: 22 + textWidth(name, 13, 600), y: 25 },
    fitted(subtitle(node, forest), rest, 11),
  );
  const frame = svg("rect", { class: "frame", width: box.width, height: box.height, rx: 12 });
  return drawGroup(node, box, "holder", [frame, title, kind], 20);
}

function drawLeaf(node, box, forest) {
  const room = box.width - LEAF.beside + 4;
  const frame = svg("rect", { class: "frame", width: box.width, height: box.height, rx: 8 });
  const name = svg("text", { class: "name", x: 14, y: 21 }, fitted(node.label, room, 13, 600));
  const kind = svg("text", { class: "kind", x: 14, y: 38 }, fitted(subtitle(node, forest), box.width - 24, 11));
  return drawGroup(node, box, "leaf", [frame, name, kind], 18);
}

function drawGroup(node, box, shape, parts, iconY) {
  const icon = svg("g", { class: "icon", transform: `translate(${box.width - 18} ${iconY})` }, svg("path"));
  const times = svg("text", { class: "times", x: box.width - 12, y: shape === "leaf" ? 40 : 25 });
  if (shape === "holder") times.setAttribute("x", box.width - 32);
  const attributes = { transform: `translate(${box.x} ${box.y})`, tabindex: -1, role: "button", "data-id": node.id };
  const group = svg("g", attributes, ...parts, times, icon);
  group.classList.add("node", shape);
  return group;
}

function drawLink(link) {
  const group = svg("g", { class: `link ${/^[a-z_]+$/.test(link.kind) ? link.kind : ""}` });
  const { points } = link;
  const line = link.direction === "rows" ? rounded(points) : curved(points, link.direction);
  group.append(svg("path", { class: "line", d: line, "marker-end": "url(#arrow)" }));
  if (link.text) group.append(svg("text", { class: "flow", ...labelPlace(link) }, link.text));
  group.append(svg("title", {}, link.labels.join("\n")));
  return group;
}

function labelPlace({ x, y, direction }) {
  return direction === "TB" ? { x, y: y + 4 } : { x, y: y - 5 };
}

// A line through the points that leaves and enters each of them in the direction of the layout.
function curved(points, direction) {
  let path = `M${points[0].x} ${points[0].y}`;
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1], points[i]];
    const [x, y] = [(a.x + b.x) / 2, (a.y + b.y) / 2];
    const bend = direction === "LR" ? `${x} ${a.y} ${x} ${b.y}` : `${a.x} ${y} ${b.x} ${y}`;
    path += `C${bend} ${b.x} ${b.y}`;
  }
  return path;
}

// A line along the points whose corners are round.
function rounded(points) {
  const parts = [`M${points[0].x} ${points[0].y}`];
  for (let i = 1; i < points.length - 1; i++) {
    const [before, corner, after] = [points[i - 1], points[i], points[i + 1]];
    const [a, b] = [towards(corner, before, 10), towards(corner, after, 10)];
    parts.push(`L${a.x} ${a.y}Q${corner.x} ${corner.y} ${b.x} ${b.y}`);
  }
  parts.push(`L${points.at(-1).x} ${points.at(-1).y}`);
  return parts.join("");
}

function towards(from, to, most) {
  const distance = Math.hypot(to.x - from.x, to.y - from.y);
  const share = distance ? Math.min(most, distance / 2) / distance : 0;
  return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
}

function colour(group, node) {
  const status = statusOf(node);
  for (const each of STATUSES) group.classList.toggle(each, each === status);
  group.querySelector(".icon path").setAttribute("d", ICONS[status]);
  group.querySelector(".times").textContent = node.times > 1 ? `×${node.times}` : "";
  group.setAttribute("aria-label", `${node.label}, ${node.kind}, ${status}`);
}

function arrowHead() {
  const marker = { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" };
  return svg("defs", {}, svg("marker", marker, svg("path", { d: "M0 .8 7 4 0 7.2Z", class: "head" })));
}
