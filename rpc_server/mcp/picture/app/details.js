// What is known of one step.

function describe(panel, node, forest, close) {
  const status = statusOf(node);
  const button = html("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
  button.addEventListener("click", close);
  const often = node.times > 1 ? ` · ran ${node.times} times` : "";
  const about = html(
    "section",
    {},
    html("h2", {}, node.label),
    html("p", { class: `about ${status}` }, `${node.kind} · ${status}${often}`),
  );
  if (node.description) about.append(html("p", { class: "description" }, node.description));
  if (node.detail) about.append(html("p", { class: `reason ${status}` }, node.detail));
  const [given, made] = [
    node.inputs || flows(forest, "target", node.id),
    node.outputs || flows(forest, "source", node.id),
  ];
  panel.replaceChildren(about, ...flowList("In", given), ...flowList("Out", made), button);
}

function flows(forest, end, id) {
  const labels = forest.edges.filter((edge) => edge[end] === id && edge.kind === "data").map((edge) => edge.label);
  return [...new Set(labels)].map((name) => ({ name }));
}

function flowList(title, items) {
  if (!items.length) return [];
  const list = html("dl");
  for (const { name, concept, value } of items) {
    list.append(html("dt", {}, html("b", {}, name || "?"), concept ? html("span", {}, concept) : ""));
    if (value) list.append(html("dd", {}, value));
  }
  return [html("section", {}, html("h3", {}, title), list)];
}
