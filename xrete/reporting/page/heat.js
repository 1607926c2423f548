/* The heat map: models down, languages across, for one measure. */

const HEAT_ROWS = 30;
const STEPS = 9;
const NUMBERS_UP_TO = 24;
const HEAT_ORDERS = { easy: "easiest first", name: "by name", script: "by script" };
let shownHeat = HEAT_ROWS;

function heatChoices() {
  return data.measures
    .map((measure, place) => ({ measure, place }))
    .filter(({ measure, place }) => showsMeasure(measure) && data.cells.some((cell) => cell.measure === place && cell.scores?.some((score) => score !== null)));
}

/** The measure with the most languages, which shows the most. */
function widest(choices) {
  const width = ({ place }) => Math.max(...data.cells.filter((cell) => cell.measure === place && cell.data !== undefined).map((cell) => data.data[cell.data].languages.length));
  return choices.reduce((best, choice) => (best === undefined || width(choice) > width(best) ? choice : best), undefined);
}

function renderHeat() {
  const choices = heatChoices();
  const chosen = choices.find(({ measure }) => keyOf(measure) === state.heat) ?? widest(choices);
  if (!chosen) {
    byId("heat").replaceChildren(make("p", { class: "empty" }, "No scores of single languages pass these filters."));
    return;
  }
  const { measure, place } = chosen;
  const cells = data.cells.filter((cell) => cell.measure === place && cell.scores && showsModel(data.models[cell.model]));
  const scores = new Map(cells.map((cell) => [cell, new Map(data.data[cell.data].languages.map((code, at) => [code, cell.scores[at]]))]));
  const codes = heatLanguages(cells, scores);
  const all = cells.flatMap((cell) => codes.map((code) => scores.get(cell).get(code))).filter((score) => score !== null && score !== undefined);
  if (all.length === 0) {
    byId("heat").replaceChildren(make("p", { class: "empty" }, "No scores of single languages pass these filters."));
    return;
  }
  const [low, high] = range(all);
  const step = (score) => Math.max(0, Math.min(STEPS - 1, Math.floor((STEPS * (score - low)) / (high - low || 1))));
  const isWide = codes.length > NUMBERS_UP_TO;
  const table = make("table", { class: isWide ? "heat" : "heat numbers" },
    make("caption", { class: "hidden" }, `${title(measure)}, by model and language`),
    make("thead", {}, make("tr", {}, make("td", {}), codes.map((code) => make("th", { scope: "col", title: data.languages[code].name }, make("span", {}, code))))),
    make("tbody", {}, cells.slice(0, shownHeat).map((cell) => make("tr", {},
      make("th", { scope: "row" }, make("button", { type: "button", "aria-haspopup": "dialog", onclick: () => change({ view: viewKey(cell.model, place) }) }, named(data.models[cell.model].label))),
      codes.map((code) => {
        const score = scores.get(cell).get(code);
        if (score === null || score === undefined) return make("td", { class: "absent" }, hidden("none"));
        const text = fixed(score, measure.digits);
        return make("td", { class: `h${measure.higher === false ? STEPS - 1 - step(score) : step(score)}`, title: `${data.models[cell.model].label}, ${data.languages[code].name}: ${text}` },
          make("span", {}, isWide ? text : fixed(score, measure.digits === 1 ? 0 : 2)));
      }),
    ))),
  );
  const scale = make("p", { class: "scale", "aria-hidden": "true" }, fixed(measure.higher === false ? high : low, measure.digits === 1 ? 0 : 2),
    Array.from({ length: STEPS }, (_, number) => make("i", { class: `h${number}` })), fixed(measure.higher === false ? low : high, measure.digits === 1 ? 0 : 2));
  replace(byId("heat"),
    make("div", { class: "tools" },
      select("Measure", choices.map(({ measure: each }) => [keyOf(each), title(each)]), keyOf(measure), (value) => change({ heat: value })),
      select("Languages", Object.entries(HEAT_ORDERS), heatOrder, (value) => { heatOrder = value; renderHeat(); }),
      scale),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Heat map of models and languages" }, table),
    cells.length > shownHeat
      ? make("p", {}, make("button", { type: "button", onclick: () => { shownHeat += HEAT_ROWS; renderHeat(); } }, `Show ${Math.min(HEAT_ROWS, cells.length - shownHeat)} more of ${cells.length.toLocaleString("en")} models`))
      : null,
  );
}

let heatOrder = "easy";

function heatLanguages(cells, scores) {
  const members = group() === ALL ? null : group();
  const codes = unique(cells.flatMap((cell) => {
    const part = data.data[cell.data];
    return part.languages.filter((code) => showsLanguage(code) && (members === null || part.groups[members]?.includes(code)));
  }));
  const name = (code) => data.languages[code].name;
  const script = (code) => data.scripts[data.languages[code].scripts[0]];
  const middle = new Map(codes.map((code) => {
    const found = cells.map((cell) => scores.get(cell).get(code)).filter((score) => score !== null && score !== undefined);
    return [code, found.reduce((sum, score) => sum + score, 0) / (found.length || 1)];
  }));
  const orders = {
    easy: (a, b) => middle.get(b) - middle.get(a),
    name: (a, b) => name(a).localeCompare(name(b), "en"),
    script: (a, b) => script(a).localeCompare(script(b), "en") || middle.get(b) - middle.get(a),
  };
  return codes.sort(orders[heatOrder]);
}
