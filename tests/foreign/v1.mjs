// The TypeScript SDK, first line, on the protocol of 2025-11-25: lists, subscribes, publishes, hears.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

const [url, key, message] = process.argv.slice(2);
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { "X-API-Key": key } },
});
const client = new Client({ name: "foreign-v1", version: "0" });
const updated = new Promise((resolve) =>
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, (n) => resolve(n.params.uri)),
);
await client.connect(transport);
const { tools } = await client.listTools();
await client.subscribeResource({ uri: "context://topic/news" });
const published = await client.callTool({
  name: "publish_context",
  arguments: { message: JSON.parse(message) },
});
console.log(
  JSON.stringify({
    protocol: transport.protocolVersion,
    tools: tools.map((tool) => tool.name),
    published: published.structuredContent,
    updated: await updated,
  }),
);
await transport.terminateSession();
await client.close();
