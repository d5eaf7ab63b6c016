// The TypeScript SDK, second line, on the protocol of 2026-07-28: lists, listens, publishes, hears.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const [url, key, message] = process.argv.slice(2);
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${key}` } },
});
const client = new Client(
  { name: "foreign-v2", version: "0" },
  { versionNegotiation: { mode: "auto" } },
);
const updated = new Promise((resolve) =>
  client.setNotificationHandler("notifications/resources/updated", (n) => resolve(n.params.uri)),
);
await client.connect(transport);
const { tools } = await client.listTools();
const stream = await client.listen({ resourceSubscriptions: ["context://topic/news"] });
const published = await client.callTool({
  name: "publish_context",
  arguments: { message: JSON.parse(message) },
});
console.log(
  JSON.stringify({
    protocol: client.getNegotiatedProtocolVersion(),
    tools: tools.map((tool) => tool.name),
    published: published.structuredContent,
    updated: await updated,
  }),
);
await stream.close();
await client.close();
