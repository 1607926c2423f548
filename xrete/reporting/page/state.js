/* What is chosen: in memory, and in the part of the address after "#", so that a link keeps it. */

const SIZES = [
  ["under 100M", 0, 1e8],
  ["100M to 500M", 1e8, 5e8],
  ["500M to 2B", 5e8, 2e9],
  ["2B and more", 2e9, Infinity],
];
const SETS = ["category", "task", "protocol", "language", "script", "size"];
const TEXTS = ["group", "find", "sort", "heat", "order", "quality", "geometry", "view"];

/** What changes nothing outside the dialog. */
const IN_DIALOG = new Set(["view", "order"]);

const state = Object.fromEntries([...SETS.map((name) => [name, new Set()]), ...TEXTS.map((name) => [name, ""])]);
const SECTIONS = new Set(["results", "languages", "charts", "notes"]);

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
  if (Object.keys(changes).every((name) => IN_DIALOG.has(name))) renderDetail();
  else render();
}

function toggle(name, value) {
  const chosen = new Set(state[name]);
  if (!chosen.delete(value)) chosen.add(value);
  change({ [name]: chosen });
}

const sizeOf = (model) => SIZES.find(([, from, to]) => model.parameters >= from && model.parameters < to)?.[0];

const passes = (name, value) => state[name].size === 0 || state[name].has(value);
const showsModel = (model) =>
  (state.size.size === 0 || (model.parameters !== null && state.size.has(sizeOf(model)))) &&
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
