// An agent in another language: subscribes to its inbox, says something to a peer or waits to be
// spoken to, reads, answers, acknowledges. 2025-11-25 ("v1") or 2026-07-28 ("v2").
import { setTimeout as sleep } from "node:timers/promises";

const [line, url, key, me, peer, mode] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${key}` };
const inbox = `context://inbox/${me}`;
let told;
const heard = new Promise((resolve) => (told = resolve));
let client;
let close;

if (line === "v1") {
  const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
  const http = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
  const types = await import("@modelcontextprotocol/sdk/types.js");
  const transport = new http.StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers },
  });
  client = new Client({ name: me, version: "0" });
  client.setNotificationHandler(types.ResourceUpdatedNotificationSchema, (n) => told(n.params.uri));
  await client.connect(transport);
  await client.subscribeResource({ uri: inbox });
  close = async () => {
    await transport.terminateSession();
    await client.close();
  };
} else {
  const mcp = await import("@modelcontextprotocol/client");
  const transport = new mcp.StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers },
  });
  client = new mcp.Client(
    { name: me, version: "0" },
    { versionNegotiation: { mode: "auto" } },
  );
  client.setNotificationHandler("notifications/resources/updated", (n) => told(n.params.uri));
  await client.connect(transport);
  const stream = await client.listen({ resourceSubscriptions: [inbox] });
  close = async () => {
    await stream.close();
    await client.close();
  };
}

const call = async (name, args) => {
  const answer = await client.callTool({ name, arguments: args });
  if (answer.isError) throw new Error(JSON.stringify(answer.structuredContent));
  return answer.structuredContent;
};
const say = (text) =>
  call("publish_context", {
    message: {
      timestamp: new Date().toISOString(),
      source_agent: me,
      target_agent: peer,
      topic: "note",
      context: { text },
    },
  });
const next = async () => {
  const page = await call("read_messages", { inbox: true, wait_s: 20 });
  if (!page.messages.length) throw new Error("nothing came");
  const last = page.messages.at(-1);
  await call("ack_messages", { up_to: last.sequence });
  return { from: last.message.source_agent, text: last.message.context.text };
};

await call("register_agent", { topics: ["note"] });
if (mode === "first") {
  while (true) {
    const { agents } = await call("list_agents", {});
    if (agents.some((agent) => agent.agent === peer)) break;
    await sleep(50);
  }
  await say("what do you see?");
}
const cue = await heard;
const received = await next();
if (mode !== "first") await say(`seen: ${received.text}`);
const left = await call("read_messages", { inbox: true });
console.log(JSON.stringify({ me, cue, received, left: left.messages.length }));
await close();
