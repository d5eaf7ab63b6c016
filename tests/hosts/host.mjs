// A host of MCP Apps: the TypeScript SDK's client to the hub, ext-apps' AppBridge, and Chromium.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import {
  AppBridge, RESOURCE_MIME_TYPE, getToolUiResourceUri,
} from "@modelcontextprotocol/ext-apps/app-bridge";
import chromium from "@sparticuz/chromium";
import { readFileSync } from "node:fs";
import { chromium as browsers } from "playwright-core";

const HOST = readFileSync(new URL("host.html", import.meta.url), "utf8");

/** Connect to the hub as a host that says it shows apps. */
export async function connect(url, key) {
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers: { Authorization: `Bearer ${key}` } },
  });
  const extensions = { "io.modelcontextprotocol/ui": { mimeTypes: [RESOURCE_MIME_TYPE] } };
  const client = new Client(
    { name: "a-host", version: "0" },
    { versionNegotiation: { mode: "auto" }, capabilities: { extensions } },
  );
  await client.connect(transport);
  return client;
}

/** Start the browser that came with the packages. */
export async function browser() {
  const executablePath = await chromium.executablePath();
  return browsers.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
}

/** The policy that the specification has a host build from what the resource declares. */
function policy({ connectDomains = [], resourceDomains = [], frameDomains = [], baseUriDomains = [] }) {
  const or = (domains, none) => domains.join(" ") || none;
  const from = resourceDomains.join(" ");
  return [
    "default-src 'none'", `script-src 'self' 'unsafe-inline' ${from}`,
    `style-src 'self' 'unsafe-inline' ${from}`, `img-src 'self' data: ${from}`,
    `connect-src ${or(connectDomains, "'none'")}`, `frame-src ${or(frameDomains, "'none'")}`,
    `base-uri ${or(baseUriDomains, "'self'")}`, "object-src 'none'",
  ].join("; ");
}

/** Messages between AppBridge, which runs here, and the frame in the page. */
class PageTransport {
  constructor(page) {
    this.page = page;
    this.heard = [];
  }
  async start() {
    await this.page.exposeFunction("toHost", (message) => {
      this.heard.push(message);
      this.onmessage?.(message);
    });
  }
  async send(message) {
    await this.page.evaluate((said) => window.toApp(said), message);
  }
  async close() {
    this.onclose?.();
  }
}

/** Call a tool and show its app, as a host does; gives what a test wants to look at. */
export async function show(running, client, name, given, capabilities = { serverTools: {} }) {
  const { tools } = await client.listTools();
  const uri = getToolUiResourceUri(tools.find((tool) => tool.name === name));
  const resource = (await client.readResource({ uri })).contents[0];
  const page = await running.newPage({ viewport: { width: 1100, height: 950 } });
  const seen = { requests: [], complaints: [], sizes: [] };
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("console", (line) => line.type() === "error" && seen.complaints.push(line.text()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  const html = (body, headers = {}) =>
    (route) => route.fulfill({ body, contentType: "text/html; charset=utf-8", headers });
  await page.route("**/*", (route) => route.abort());
  await page.route("http://host.test/", html(HOST));
  const csp = policy(resource._meta.ui.csp);
  await page.route("http://board.test/", html(resource.text, { "content-security-policy": csp }));
  const transport = new PageTransport(page);
  const bridge = new AppBridge(client, { name: "a-host", version: "0" }, capabilities, {
    hostContext: { theme: "light", toolInfo: { tool: tools.find((tool) => tool.name === name) } },
  });
  bridge.onsizechange = (size) => seen.sizes.push(size);
  const initialized = new Promise((resolve) => (bridge.oninitialized = resolve));
  await bridge.connect(transport);
  await page.goto("http://host.test/");
  await page.evaluate(() => window.open());
  await initialized;
  await bridge.sendToolInput({ arguments: given });
  await bridge.sendToolResult(await client.callTool({ name, arguments: given }));
  const frame = page.frames().find((each) => each.url() === "http://board.test/");
  return { page, frame, bridge, seen, resource, heard: transport.heard };
}
