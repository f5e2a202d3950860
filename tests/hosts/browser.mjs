// A headless Chromium with a host of MCP Apps in it, driven by JSON lines on stdin, each answered by one on stdout.
//
// The host is the real AppBridge, here in Node; in the browser is a window with the page in a sandboxed frame, under
// the policy that the extension gives to a page which declares no domain.

import { createInterface } from "node:readline";

// Makes the packaged Chromium bring the libraries and fonts that the machine may lack.
process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs22.x";
const { default: chromium } = await import("@sparticuz/chromium");
const { default: puppeteer } = await import("puppeteer-core");
const { AppBridge } = await import("@modelcontextprotocol/ext-apps/app-bridge");

const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'unsafe-inline'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "media-src 'self' data:",
  "connect-src 'none'",
].join("; ");
const TIMEOUT_MS = 20000;

const browser = await puppeteer.launch({
  executablePath: process.env.MTHDS_RPC_TEST_BROWSER || (await chromium.executablePath()),
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--font-render-hinting=none",
    "--no-first-run",
    "--disable-background-networking",
  ],
  headless: "shell",
});

class Host {
  // `capabilities` and `context` are the host's; `mayAnswer: false` is a window above that is no host at all.
  static async open({ html, width, height, scheme = "light", capabilities = {}, context = {}, mayAnswer = true }) {
    const host = new Host();
    host.page = await browser.newPage();
    await host.page.setViewport({ width, height, deviceScaleFactor: 1 });
    await host.page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    host.observe();
    if (mayAnswer) host.bridge = host.bridged(capabilities, context);
    const isReady = mayAnswer && new Promise((resolve) => (host.bridge.oninitialized = resolve));
    const transport = await host.transport();
    if (mayAnswer) await host.bridge.connect(transport);
    await host.embed(html);
    await isReady;
    return host;
  }

  constructor() {
    this.said = [];
    this.requests = [];
    this.asked = [];
    this.sizes = [];
    this.news = { reads: null, calls: null };
  }

  observe() {
    this.page.on("console", (message) => this.said.push(`${message.type()}: ${message.text()}`));
    this.page.on("pageerror", (error) => this.said.push(`thrown: ${error.message}`));
    this.page.on("request", (request) => this.requests.push(request.url()));
  }

  bridged(capabilities, context) {
    const bridge = new AppBridge(null, { name: "test-host", version: "1" }, capabilities, { hostContext: context });
    bridge.onsizechange = (size) => this.sizes.push(size);
    bridge.onreadresource = async ({ uri }) => {
      this.asked.push({ method: "resources/read", uri });
      if (!this.news.reads) throw new Error("nothing to read");
      return { contents: [{ uri, mimeType: "application/json", text: JSON.stringify(this.news.reads) }] };
    };
    bridge.oncalltool = async (params) => {
      this.asked.push({ method: "tools/call", ...params });
      if (!this.news.calls) throw new Error("no such tool");
      return this.news.calls;
    };
    bridge.onrequestdisplaymode = async ({ mode }) => ({ mode });
    return bridge;
  }

  async transport() {
    const transport = { start: async () => {}, close: async () => {} };
    transport.send = (message) =>
      this.page.evaluate((m) => document.querySelector("iframe").contentWindow.postMessage(m, "*"), message);
    await this.page.exposeFunction("toHost", (message) => transport.onmessage?.(message));
    return transport;
  }

  async embed(html) {
    await this.page.setContent(
      '<!doctype html><body style="margin:0"><iframe sandbox="allow-scripts" style="display:block;border:0;width:100vw;height:100vh"></iframe>',
    );
    await this.page.evaluate(
      (text) => {
        const frame = document.querySelector("iframe");
        window.addEventListener(
          "message",
          (event) => event.source === frame.contentWindow && window.toHost(event.data),
        );
        frame.srcdoc = text;
      },
      html.replace("<head>", `<head><meta http-equiv="Content-Security-Policy" content="${POLICY}">`),
    );
    this.frame = await this.page.waitForFrame((frame) => frame.url() === "about:srcdoc", { timeout: TIMEOUT_MS });
    await this.frame.waitForFunction(() => document.readyState === "complete", { timeout: TIMEOUT_MS });
  }
}

let host = null;

const commands = {
  async open(how) {
    await host?.page.close();
    host = await Host.open(how);
  },
  input: ({ params }) => host.bridge.sendToolInput(params),
  result: ({ params }) => host.bridge.sendToolResult(params),
  context: ({ params }) => host.bridge.setHostContext(params),
  teardown: () => host.bridge.teardownResource({}),
  news({ reads = null, calls = null }) {
    host.news = { reads, calls };
  },
  // What a JavaScript expression is in the page.
  evaluate: ({ script }) => host.frame.evaluate(script),
  // Waits until an expression is true in the page.
  async until({ script }) {
    await host.frame.waitForFunction(script, { timeout: TIMEOUT_MS });
  },
  // Waits until the page has asked the host `times` times altogether.
  async asked({ times }) {
    const end = Date.now() + TIMEOUT_MS;
    while (host.asked.length < times && Date.now() < end) await new Promise((resolve) => setImmediate(resolve));
    return host.asked;
  },
  // Waits until the page has told the host that it has this size; all sizes that it told.
  async sized({ size }) {
    const end = Date.now() + TIMEOUT_MS;
    const isTold = () => host.sizes.some((told) => told.width === size.width && told.height === size.height);
    while (!isTold() && Date.now() < end) await new Promise((resolve) => setImmediate(resolve));
    if (!isTold()) throw new Error(`told ${JSON.stringify(host.sizes)}`);
    return host.sizes;
  },
  async press({ keys }) {
    for (const key of keys) await host.page.keyboard.press(key);
  },
  async click({ selector }) {
    const element = await host.frame.waitForSelector(selector, { timeout: TIMEOUT_MS });
    await element.click();
  },
  async screenshot({ path }) {
    await host.page.screenshot({ path });
  },
  seen: () => ({ said: host.said, requests: host.requests }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...given } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await commands[command](given)) ?? null };
  } catch (error) {
    answer = { error: `${command}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
