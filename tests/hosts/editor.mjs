// An editor's extension, made with vscode-jsonrpc: it spawns the server, speaks in Content-Length frames, goes once
// through what an editor does with a method, and prints what it has seen as one JSON object.
//
//     node editor.mjs '{"command": …, "args": …, "env": …, "cwd": …, "begun": …, "source": …}'

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { watch } from "node:fs/promises";
import { dirname } from "node:path";
import rpc from "vscode-jsonrpc/node";

const host = JSON.parse(process.argv[2]);
const server = spawn(host.command, host.args, { cwd: host.cwd, env: host.env, stdio: ["pipe", "pipe", "pipe"] });
const exited = new Promise((resolve) => server.once("exit", (code) => resolve(code)));
const complaints = [];
server.stderr.on("data", (data) => complaints.push(data.toString()));
const connection = rpc.createMessageConnection(
  new rpc.StreamMessageReader(server.stdout),
  new rpc.StreamMessageWriter(server.stdin),
);
const steps = [];
connection.onNotification("notifications/progress", (params) => steps.push(params));
connection.listen();

async function appeared(path) {
  const changes = watch(dirname(path));
  if (existsSync(path)) return;
  for await (const _ of changes) if (existsSync(path)) return;
}

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return { code: error.code, message: error.message, data: error.data };
  }
  return null;
}

async function cancelled() {
  const source = new rpc.CancellationTokenSource();
  const params = { method: "waiting", inputs: { word: "x" }, run_id: "dropped", _meta: { progressToken: "dropped" } };
  const failed = failure(connection.sendRequest("execute", params, source.token));
  await appeared(host.begun);
  source.cancel();
  return { error: await failed, run: await connection.sendRequest("runs/get", { run_id: "dropped" }) };
}

const seen = {};
const edited = host.source.replace('output = "Text"', 'output = "Txet"').replace("Greet", "Grüße 👋");
const keystrokes = ["domain", 'domain = "greeting', edited, host.source].map((text) => ({
  files: { "main.mthds": text },
}));
seen.verdicts = await Promise.all(keystrokes.map((params) => connection.sendRequest("validate", params)));
seen.run = await connection.sendRequest("execute", {
  method: "chain.mthds",
  inputs: { word: "hey" },
  _meta: { progressToken: "chain" },
});
const positional = [{ "main.mthds": host.source }, null, null, null, null, null, { name: "Ann" }];
seen.positional = await connection.sendRequest("execute", rpc.ParameterStructures.byPosition, ...positional);
seen.refused = await failure(connection.sendRequest("execute", { method: "greet.mthds", inputs: {} }));
seen.unknown = await failure(connection.sendRequest("textDocument/hover", {}));
seen.cancelled = await cancelled();
await connection.sendNotification("$/setTrace", { value: "verbose" });
seen.shutdown = await connection.sendRequest("shutdown");
await connection.sendNotification("exit");
seen.status = await exited;
seen.steps = steps;
seen.complaints = complaints.join("");
process.stdout.write(JSON.stringify(seen));
