/* What every part of the page uses: the data, elements, numbers. Text reaches the page as text nodes only. */

const data = JSON.parse(document.getElementById("data").textContent);
const ALL = "all";
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
const unique = (values) => [...new Set(values)];
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const make = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);
const replace = (node, ...children) => node.replaceChildren(...children.flat().filter((child) => child !== null && child !== ""));
const icon = (text) => make("span", { "aria-hidden": "true" }, text);
const hidden = (text) => make("span", { class: "hidden" }, text);

/** A name that may be in any script, and long: it keeps its direction to itself. */
const named = (text) => make("bdi", { title: text.length > 28 ? text : null }, text);

/** A model's name, with its organisation set back. */
function modelName(text) {
  const cut = text.indexOf("/") + 1;
  return cut > 0 && cut < text.length ? make("bdi", { title: text.length > 28 ? text : null }, make("span", { class: "org" }, text.slice(0, cut)), text.slice(cut)) : named(text);
}

/** As Python writes it: toFixed, but ties that are exact in binary go to the even digit. */
function fixed(value, digits) {
  const scaled = Math.abs(value) * 10 ** digits;
  const floor = Math.floor(scaled);
  const isTie = scaled - floor === 0.5 && Math.abs(value) === scaled / 10 ** digits;
  const size = isTie ? ((floor + (floor % 2)) / 10 ** digits).toFixed(digits) : Math.abs(value).toFixed(digits);
  return (value < 0 && Number(size) !== 0 ? "−" : "") + size;
}

function short(number) {
  if (number === null) return "–";
  const [size, unit] = number >= 1e9 ? [1e9, "B"] : number >= 1e6 ? [1e6, "M"] : number >= 1e3 ? [1e3, "k"] : [1, ""];
  const scaled = number / size;
  return `${Number(scaled.toFixed(scaled < 10 ? 1 : 0))}${unit}`;
}

const between = (low, high) => (low === high ? `${low}` : `${low}–${high}`);

let fields = 0;

/** A control with its label above it. */
function field(label, control) {
  control.id ||= `field-${(fields += 1)}`;
  return make("div", { class: "field" }, make("label", { for: control.id }, label), control);
}

function select(label, options, chosen, onchange, attributes = {}) {
  const node = make(
    "select",
    { ...attributes, onchange: () => onchange(node.value) },
    options.map(([value, text]) => make("option", { value, selected: value === chosen }, text)),
  );
  return field(label, node);
}
