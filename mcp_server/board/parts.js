/* The parts of the page. Whatever comes from the hub is set as text, and never read as markup. */
function part(tag, { text, title, className, ...more } = {}, ...children) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = String(text);
  if (title) element.title = String(title);
  if (className) element.className = className;
  Object.assign(element, more);
  element.append(...children.filter((child) => child !== null));
  return element;
}

const NOTHING = "–";

function number(value) {
  if (value === null || value === undefined) return NOTHING;
  return typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value);
}

/* A time as the hub writes it, without the part of the second. */
function moment(value) {
  return value ? String(value).replace("T", " ").replace(/\.\d+/, "") : NOTHING;
}

const words = (name) => String(name).replaceAll("_", " ");

/* A mark says in words what its colour says. Only names of ours become a class. */
const MARKS = ["ok", "stale", "missing", "imputed", "synthetic", "recorded", "live", "canary",
  "halted", "replay", "heartbeat", "failover", "buy", "sell"];

function mark(name, title) {
  const known = MARKS.includes(name) ? name : "";
  return part("span", { text: name, title, className: `mark ${known}` });
}

const cell = (text, more = {}) => part("td", { text, ...more });
const figure = (value) => cell(number(value), { className: "number", title: value ?? "" });
const marks = (...all) => part("td", {}, ...all);

/* The names of columns of figures begin with a sign that is not shown. */
function table(caption, columns, rows) {
  const head = columns.map((name) => part("th", { text: name.replace("#", ""), scope: "col",
    className: name.startsWith("#") ? "number" : "" }));
  return part("div", { className: "scroll" },
    part("table", {}, part("caption", { text: caption }),
      part("thead", {}, part("tr", {}, ...head)), part("tbody", {}, ...rows)));
}
