/* What is chosen: in memory, and in the part of the address after "#", so that a link keeps it. */

const SIZES = [
  ["under 100M", 0, 1e8],
  ["100M to 500M", 1e8, 5e8],
  ["500M to 2B", 5e8, 2e9],
  ["2B and more", 2e9, Infinity],
];
const FILTERS = ["category", "task", "protocol", "language", "script", "size", "licence", "weights", "source"];
const SETS = [...FILTERS, "ask"];
const TEXTS = ["group", "find", "sort", "heat", "order", "quality", "geometry", "view", "about", "model", "rank", "by", "for", "most", "terms", "open", "own"];

/** What changes nothing outside the dialog, or outside the recommendation. */
const IN_DIALOG = new Set(["view", "order", "about", "model"]);
const IN_QUESTION = new Set(["ask", "for", "most", "terms", "open", "own"]);

const state = Object.fromEntries([...SETS.map((name) => [name, new Set()]), ...TEXTS.map((name) => [name, ""])]);
const SECTIONS = new Set(["answer", "models", "results", "languages", "charts", "notes"]);

function readAddress() {
  const hash = location.hash.slice(1);
  if (SECTIONS.has(hash)) return;
  const asked = new URLSearchParams(hash);
  for (const name of SETS) state[name] = new Set(asked.getAll(name));
  for (const name of TEXTS) state[name] = asked.get(name) ?? "";
}

function writeAddress() {
  const asked = new URLSearchParams();
  for (const name of SETS) for (const value of state[name]) asked.append(name, value);
  for (const name of TEXTS) if (state[name]) asked.set(name, state[name]);
  const hash = asked.toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

function change(changes) {
  Object.assign(state, changes);
  writeAddress();
  const names = Object.keys(changes);
  if (names.every((name) => IN_DIALOG.has(name))) renderDetail();
  else if (names.every((name) => IN_QUESTION.has(name))) renderAnswer();
  else if (names.every((name) => IN_QUESTION.has(name) || IN_DIALOG.has(name))) { renderAnswer(); renderDetail(); byId("answer").scrollIntoView(); }
  else render();
}

function toggle(name, value) {
  const chosen = new Set(state[name]);
  if (!chosen.delete(value)) chosen.add(value);
  change({ [name]: chosen });
}

const sizeOf = (model) => SIZES.find(([, from, to]) => model.parameters >= from && model.parameters < to)?.[0];

const passes = (name, value) => state[name].size === 0 || state[name].has(value);
const licenceOf = (model) => ({ true: "permissive", false: "other" })[isPermissive(model)] ?? "unknown";
const weightsOf = (model) => ({ true: "open", false: "closed" })[model.open] ?? "unknown";

/** What is known of a model, of the records' ones too. */
const known = (model) => (model.source ? model : (measuredFacts.get(model.label) ?? { source: MEASURED, licence: null, open: null }));
const showsModel = (model) =>
  (state.size.size === 0 || (model.parameters !== null && state.size.has(sizeOf(model)))) &&
  passes("licence", licenceOf(known(model))) &&
  passes("weights", weightsOf(known(model))) &&
  passes("source", sourceName(known(model).source)) &&
  `${model.name} ${model.label}`.toLowerCase().includes(state.find.toLowerCase());
const showsMeasure = (measure) =>
  passes("task", measure.task) &&
  passes("protocol", measure.protocol) &&
  passes("category", data.tasks[measure.task]?.category);
const picksLanguages = () => state.language.size > 0 || state.script.size > 0;
const showsLanguage = (code) => {
  const language = data.languages[code];
  return (
    (state.language.size === 0 || language.of.some((name) => state.language.has(name))) &&
    (state.script.size === 0 || language.scripts.some((name) => state.script.has(name)))
  );
};
