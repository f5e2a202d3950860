// A host made with an official TypeScript SDK. It spawns the server, goes once through what hosts do, and prints what
// it has seen as one JSON object.
//
//     node typescript_sdk.mjs sdk|client legacy|modern '{"command": …, "args": …, "env": …, "cwd": …, "begun": …}'
//
// `sdk` is @modelcontextprotocol/sdk, which shakes hands only; `client` is @modelcontextprotocol/client, in either era.

import { existsSync, writeFileSync } from "node:fs";
import { watch } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

const [, , library, era, given] = process.argv;
const host = JSON.parse(given);
const info = { name: "mthds-rpc-tests", version: "1" };

const makers = {
  async sdk() {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StdioClientTransport } = await import("@modelcontextprotocol/sdk/client/stdio.js");
    const { CallToolResultSchema, ToolListChangedNotificationSchema } = await import(
      "@modelcontextprotocol/sdk/types.js"
    );
    const client = new Client(info);
    return {
      client,
      transport: new StdioClientTransport({ ...server, stderr: "pipe" }),
      call: (params, options) => client.callTool(params, CallToolResultSchema, options),
      onToolsChanged: async (handle) => client.setNotificationHandler(ToolListChangedNotificationSchema, handle),
      async task(params) {
        const stream = client.experimental.tasks.callToolStream(params, CallToolResultSchema, { task: { ttl: 60000 } });
        const kinds = [];
        for await (const message of stream) {
          if (message.type === "error") throw message.error;
          kinds.push(message.type);
          if (message.type === "result") return { kinds, result: message.result };
        }
      },
    };
  },
  async client() {
    const { Client } = await import("@modelcontextprotocol/client");
    const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
    const mode = era === "legacy" ? "legacy" : { pin: "2026-07-28" };
    const client = new Client(info, { versionNegotiation: { mode } });
    return {
      client,
      transport: new StdioClientTransport({ ...server, stderr: "pipe" }),
      call: (params, options) => client.callTool(params, options),
      async onToolsChanged(handle) {
        client.setNotificationHandler("notifications/tools/list_changed", handle);
        if (era === "modern") await client.listen({ toolsListChanged: true });
      },
    };
  },
};
const server = { command: host.command, args: host.args, env: host.env, cwd: host.cwd };

async function appeared(path) {
  const changes = watch(dirname(path));
  if (existsSync(path)) return;
  for await (const change of changes) {
    if (change.filename === basename(path) || existsSync(path)) return;
  }
}

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return { code: error.code, message: error.message };
  }
  return null;
}

async function givenUp(call) {
  const abort = new AbortController();
  const params = { name: "execute", arguments: { method: "waiting", inputs: { word: "x" }, run_id: "given-up" } };
  const failed = failure(call(params, { signal: abort.signal }));
  await appeared(host.begun);
  abort.abort("the user has left");
  const error = await failed;
  const ended = await call({ name: "run_result", arguments: { run_id: "given-up", wait_s: 50 } });
  return { error, ended };
}

// The tools, once one of them is named so: what a server finds out late it announces.
async function toolsWith(part) {
  for (;;) {
    const next = news.promise;
    const { tools } = await client.listTools();
    if (tools.some((tool) => tool.name.includes(part))) return tools;
    await next;
  }
}

const { client, transport, call, onToolsChanged, task } = await makers[library]();
let news = Promise.withResolvers();
await client.connect(transport);
await onToolsChanged(() => {
  news.resolve();
  news = Promise.withResolvers();
});
const seen = {};
seen.server = client.getServerVersion();
seen.instructions = client.getInstructions();
seen.version = client.getNegotiatedProtocolVersion?.();
seen.tools = await toolsWith("greet");
// The older SDK forgets progress that it reads together with the answer, as on a busy machine: the run is made again then.
for (let attempt = 1; attempt <= 5 && !seen.steps?.some((step) => step.message?.startsWith("chain.two started")); attempt++) {
  seen.steps = [];
  seen.run = await call(
    { name: "execute", arguments: { method: "chain.mthds", inputs: { word: "hey" } } },
    { onprogress: (step) => seen.steps.push(step), resetTimeoutOnProgress: true },
  );
}
const method = seen.tools.find((tool) => tool.name.includes("greet"));
seen.method = await call({ name: method.name, arguments: { name: "Ann" } });
seen.failed = await call({ name: "execute", arguments: { method: "greet.mthds", inputs: {} } });
seen.verdict = await call({ name: "validate", arguments: { method: "greet.mthds" } });
seen.unknown = await failure(call({ name: "nothing", arguments: {} }));
seen.resources = (await client.listResources()).resources.map((resource) => resource.uri);
seen.templates = (await client.listResourceTemplates()).resourceTemplates.map((template) => template.uriTemplate);
seen.source = (await client.readResource({ uri: "mthds://methods/greet.mthds" })).contents[0].text;
seen.absent = await failure(client.readResource({ uri: "mthds://methods/nowhere.mthds" }));
seen.completed = (
  await client.complete({
    ref: { type: "ref/prompt", name: "run_method" },
    argument: { name: "method", value: "gr" },
  })
).completion.values;
seen.prompt = (await client.getPrompt({ name: "run_method", arguments: { method: "greet.mthds" } })).messages;
seen.ping = era === "legacy" ? await client.ping() : null;
seen.givenUp = await givenUp(call);
seen.task = task && (await task({ name: "execute", arguments: { method: "chain.mthds", inputs: { word: "hey" } } }));
writeFileSync(join(host.cwd, "again.mthds"), host.source);
seen.changed = (await toolsWith("again")).map((tool) => tool.name);
await client.close();
process.stdout.write(JSON.stringify(seen));
