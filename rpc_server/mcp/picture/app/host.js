// The host of the page: JSON-RPC over postMessage with the window above, as MCP Apps has it.

const PROTOCOL_VERSION = "2026-01-26";
const REQUEST_TIMEOUT_MS = 15000;

class Host {
  // `on` maps a notification's method to what takes its params; `answer` does so for requests.
  constructor({ on, answer }) {
    this.capabilities = {};
    this.context = {};
    this._on = on;
    this._answer = answer;
    this._waiting = new Map();
    this._nextId = 1;
    window.addEventListener("message", (event) => this._receive(event));
  }

  async connect() {
    const result = await this.request("ui/initialize", {
      appInfo: { name: "mthds-rpc-picture", version: "1.0.0" },
      appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
      protocolVersion: PROTOCOL_VERSION,
    });
    this.capabilities = result.hostCapabilities || {};
    this.mergeContext(result.hostContext);
    this.notify("ui/notifications/initialized", {});
  }

  mergeContext(changed) {
    this.context = { ...this.context, ...changed };
  }

  // Rejects with an Error that has the JSON-RPC `code`, if the host answered with one.
  request(method, params) {
    const id = this._nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this._settle(id, { error: { message: "no answer in time" } }), REQUEST_TIMEOUT_MS);
      this._waiting.set(id, { resolve, reject, timer });
      this._send({ id, method, params });
    });
  }

  notify(method, params) {
    this._send({ method, params });
  }

  _send(message) {
    window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  }

  _receive(event) {
    const message = event.data;
    if (event.source !== window.parent || !message || message.jsonrpc !== "2.0") return;
    if (message.method === undefined) this._settle(message.id, message);
    else if (message.id === undefined) this._on[message.method]?.(message.params || {});
    else this._reply(message);
  }

  _reply({ id, method }) {
    const answer = this._answer[method];
    if (answer) this._send({ id, result: answer() });
    else this._send({ id, error: { code: -32601, message: `no such method: ${method}` } });
  }

  _settle(id, { result, error }) {
    const waiting = this._waiting.get(id);
    if (!waiting) return;
    this._waiting.delete(id);
    clearTimeout(waiting.timer);
    if (error) waiting.reject(Object.assign(new Error(error.message), { code: error.code }));
    else waiting.resolve(result);
  }
}
