// Where things go. Each node that holds others is laid out for itself, by dagre, and is one node to its neighbours.

const LEAF = { minWidth: 132, maxWidth: 236, height: 50, beside: 46 };
const INSIDE = { x: 16, top: 40, bottom: 16 };
const LABEL = { size: 11, maxWidth: 132 };
const ROW_GAP = 38;
const LANE = 7;

class Forest {
  constructor(picture) {
    const nodes = picture.nodes || [];
    this.nodes = new Map(nodes.map((node) => [node.id, node]));
    this.children = new Map([[null, []]]);
    for (const node of this.nodes.values()) {
      const parent = this.nodes.has(node.parent) ? node.parent : null;
      if (!this.children.has(parent)) this.children.set(parent, []);
      this.children.get(parent).push(node.id);
    }
    this.edges = (picture.edges || []).filter(({ source, target }) => this.nodes.has(source) && this.nodes.has(target));
    this.links = this._linksByHolder();
  }

  above(id) {
    const path = [id];
    for (let node = this.nodes.get(id); this.nodes.has(node.parent) && path.length < 100;) {
      path.push(node.parent);
      node = this.nodes.get(node.parent);
    }
    return path;
  }

  // Edges between what lies side by side in one holder, one for each pair, with the labels of all that it stands for.
  _linksByHolder() {
    const found = new Map();
    for (const edge of this.edges) {
      const [sources, targets] = [this.above(edge.source), this.above(edge.target)];
      while (sources.length && targets.length && sources.at(-1) === targets.at(-1)) {
        sources.pop();
        targets.pop();
      }
      if (!sources.length || !targets.length) continue;
      const [source, target] = [sources.at(-1), targets.at(-1)];
      const holder = this.nodes.has(this.nodes.get(source).parent) ? this.nodes.get(source).parent : null;
      if (!found.has(holder)) found.set(holder, new Map());
      const key = JSON.stringify([source, target]);
      if (!found.get(holder).has(key)) found.get(holder).set(key, { source, target, kind: edge.kind, labels: [] });
      const link = found.get(holder).get(key);
      if (edge.kind !== "control") link.kind = edge.kind;
      if (edge.label && !link.labels.includes(edge.label)) link.labels.push(edge.label);
    }
    return found;
  }
}

function linkLabel({ labels }) {
  if (!labels.length) return "";
  const more = labels.length > 1 ? ` +${labels.length - 1}` : "";
  return fitted(labels[0], LABEL.maxWidth - textWidth(more, LABEL.size), LABEL.size) + more;
}

// The better of left to right, in rows as text is, and top to bottom, for a view of this size.
function layout(forest, width, height) {
  const inRows = arranged(forest, null, "LR", width / height);
  const downwards = arranged(forest, null, "TB", width / height);
  const scale = (box) => Math.min(1, width / (box.width + 24), height / (box.height + 24));
  const best = scale(downwards) > scale(inRows) * 1.02 || width < 480 ? downwards : inRows;
  return placed(forest, best);
}

// {width, height, boxes: [{id, x, y, width, height, inner?}], links}, with places relative to the box's corner.
function arranged(forest, holder, direction, aspect) {
  const boxes = forest.children.get(holder).map((id) => boxOf(forest, id, direction, aspect));
  const byBox = new Map(boxes.map((box) => [box.id, box]));
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: direction, nodesep: direction === "LR" ? 22 : 26, ranksep: 30, edgesep: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const box of boxes) graph.setNode(box.id, { width: box.width, height: box.height });
  const links = [...(forest.links.get(holder) || new Map()).values()];
  for (const link of links) {
    link.text = linkLabel(link);
    graph.setEdge(link.source, link.target, labelSize(link, direction));
  }
  dagre.layout(graph);
  for (const box of boxes) {
    const { x, y } = graph.node(box.id);
    Object.assign(box, { x: x - box.width / 2, y: y - box.height / 2 });
  }
  const drawn = links.map((link) => ({ ...link, ...graph.edge(link.source, link.target), direction }));
  for (const link of drawn) straightEnds(link, byBox.get(link.source), byBox.get(link.target));
  if (direction === "LR") wrapIntoRows(boxes, drawn, byBox, aspect);
  return bounded(boxes, drawn);
}

// The room for a label: above a line to the right, beside a line downwards.
function labelSize({ text }, direction) {
  if (!text) return { width: 0, height: 0 };
  const width = textWidth(text, LABEL.size) + 12;
  return direction === "LR" ? { width, height: 32, labelpos: "c" } : { width, height: 18, labelpos: "r" };
}

// A line leaves and meets a box on the sides that face its direction, never at a corner.
function straightEnds(link, from, to) {
  const within = (value, start, size) => Math.max(start + 12, Math.min(start + size - 12, value));
  const { points } = link;
  if (link.direction === "LR") {
    points[0] = { x: from.x + from.width, y: within(points[0].y, from.y, from.height) };
    points[points.length - 1] = { x: to.x, y: within(points.at(-1).y, to.y, to.height) };
  } else {
    points[0] = { x: within(points[0].x, from.x, from.width), y: from.y + from.height };
    points[points.length - 1] = { x: within(points.at(-1).x, to.x, to.width), y: to.y };
  }
}

function boxOf(forest, id, direction, aspect) {
  const node = forest.nodes.get(id);
  if (!forest.children.has(id)) {
    const wanted = Math.max(textWidth(node.label, 13, 600), textWidth(subtitle(node, forest), 11)) + LEAF.beside;
    return { id, width: Math.min(LEAF.maxWidth, Math.max(LEAF.minWidth, wanted)), height: LEAF.height };
  }
  const inner = arranged(forest, id, direction, aspect);
  const title = Math.min(300, textWidth(node.label, 13, 600) + textWidth(subtitle(node, forest), 11) + 56);
  const width = Math.max(inner.width, title) + 2 * INSIDE.x;
  inner.offset = (width - inner.width) / 2;
  return { id, width, height: inner.height + INSIDE.top + INSIDE.bottom, inner };
}

// Cuts a long line of boxes into rows, each read from left to right, below one another.
function wrapIntoRows(boxes, links, byBox, aspect) {
  const columns = columnsOf(boxes);
  const length = Math.max(...boxes.map((box) => box.x + box.width));
  const thickness = Math.max(...columns.map((column) => column.bottom - column.top)) + ROW_GAP;
  const rows = Math.round(Math.sqrt(length / (thickness * aspect)));
  if (rows < 2 || columns.length < 4 || length < 900) return;
  const rowOf = assignRows(columns, length / rows);
  stackRows(columns, rowOf);
  const lanes = new Map();
  for (const link of [...links].sort((a, b) => Boolean(b.text) - Boolean(a.text))) {
    const [from, to] = [byBox.get(link.source), byBox.get(link.target)];
    if (from.row === to.row) link.points = link.points.map(({ x, y }) => ({ x: x + from.dx, y: y + from.dy }));
    if (from.row === to.row && link.x !== undefined) Object.assign(link, { x: link.x + from.dx, y: link.y + from.dy });
    if (from.row !== to.row) routeBetweenRows(link, from, to, lanes);
  }
}

// Boxes that overlap from left to right belong together.
function columnsOf(boxes) {
  const columns = [];
  for (const box of [...boxes].sort((a, b) => a.x - b.x)) {
    const last = columns.at(-1);
    const column =
      last && box.x < last.right ? last : { left: box.x, right: 0, top: Infinity, bottom: -Infinity, boxes: [] };
    if (column !== last) columns.push(column);
    column.boxes.push(box);
    column.right = Math.max(column.right, box.x + box.width);
    column.top = Math.min(column.top, box.y);
    column.bottom = Math.max(column.bottom, box.y + box.height);
  }
  return columns;
}

function assignRows(columns, width) {
  let [row, start] = [0, columns[0].left];
  return columns.map((column) => {
    if (column.right - start > width * 1.08 && column.left > start) [row, start] = [row + 1, column.left];
    return row;
  });
}

function stackRows(columns, rowOf) {
  let y = 0;
  for (let row = 0; row <= rowOf.at(-1); row++) {
    const inRow = columns.filter((_, index) => rowOf[index] === row);
    const top = Math.min(...inRow.map((column) => column.top));
    const bottom = Math.max(...inRow.map((column) => column.bottom));
    const [dx, dy] = [-inRow[0].left, y - top];
    for (const column of inRow) {
      const sides = { columnLeft: column.left + dx, columnRight: column.right + dx };
      for (const box of column.boxes) {
        Object.assign(box, {
          x: box.x + dx,
          y: box.y + dy,
          dx,
          dy,
          row,
          rowTop: y,
          rowBottom: y + bottom - top,
          ...sides,
        });
      }
    }
    y += bottom - top + ROW_GAP;
  }
}

// Along the gaps between the rows, and past the left end of the rows that lie between.
function routeBetweenRows(link, from, to, lanes) {
  const nth = (lanes.get(from.row) || 0) + 1;
  lanes.set(from.row, nth);
  const depth = 15 + ((nth - 1) % 3) * LANE;
  const below = from.rowBottom + depth;
  const above = to.rowTop - ROW_GAP + depth;
  const [right, left] = [from.x + from.width, to.x];
  const [fromY, toY] = [from.y + from.height / 2, to.y + to.height / 2];
  const [out, into] = [from.columnRight + 12, to.columnLeft - 14];
  const start = [
    { x: right, y: fromY },
    { x: out, y: fromY },
    { x: out, y: below },
  ];
  const end = [
    { x: into, y: above },
    { x: into, y: toY },
    { x: left, y: toY },
  ];
  const isNext = to.row === from.row + 1;
  const lane = -14 - nth * LANE;
  const aside = isNext
    ? [{ x: into, y: below }]
    : [
        { x: lane, y: below },
        { x: lane, y: above },
      ];
  link.points = [...start, ...aside, ...(isNext ? end.slice(1) : end)];
  link.direction = "rows";
  if (!isNext || nth > 1) link.text = "";
  Object.assign(link, { x: (out + into) / 2, y: below });
}

// The extent of it all, with its upper left corner moved to 0, 0.
function bounded(boxes, links) {
  const xs = boxes.flatMap((box) => [box.x, box.x + box.width]);
  const ys = boxes.flatMap((box) => [box.y, box.y + box.height]);
  for (const link of links) {
    xs.push(...link.points.map(({ x }) => x));
    ys.push(...link.points.map(({ y }) => y));
    if (!link.text) continue;
    xs.push(link.x - link.width / 2, link.x + link.width / 2);
    ys.push(link.y - link.height / 2, link.y + link.height / 2);
  }
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  for (const box of boxes) Object.assign(box, { x: box.x - left, y: box.y - top });
  for (const link of links) {
    link.points = link.points.map(({ x, y }) => ({ x: x - left, y: y - top }));
    Object.assign(link, { x: link.x - left, y: link.y - top });
  }
  return { boxes, links, width: Math.max(...xs) - left, height: Math.max(...ys) - top };
}

// All boxes and links with places in the whole picture, what holds others before what it holds.
function placed(forest, whole) {
  const all = { boxes: [], links: [], width: whole.width, height: whole.height };
  const place = (part, x, y) => {
    for (const link of part.links) {
      const points = link.points.map((point) => ({ x: point.x + x, y: point.y + y }));
      all.links.push({ ...link, points, x: link.x + x, y: link.y + y });
    }
    for (const box of part.boxes) {
      const at = { ...box, x: box.x + x, y: box.y + y };
      all.boxes.push(at);
      if (box.inner) place(box.inner, at.x + box.inner.offset, at.y + INSIDE.top);
    }
  };
  place(whole, 0, 0);
  return all;
}
