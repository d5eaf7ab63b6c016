// The board in a host: what it shows, what it asks for, what it lets text from outside do.
// Before it refreshes it prints a line and waits for one, so that something new can be there.
import { once } from "node:events";
import { browser, connect, show } from "./host.mjs";

const [url, reader, agent, pictures] = process.argv.slice(2);
const LIMIT = { timeout: 30_000 };
const report = {};
const running = await browser();
const client = await connect(url, reader);

const texts = (frame, selector) => frame.locator(selector).allTextContents();
const rows = (frame, section) =>
  frame.locator(`${section} tbody tr:not([hidden])`).evaluateAll((all) =>
    all.map((row) => [...row.children].map((cell) => cell.textContent)));
const settled = (frame, text) => frame.locator("#state", { hasText: text }).waitFor(LIMIT);
const calls = (heard) => heard.filter((m) => m.method === "tools/call").map((m) => m.params);

const board = await show(running, client, "get_daily_context", {});
const { frame, page, bridge, seen } = board;
await settled(frame, "Up to date");
report.asked = calls(board.heard);
report.methods = [...new Set(board.heard.map((message) => message.method).filter(Boolean))];
report.context = await rows(frame, "#context");
report.heading = (await texts(frame, "h2")).join(" / ");
report.signals = await rows(frame, "#signals");
await frame.locator("#signals button").first().click();
report.frame = (await texts(frame, "tr:not([hidden]) > td.frame")).join();
await frame.locator("summary").click();
report.bills = await texts(frame, "li");
if (pictures) await page.screenshot({ path: `${pictures}/light.png` });

const look = () => frame.evaluate(() => {
  const style = getComputedStyle(document.body);
  return [style.backgroundColor, style.color, getComputedStyle(document.documentElement).colorScheme];
});
report.light = await look();
await bridge.setHostContext({ theme: "dark" });
await frame.waitForFunction(() => document.documentElement.style.colorScheme === "dark", LIMIT);
report.dark = await look();
if (pictures) await page.screenshot({ path: `${pictures}/dark.png` });

// Another window's words, and the page's own, are not the host's.
await frame.evaluate(() => new Promise((done) => {
  const forged = { signals: [], session: "forged" };
  const params = { content: [], structuredContent: forged };
  window.addEventListener("message", () => setTimeout(done, 0), { once: true });
  window.postMessage({ jsonrpc: "2.0", method: "ui/notifications/tool-result", params }, "*");
}));
report.forged = (await texts(frame, "#signals")).join().includes("forged");

console.log("refresh");
await once(process.stdin, "data");
await frame.locator("#refresh").click();
await settled(frame, "Up to date");
await frame.locator("#signals tbody tr").nth(2 * report.signals.length).waitFor({ ...LIMIT, state: "attached" });
report.refreshed = await rows(frame, "#signals");
report.sizes = seen.sizes;
report.teardown = await bridge.teardownResource({}, LIMIT);

// A host that lets no app call tools: what it hands over, and no more.
const passive = await show(running, client, "get_signals", { limit: 1 }, {});
await settled(passive.frame, "As the host handed it over");
report.passive = {
  calls: calls(passive.heard).length,
  signals: await rows(passive.frame, "#signals"),
  disabled: await passive.frame.locator("#refresh").isDisabled(),
};

// A key that may not see signals: the context is shown, the refusal said, and asked for once.
const limited = await show(running, await connect(url, agent), "get_daily_context", {});
await settled(limited.frame, "forbidden");
await limited.frame.locator("#refresh").click();
await settled(limited.frame, "Up to date");
report.limited = {
  tools: calls(limited.heard).map(({ name }) => name),
  heading: (await texts(limited.frame, "h2")).join(),
};
// Results in which every text is markup that would tell on itself.
const H = '<img src="http://evil.example/x" onerror="owned=1"><script>owned=1</script>" onclick="owned=1';
const hostile = await show(running, client, "get_signals", { limit: 1 }, {});
await settled(hostile.frame, "As the host handed it over");
const hand = (structuredContent) => hostile.bridge.sendToolResult({ content: [], structuredContent });
await hand({
  flagged: { [H]: H },
  context: {
    trading_date: H, as_of: H, context_id: H, pending_bills: [H], sector_scores: { [H]: 1 },
    provenance: { [H]: { value: H, previous: H, observed_at: H, known_at: H, source: H, quality: H,
      origin: H, note: H } },
  },
});
await hand({
  session: H,
  signals: [{ timestamp: H, symbol: H, action: H, confidence: H, price_target: H, stop_loss: H,
    position_size: H, risk_score: H, urgency: H, model_version: H, flags: [H], frame: H, sequence: H }],
});
await hostile.frame.locator("#signals button").click();
await settled(hostile.frame, "As the host handed it over");
report.hostile = await hostile.frame.evaluate(() => ({
  texts: document.querySelector("main").textContent.split("<img src=").length,
  markup: document.querySelectorAll("img, main script, [onclick], [onerror]").length,
  classes: [...document.querySelectorAll("[class]")].flatMap((one) => [...one.classList])
    .filter((name) => /[^a-z]/.test(name)),
  owned: Boolean(window.owned),
}));

const all = [board, passive, limited, hostile];
report.requests = all.flatMap((each) => each.seen.requests);
report.complaints = all.flatMap((each) => each.seen.complaints);
console.log(JSON.stringify(report));
await running.close();
process.exit(0);
