/* The heat map: models down, languages across, for one measure; measured here and published. */

const HEAT_ROWS = 30;
const STEPS = 9;
const NUMBERS_UP_TO = 24;
const FEW = 200;
const HEAT_ORDERS = { easy: "easiest first", name: "by name", script: "by script" };
let shownHeat = HEAT_ROWS;
let heatOrder = "easy";

function heatChoices() {
  return data.measures
    .map((measure, place) => ({ measure, place }))
    .filter(({ measure, place }) => showsMeasure(measure) && (boardsOf(place).length > 0 || data.cells.some((cell) => cell.measure === place && cell.scores?.some((score) => score !== null))));
}

/** The measure with the most languages, and of these the most models, which shows the most. */
function widest(choices) {
  const size = ({ place }) => {
    const own = [
      ...data.cells.filter((cell) => cell.measure === place && cell.data !== undefined).map((cell) => [1, data.data[cell.data].languages.length]),
      ...boardsOf(place).map((board) => [linesOf.filter((lines) => lines.has(board.place)).length, board.languages.length]),
    ];
    return own.reduce((sum, [models, languages]) => sum + models * languages, 0);
  };
  return choices.reduce((best, choice) => (best === undefined || size(choice) > size(best) ? choice : best), undefined);
}

/** The rows of a measure: whose, the score and the interval of each language, and what a click opens. */
function heatRows(place) {
  const measured = data.cells
    .filter((cell) => cell.measure === place && cell.scores && showsModel(data.models[cell.model]))
    .map((cell) => ({
      label: data.models[cell.model].label,
      source: MEASURED,
      open: () => change({ view: viewKey(cell.model, place), about: "", model: "" }),
      scores: new Map(data.data[cell.data].languages.map((code, at) => [code, [cell.scores[at], cell.low?.[at] ?? null, cell.high?.[at] ?? null]])),
    }));
  const published = boardsOf(place).flatMap((board) => everyone
    .filter((model) => model.source !== MEASURED && linesOf[model.place].has(board.place) && showsModel(model))
    .map((model) => {
      const { scores, low, high } = linesOf[model.place].get(board.place);
      return { label: model.label, source: model.source, open: () => openModel(model), scores: new Map(board.languages.map((code, at) => [code, [scores[at], low[at], high[at]]])) };
    }));
  return [...measured, ...published];
}

const scoreIn = (row, code) => row.scores.get(code)?.[0] ?? null;

/** Those with most of the languages first, the best of them first. */
function sortHeat(rows, codes, higher) {
  for (const row of rows) {
    const own = codes.map((code) => scoreIn(row, code)).filter((score) => score !== null);
    row.has = own.length;
    row.mean = own.reduce((sum, score) => sum + score, 0) / (own.length || 1);
  }
  const most = Math.max(...rows.map(({ has }) => has));
  const isFew = (row) => Number(row.has < most / 2);
  const sign = higher === false ? 1 : -1;
  return rows.filter(({ has }) => has > 0).sort((a, b) => isFew(a) - isFew(b) || sign * (a.mean - b.mean) || compare(a.label, b.label));
}

function renderHeat() {
  const choices = heatChoices();
  const chosen = choices.find(({ measure }) => keyOf(measure) === state.heat) ?? widest(choices);
  const empty = () => byId("heat").replaceChildren(make("p", { class: "empty" }, "No scores of single languages pass these filters."));
  if (!chosen) return empty();
  const { measure, place } = chosen;
  const every = heatRows(place);
  const codes = heatLanguages(every, place);
  const rows = sortHeat(every, codes, measure.higher);
  const shown = rows.slice(0, shownHeat);
  const all = shown.flatMap((row) => codes.map((code) => scoreIn(row, code))).filter((score) => score !== null);
  if (all.length === 0) return empty();
  const bounds = heatBounds(all);
  const step = (score) => bounds.filter((bound) => score >= bound).length;
  const known = unique(codes.flatMap((code) => data.languages[code].of)).filter((code) => languageHasView(code)).map((code) => [code, data.names[code]]).sort((a, b) => a[1].localeCompare(b[1], "en"));
  replace(byId("heat"),
    make("div", { class: "tools" },
      select("Measure", choices.map(({ measure: each }) => [keyOf(each), title(each)]), keyOf(measure), (value) => change({ heat: value })),
      select("Languages", Object.entries(HEAT_ORDERS), heatOrder, (value) => { heatOrder = value; renderHeat(); }, { id: "heat-order" }),
      known.length ? select("Open a language", [["", "choose…"], ...known], "", (value) => { if (value) openLanguage(value); }) : null,
      heatScale(measure, all, bounds)),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Heat map of models and languages" }, heatTable(measure, shown, codes, step)),
    moreHeat(rows.length));
}

/** Where one colour ends and the next begins: of many values each colour has as many, or the best would look alike. */
function heatBounds(values) {
  const parts = Array.from({ length: STEPS - 1 }, (_, at) => (at + 1) / STEPS);
  if (values.length < FEW) {
    const [low, high] = range(endsOf(values));
    return parts.map((part) => low + part * (high - low));
  }
  const ordered = Float64Array.from(values).sort();
  return parts.map((part) => ordered[Math.floor(part * ordered.length)]);
}

/** The colours, each with the lowest number in it; of errors the highest. */
function heatScale(measure, values, bounds) {
  const [low, high] = endsOf(values);
  const isError = measure.higher === false;
  const ends = isError ? [...bounds, high].reverse() : [low, ...bounds];
  const digits = measure.digits === 1 ? 0 : 2;
  return make("p", { class: "scale", "aria-hidden": "true" }, isError ? "to" : "from",
    ends.map((end, at) => make("span", { class: `h${at}` }, fixed(end, digits))));
}

/** The ends of a list that is too long to be spread into arguments. */
const endsOf = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
const languageHasView = (code) => boards.some(({ languages }) => languages.some((each) => data.languages[each].of.includes(code)));

function moreHeat(count) {
  if (count <= shownHeat) return null;
  const show = (rows) => { shownHeat = rows; renderHeat(); };
  return make("p", {},
    make("button", { type: "button", onclick: () => show(shownHeat + HEAT_ROWS) }, `Show ${Math.min(HEAT_ROWS, count - shownHeat)} more`), " ",
    make("button", { type: "button", onclick: () => show(Infinity) }, `Show all ${count.toLocaleString("en")} models`));
}

function heatTable(measure, rows, codes, step) {
  const isWide = codes.length > NUMBERS_UP_TO;
  const digits = measure.digits === 1 ? 0 : 2;
  const names = codes.map((code) => data.languages[code].name);
  return make("table", { class: isWide ? "heat" : "heat numbers" },
    make("caption", { class: "hidden" }, `${title(measure)}, by model and language`),
    make("thead", {}, make("tr", {}, make("td", {}), codes.map((code, at) => make("th", { scope: "col", title: names[at] }, make("span", {}, code))))),
    make("tbody", {}, rows.map((row) => make("tr", { class: row.source === MEASURED ? "own" : null },
      make("th", { scope: "row" }, make("button", { type: "button", "aria-haspopup": "dialog", onclick: row.open, title: row.label }, modelName(row.label)), row.source === MEASURED ? null : badge(row.source)),
      codes.map((code, at) => {
        const [score, low, high] = row.scores.get(code) ?? [null, null, null];
        if (score === null) return make("td", { class: "absent" }, hidden("none"));
        const text = fixed(score, measure.digits);
        const interval = low === null || high === null ? "" : ` (${span([low, high], measure.digits)})`;
        return make("td", { class: `h${measure.higher === false ? STEPS - 1 - step(score) : step(score)}`, title: `${row.label}, ${names[at]}: ${text}${interval}` },
          make("span", {}, isWide ? text : fixed(score, digits)));
      }),
    ))),
  );
}

function heatLanguages(rows, place) {
  const members = group() === ALL ? null : new Set([
    ...data.cells.filter((cell) => cell.measure === place && cell.data !== undefined).flatMap((cell) => data.data[cell.data].groups[group()] ?? []),
    ...boardsOf(place).flatMap((board) => board.groups[group()] ?? []),
  ]);
  const codes = unique(rows.flatMap((row) => [...row.scores.keys()])).filter((code) => showsLanguage(code) && (members === null || members.has(code)));
  const name = (code) => data.languages[code].name;
  const script = (code) => data.scripts[data.languages[code].scripts[0]];
  const middle = new Map(codes.map((code) => {
    const own = rows.map((row) => scoreIn(row, code)).filter((score) => score !== null);
    return [code, own.reduce((sum, score) => sum + score, 0) / (own.length || 1)];
  }));
  const orders = {
    easy: (a, b) => middle.get(b) - middle.get(a),
    name: (a, b) => name(a).localeCompare(name(b), "en"),
    script: (a, b) => script(a).localeCompare(script(b), "en") || middle.get(b) - middle.get(a),
  };
  return codes.sort(orders[heatOrder]);
}
