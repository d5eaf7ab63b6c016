/* The newest signals, newest first, each with its 64 bytes on demand. */
const FLAGS = {
  stale: "an input was older than it may be",
  canary: "of the model version on trial",
  halted: "trading is halted",
  replay: "sent again on request",
  heartbeat: "no signal: a sign of life",
  synthetic: "of generated, not of market data",
  failover: "of the model that stands in",
};
const COLUMNS = ["Time", "Symbol", "Action", "#Confidence", "#Target", "#Stop", "#Size", "#Risk",
  "#Model", "Flags", "Frame"];

function showSignals({ signals, session }) {
  const rows = [...signals].reverse().flatMap(signal);
  const none = part("p", { className: "dim", text: "No signal is held yet." });
  return [
    part("h2", { text: "Signals" }),
    part("p", { className: "dim", text: session ? `session ${session}` : "no feed session yet" }),
    rows.length ? table(`The last ${signals.length}, newest first`, COLUMNS, rows) : none,
  ];
}

function signal(one) {
  const bytes = part("tr", { hidden: true },
    part("td", { colSpan: COLUMNS.length, className: "frame", text: hex(one.frame) }));
  const button = part("button", { text: "64 bytes", type: "button", ariaExpanded: "false" });
  button.addEventListener("click", () => {
    bytes.hidden = !bytes.hidden;
    button.ariaExpanded = String(!bytes.hidden);
  });
  const risk = `${one.risk_score} of 255, urgency ${one.urgency}`;
  return [
    part("tr", {},
      cell(moment(one.timestamp), { title: one.timestamp }),
      part("th", { text: one.symbol, title: `sequence ${one.sequence}`, scope: "row" }),
      marks(mark(one.action)), figure(one.confidence), figure(one.price_target),
      figure(one.stop_loss), figure(one.position_size),
      cell(one.risk_score, { className: "number", title: risk }),
      cell(one.model_version, { className: "number" }),
      marks(...one.flags.map((name) => mark(name, FLAGS[name]))), part("td", {}, button)),
    bytes,
  ];
}

/* Four lines of sixteen bytes, each with its offset. */
function hex(frame) {
  const pairs = String(frame).match(/../g) ?? [];
  return [0, 16, 32, 48].map((at) =>
    `${String(at).padStart(2, "0")}  ${pairs.slice(at, at + 16).join(" ")}`).join("\n");
}
