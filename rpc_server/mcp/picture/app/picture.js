// The page itself: takes what the host sends, shows it, and asks for news while the run goes on.

const PICTURE_KEY = "mthds-rpc/picture";
const POLL = { firstMs: 1000, mostMs: 8000, growth: 1.5, unchanged: 1.15, failures: 8 };
const STATE_NAMES = {
  QUEUED: "Waiting to run",
  RUNNING: "Running",
  COMPLETED: "Completed",
  FAILED: "Failed",
  CANCELLED: "Cancelled",
  TIMED_OUT: "Timed out",
};
const STAGE = { least: 150, most: 560 };

let picture = null;
let forest = null;
let drawn = null;
let view = null;
let chosen = null;
let runId = null;
let widthDrawn = 0;
let poll = { timer: null, delay: POLL.firstMs, failures: 0, sources: [] };

const host = new Host({
  on: {
    "ui/notifications/tool-input": ({ arguments: given }) => expect(given || {}),
    "ui/notifications/tool-result": takeResult,
    "ui/notifications/tool-cancelled": () => !picture && say("The call was cancelled before there was a picture."),
    "ui/notifications/host-context-changed": (changed) => {
      host.mergeContext(changed);
      adapt();
    },
  },
  answer: {
    ping: () => ({}),
    "ui/resource-teardown": () => {
      stopPolling();
      runId = null;
      return {};
    },
  },
});

function expect(given) {
  if (!picture) say(typeof given.method === "string" ? `Waiting for ${given.method}…` : "Waiting for the answer…");
}

const isPicture = (value) => Array.isArray(value?.nodes);

function takeResult(result) {
  const structured = result.structuredContent || {};
  const given = isPicture(result._meta?.[PICTURE_KEY]) ? result._meta[PICTURE_KEY] : null;
  runId = given?.run_id || structured.pipeline_run_id || null;
  poll.failures = 0;
  poll.sources = newsSources();
  if (given) show(given);
  if (given || (runId && poll.sources.length)) return follow();
  const text = (result.content || []).find((block) => block.type === "text")?.text;
  if (result.isError && text) return say(text, "failed");
  say(
    runId
      ? "No picture came with this answer, and this host offers no way to ask for one."
      : "There is no picture: the answer is about no run and no graph.",
  );
}

function say(text, tone = "") {
  byId("notice").textContent = text;
  byId("notice").className = `notice ${tone}`;
  byId("notice").hidden = !text;
}

// --- News of the run ---------------------------------------------------------------------------------------------

function newsSources() {
  const sources = [];
  if (host.capabilities.serverResources) sources.push(readPicture);
  if (host.capabilities.serverTools) sources.push(askStatus);
  return sources;
}

async function readPicture() {
  const uri = `mthds://runs/${encodeURIComponent(runId)}/picture`;
  const { contents } = await host.request("resources/read", { uri });
  return JSON.parse(contents[0].text);
}

async function askStatus() {
  const result = await host.request("tools/call", { name: "run_status", arguments: { run_id: runId } });
  return result._meta[PICTURE_KEY];
}

const isGoing = () => !picture || ["QUEUED", "RUNNING"].includes(picture.state);

function follow() {
  stopPolling();
  if (!runId || !isGoing()) return;
  if (poll.sources.length) poll.timer = setTimeout(askForNews, picture ? poll.delay : 0);
  else showState("as of the last answer");
}

function stopPolling() {
  clearTimeout(poll.timer);
  poll.timer = null;
}

async function askForNews() {
  const asked = runId;
  try {
    const news = await poll.sources[0]();
    if (asked !== runId) return;
    if (!isPicture(news)) throw new TypeError("not a picture");
    const changed = JSON.stringify(news) !== JSON.stringify(picture);
    show(news);
    poll.failures = 0;
    poll.delay = changed ? POLL.firstMs : Math.min(POLL.mostMs, poll.delay * POLL.unchanged);
  } catch {
    noNews();
  }
  if (poll.failures < POLL.failures) follow();
  else showState("no longer updated");
}

// Another source is tried at once; after the last one, later.
function noNews() {
  poll.failures += 1;
  poll.delay = Math.min(POLL.mostMs, poll.delay * POLL.growth);
  poll.sources.push(poll.sources.shift());
  if (!picture) say("The picture cannot be read at the moment.");
}

// --- Showing -----------------------------------------------------------------------------------------------------

function show(news) {
  const isSame = forest && shapeOf(news) === shapeOf(picture);
  picture = news;
  byId("title").textContent = picture.title || "Run";
  byId("problem").textContent = picture.detail || "";
  byId("problem").hidden = !picture.detail;
  showState();
  const isEmpty = !picture.nodes.length;
  for (const id of ["stage", "legend"]) byId(id).hidden = isEmpty;
  say(isEmpty ? emptyText() : "");
  if (isEmpty) return;
  forest = new Forest(picture);
  if (!isSame) rebuild();
  for (const [id, group] of drawn.groups) colour(group, forest.nodes.get(id));
  if (chosen) choose(forest.nodes.has(chosen) ? chosen : null);
  keepInSight();
}

// The step that runs, or the last that did, where the picture is larger than its window.
function keepInSight() {
  if (chosen || view.isByHand) return;
  if (!["QUEUED", "RUNNING"].includes(picture.state)) return;
  const nodes = [...forest.nodes.values()];
  const at =
    nodes.findLast((node) => node.parent && statusOf(node) === "running") ||
    nodes.findLast((node) => statusOf(node) === "completed" && !forest.children.has(node.id));
  const box = at && drawn.boxes.get(at.id);
  if (box) view.reveal(box);
}

function emptyText() {
  if (picture.state === "QUEUED" || picture.state === "RUNNING") return "No step has begun yet.";
  return "There is no graph to draw: the method has no main pipe, or no step was begun.";
}

const shapeOf = ({ nodes, edges }) =>
  JSON.stringify([
    nodes.map((n) => [n.id, n.parent, n.label, n.kind]),
    (edges || []).map((e) => [e.source, e.target, e.label]),
  ]);

function showState(note = "") {
  const { state, counts, nodes } = picture || { nodes: [] };
  const known = STATE_NAMES[state] || (nodes.length ? "Not run" : "");
  byId("state").textContent = note ? `${known}, ${note}` : known;
  byId("state").className = `state ${String(state || "none").toLowerCase()}`;
  const found = { ...Object.fromEntries(STATUSES.map((status) => [status, 0])), ...counts };
  const total = nodes.length;
  const parts = state ? [`${found.completed} of ${total} done`] : [`${total} ${total === 1 ? "step" : "steps"}`];
  for (const status of ["running", "failed", "skipped"]) if (found[status]) parts.push(`${found[status]} ${status}`);
  byId("counts").textContent = total ? parts.join(" · ") : "";
  byId("progress").replaceChildren(
    ...["completed", "failed", "skipped", "running"].map((status) =>
      html("i", { class: status, style: `flex-grow:${total ? found[status] / total : 0}` }),
    ),
    html("i", { class: "rest", style: `flex-grow:${total ? Math.max(0, found.pending / total) : 1}` }),
  );
}

function rebuild() {
  const stage = byId("stage");
  const width = stage.clientWidth || 600;
  widthDrawn = width;
  const place = layout(forest, width, roomFor());
  stage.style.height = `${stageHeight(place, width)}px`;
  drawn = draw(forest, place);
  drawn.boxes = new Map(place.boxes.map((box) => [box.id, box]));
  const surface = svg("svg", { width: "100%", height: "100%" }, arrowHead(), drawn.content);
  stage.replaceChildren(surface);
  const before = view;
  view = new View(stage, drawn.content, place);
  view.attach(surface);
  if (before?.isByHand) {
    view.isByHand = true;
    view._set(before.scale, before.x, before.y);
  } else view.open();
  for (const [id, group] of drawn.groups) group.addEventListener("focus", () => choose(id));
  drawn.groups.get(chosen || [...drawn.groups.keys()][0])?.setAttribute("tabindex", "0");
  for (const [id, group] of drawn.groups) colour(group, forest.nodes.get(id));
  if (chosen) {
    drawn.groups.get(chosen)?.classList.add("chosen");
    if (!view.isByHand && drawn.boxes.has(chosen)) view.reveal(drawn.boxes.get(chosen));
  } else keepInSight();
}

function roomFor() {
  const { containerDimensions: given = {}, displayMode } = host.context;
  const chrome = byId("app").offsetHeight - byId("stage").offsetHeight - byId("details").offsetHeight;
  if (displayMode === "fullscreen") return Math.max(STAGE.least, window.innerHeight - chrome - 4);
  const most = given.height || given.maxHeight;
  return most ? Math.max(STAGE.least, most - chrome) : STAGE.most;
}

function stageHeight(place, width) {
  const room = roomFor();
  if (host.context.displayMode === "fullscreen" || host.context.containerDimensions?.height) return room;
  const scale = Math.max(ZOOM.readable, Math.min(1, (width - 2 * MARGIN) / place.width));
  return Math.round(Math.max(STAGE.least, Math.min(room, place.height * scale + 2 * MARGIN)));
}

// --- The chosen step, the keyboard -------------------------------------------------------------------------------

function choose(id) {
  for (const [each, group] of drawn.groups) {
    group.classList.toggle("chosen", each === id);
    group.setAttribute("tabindex", each === (id || [...drawn.groups.keys()][0]) ? "0" : "-1");
  }
  const panel = byId("details");
  const isNew = id !== chosen || panel.hidden;
  chosen = id;
  panel.hidden = !id;
  if (!id) return;
  describe(panel, forest.nodes.get(id), forest, leave);
  if (isNew) view.reveal(drawn.boxes.get(id));
}

// No step is chosen any more; the keyboard stays with the picture.
function leave() {
  choose(null);
  byId("stage").focus({ preventScroll: true });
}

function move(step) {
  const ids = [...forest.nodes.keys()].filter((id) => drawn.groups.has(id));
  const at = Math.max(0, ids.indexOf(chosen));
  const next =
    { first: 0, last: ids.length - 1 }[step] ?? Math.max(0, Math.min(ids.length - 1, chosen ? at + step : at));
  drawn.groups.get(ids[next]).focus({ preventScroll: true });
}

const KEYS = {
  ArrowDown: () => move(1),
  ArrowRight: () => move(1),
  ArrowUp: () => move(-1),
  ArrowLeft: () => move(-1),
  Home: () => move("first"),
  End: () => move("last"),
  Escape: leave,
  "+": () => view.zoom(ZOOM.step),
  "=": () => view.zoom(ZOOM.step),
  "-": () => view.zoom(1 / ZOOM.step),
  0: () => view.fit(),
};

byId("stage").addEventListener("keydown", (event) => {
  const act = !event.ctrlKey && !event.metaKey && !event.altKey && KEYS[event.key];
  if (!act || !drawn) return;
  event.preventDefault();
  act();
});
byId("details").addEventListener("keydown", (event) => event.key === "Escape" && leave());
byId("zoom-in").addEventListener("click", () => view?.zoom(ZOOM.step));
byId("zoom-out").addEventListener("click", () => view?.zoom(1 / ZOOM.step));
byId("fit").addEventListener("click", () => view?.fit());
byId("expand").addEventListener("click", () => expand().catch(() => (byId("expand").hidden = true)));

async function expand() {
  const mode = host.context.displayMode === "fullscreen" ? "inline" : "fullscreen";
  const { mode: granted } = await host.request("ui/request-display-mode", { mode });
  host.mergeContext({ displayMode: granted });
  adapt();
}

// --- The surroundings --------------------------------------------------------------------------------------------

function adapt() {
  const { theme, styles, availableDisplayModes: modes = [], displayMode, safeAreaInsets: insets } = host.context;
  const root = document.documentElement;
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  for (const [name, value] of Object.entries(styles?.variables || {})) {
    if (name.startsWith("--") && typeof value === "string") root.style.setProperty(name, value);
  }
  if (insets)
    byId("app").style.padding = ["top", "right", "bottom", "left"]
      .map((side) => `${12 + (insets[side] || 0)}px`)
      .join(" ");
  byId("expand").hidden = !modes.includes("fullscreen");
  byId("expand").textContent = displayMode === "fullscreen" ? "Collapse" : "Expand";
  if (drawn) rebuild();
}

function legend() {
  const chips = STATUSES.map((status) => {
    const icon = svg(
      "svg",
      { width: 16, height: 16, viewBox: "-8 -8 16 16", class: "node" },
      svg("g", { class: "icon" }, svg("path", { d: ICONS[status] })),
    );
    icon.classList.add(status);
    return html("span", { class: "chip" }, icon, status);
  });
  const lines = { data: "what flows", control: "runs next" };
  for (const [kind, meaning] of Object.entries(lines)) {
    const line = svg("path", { class: "line", d: "M1 4H23" });
    chips.push(
      html("span", { class: "chip" }, svg("svg", { width: 24, height: 8, class: `link ${kind}` }, line), meaning),
    );
  }
  byId("legend").append(...chips);
}

let told = "";
function tellSize() {
  const size = { width: Math.ceil(window.innerWidth), height: Math.ceil(byId("app").getBoundingClientRect().height) };
  if (JSON.stringify(size) === told) return;
  told = JSON.stringify(size);
  host.notify("ui/notifications/size-changed", size);
}

function watchSize() {
  new ResizeObserver(tellSize).observe(byId("app"));
  new ResizeObserver(() => {
    const width = byId("stage").clientWidth;
    if (!drawn || width === widthDrawn || !width) return;
    requestAnimationFrame(rebuild);
  }).observe(byId("stage"));
}

async function begin() {
  legend();
  try {
    await host.connect();
  } catch {
    return say("This page draws a run for a host with MCP Apps, and none answered.");
  }
  adapt();
  watchSize();
}

begin();
