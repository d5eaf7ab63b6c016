// What a host starts for an unpacked bundle: the bundle tool's own reading of the manifest.
import { getMcpConfigForManifest } from "@anthropic-ai/mcpb";
import { readFileSync } from "node:fs";

const [folder, given] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(`${folder}/manifest.json`, "utf8"));
const config = await getMcpConfigForManifest({
  manifest, extensionPath: folder, systemDirs: {}, userConfig: JSON.parse(given), pathSeparator: "/",
});
console.log(JSON.stringify(config ?? null));
