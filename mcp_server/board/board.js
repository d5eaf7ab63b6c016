/* What the board does: shows each result that the host hands over, and asks again for the whole. */
const at = (id) => document.getElementById(id);
const asked = { get_daily_context: { fields: ["*"] }, get_signals: { limit: 20 } };
const SECTIONS = { get_daily_context: "context", get_signals: "signals" };
const shown = new Set();
let given = {};
let callable = false;

function say(text, wrong = false) {
  at("state").textContent = text;
  at("state").classList.toggle("wrong", wrong);
}

/* A result's object; a host that hands over text alone has it as JSON there. */
function said(result) {
  const text = result.content?.find((block) => block.type === "text")?.text ?? "";
  if (result.isError) {
    const code = result.structuredContent?.error?.code;
    throw Object.assign(new Error(text || "the tool failed"), { code });
  }
  return result.structuredContent ?? JSON.parse(text);
}

/* Show a result by its shape; gives the tool that answers so. */
function show(result) {
  const answer = said(result);
  if (!answer.context && !Array.isArray(answer.signals)) throw new Error("nothing to show here");
  const tool = answer.context ? "get_daily_context" : "get_signals";
  at(SECTIONS[tool]).replaceChildren(...(answer.context ? showDaily : showSignals)(answer));
  at(SECTIONS[tool]).hidden = false;
  shown.add(tool);
  return tool;
}

/* What this key may not do is not asked for again. */
async function call(tool) {
  try {
    show(await bridge.request("tools/call", { name: tool, arguments: asked[tool] }));
  } catch (error) {
    if (error.code === "forbidden") delete asked[tool];
    throw error;
  }
}

/* Ask for both; one that is refused leaves the other, and says why. */
async function refresh() {
  at("refresh").disabled = true;
  say("Asking the hub…");
  const outcomes = await Promise.allSettled(Object.keys(asked).map(call));
  const wrong = outcomes.filter((each) => each.status === "rejected").map((each) => each.reason);
  say(wrong.map((error) => error.message).join(" · ") || "Up to date", wrong.length > 0);
  at("refresh").disabled = !callable;
}

/* What the model asked for is what a refresh asks again: the date, the moment, the symbol. */
function remember(tool) {
  const kept = tool === "get_signals" ? ["symbol"] : ["date", "as_of"];
  for (const name of kept)
    if (asked[tool] && given[name] !== undefined) asked[tool][name] = given[name];
}

/* What was asked for first stands first. */
function onResult(result) {
  try {
    const tool = show(result);
    if (shown.size === 1) at("signals").parentNode.prepend(at(SECTIONS[tool]));
    remember(tool);
  } catch (error) {
    say(error.message, true);
    return;
  }
  if (callable) refresh();
  else say("As the host handed it over");
}

/* The host's theme, and its colours and fonts where it names them. */
function dress({ theme, styles }) {
  if (theme === "light" || theme === "dark") document.documentElement.style.colorScheme = theme;
  for (const [name, value] of Object.entries(styles?.variables ?? {}))
    if (name.startsWith("--") && value) document.documentElement.style.setProperty(name, value);
}

function tellSize() {
  const { width, height } = document.documentElement.getBoundingClientRect();
  bridge.notify("ui/notifications/size-changed",
    { width: Math.ceil(width), height: Math.ceil(height) });
}

async function start() {
  bridge.on("ui/notifications/tool-input", (params) => { given = params.arguments ?? {}; });
  bridge.on("ui/notifications/tool-result", onResult);
  bridge.on("ui/notifications/tool-cancelled", () => say("The call was cancelled", true));
  bridge.on("ui/notifications/host-context-changed", dress);
  bridge.on("ui/resource-teardown", () => ({}));
  at("refresh").addEventListener("click", refresh);
  const host = await bridge.request("ui/initialize", {
    protocolVersion: "2026-01-26",
    appInfo: { name: "relentless-board", version: "{{version}}" },
    appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
  });
  callable = Boolean(host.hostCapabilities?.serverTools);
  at("refresh").disabled = !callable;
  dress(host.hostContext ?? {});
  bridge.notify("ui/notifications/initialized");
  if (!shown.size) say("Waiting for a result");
  new ResizeObserver(tellSize).observe(document.documentElement);
}

start().catch((error) => say(error.message, true));
