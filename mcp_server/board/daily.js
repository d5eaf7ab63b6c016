/* The daily context: every feature with where it comes from, the sectors, the bills. */
function showDaily({ context, flagged = {} }) {
  const provenance = context.provenance ?? {};
  const names = Object.keys(provenance).length ? Object.keys(provenance) : featuresOf(context);
  const rows = names.filter((name) => name !== "sector_scores")
    .map((name) => feature(name, context, provenance[name], flagged[name]));
  const counts = Object.entries(Object.groupBy(Object.values(flagged), String))
    .map(([quality, all]) => `${all.length} ${quality}`);
  const id = String(context.context_id ?? "");
  return [
    part("h2", { text: `Daily context ${context.trading_date}` }),
    part("p", { className: "dim", title: id,
      text: `as of ${moment(context.as_of)} · ${id.slice(0, 16)} · `
        + (counts.join(", ") || "every feature ok") }),
    table("Features. What is struck out is not used as fresh.",
      ["Feature", "#Value", "Quality", "#Previous", "As of", "Released", "Source"], rows),
    sectors(context.sector_scores ?? {}),
    bills(context.pending_bills ?? []),
  ].filter(Boolean);
}

/* Without provenance: the numbers themselves. */
const IDENTITY = ["context_id", "trading_date", "as_of", "fold_version", "head", "extra", "symbols",
  "events", "pending_bills", "provenance"];
const featuresOf = (context) => Object.keys({ ...context, ...context.extra })
  .filter((name) => !IDENTITY.includes(name));

function feature(name, context, known = {}, flag) {
  const quality = known.quality ?? flag ?? "ok";
  const value = known.value ?? context[name] ?? context.extra?.[name];
  const origin = known.origin && known.origin !== "live" ? mark(known.origin) : null;
  const masked = quality !== "ok" && value !== null && value !== undefined;
  return part("tr", { className: masked ? "masked" : "" },
    part("th", { text: words(name), title: known.note, scope: "row" }),
    figure(value), marks(mark(quality, known.note), origin), figure(known.previous),
    cell(moment(known.observed_at)), cell(moment(known.known_at)),
    cell(known.source || NOTHING, { className: "wide" }));
}

function sectors(scores) {
  const sorted = Object.entries(scores).sort(([, a], [, b]) => b - a);
  if (!sorted.length) return null;
  const most = Math.max(...sorted.map(([, score]) => Math.abs(score)), 1e-9);
  const rows = sorted.map(([name, score]) => {
    const bar = part("div", { className: score < 0 ? "minus" : "" });
    bar.style.width = `${(100 * Math.abs(score)) / most}%`;
    return part("tr", {}, part("th", { text: words(name), scope: "row" }), figure(score),
      part("td", {}, part("div", { className: "bar" }, bar)));
  });
  return table("Sector scores, highest first", ["Sector", "#Score", ""], rows);
}

function bills(titles) {
  if (!titles.length) return null;
  const items = titles.slice(0, 100).map((title) => part("li", { text: title }));
  return part("details", {}, part("summary", { text: `Pending bills (${titles.length})` }),
    part("ul", {}, ...items));
}
