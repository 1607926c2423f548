/* Charts: quality against speed and size, geometry against retrieval, and languages in the plane. */

const HEIGHT = 280;
const MARGIN = { left: 46, right: 14, top: 14, bottom: 42 };
const MOST_LABELS = 30;

function ticks(low, high, isLog) {
  if (isLog) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const factor of [1, 2, 5]) found.push(factor * 10 ** power);
    }
    const inside = found.filter((value) => value >= low && value <= high);
    return inside.length > 6 ? inside.filter((value) => Number.isInteger(Math.log10(value))) : inside;
  }
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
  const first = Math.ceil(low / size) * size;
  return Array.from({ length: Math.floor((high - first) / size + 1e-9) + 1 }, (_, place) => first + place * size);
}

function axis(values, isLog) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (isLog) return [low / 1.6, high * 1.6];
  const room = Math.max((high - low) * 0.1, (Math.abs(high) || 1) * 0.04);
  return [low >= 0 ? Math.max(0, low - room) : low - room, high <= 100 && high > 50 ? Math.min(100, high + room) : high + room];
}

function tickText(value) {
  if (value === 0) return "0";
  if (Math.abs(value) >= 1000) return short(value);
  return String(Number(value.toPrecision(3)));
}

/** A scatter plot with direct labels, and its numbers as a table below. */
function scatter(points, { x, y, isLog = false }, width) {
  const [left, right] = [MARGIN.left, width - MARGIN.right];
  const [bottom, top] = [HEIGHT - MARGIN.bottom, MARGIN.top];
  const xs = axis(points.map((point) => point.x), isLog);
  const ys = axis(points.flatMap((point) => [point.y, ...(point.interval ?? [])]), false);
  const scaled = (value) => (isLog ? Math.log10(value) : value);
  const toX = (value) => left + ((right - left) * (scaled(value) - scaled(xs[0]))) / (scaled(xs[1]) - scaled(xs[0]));
  const toY = (value) => bottom - ((bottom - top) * (value - ys[0])) / (ys[1] - ys[0]);
  const image = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": `${y} against ${x}, ${plural(points.length, "point")}; the numbers are in the table below` });
  for (const value of ticks(...ys, false)) {
    image.append(draw("line", { class: "grid", x1: left, x2: right, y1: toY(value), y2: toY(value) }),
      draw("text", { x: left - 6, y: toY(value) + 4, "text-anchor": "end" }, tickText(value)));
  }
  for (const value of ticks(...xs, isLog)) {
    image.append(draw("line", { class: "grid", x1: toX(value), x2: toX(value), y1: top, y2: bottom }),
      draw("text", { x: toX(value), y: bottom + 16, "text-anchor": "middle" }, tickText(value)));
  }
  image.append(draw("text", { class: "axis", x: right, y: HEIGHT - 8, "text-anchor": "end" }, `${x} →`));
  for (const point of points) {
    const [cx, cy] = [toX(point.x), toY(point.y)];
    if (point.interval) image.append(draw("line", { class: "whisker", x1: cx, x2: cx, y1: toY(point.interval[0]), y2: toY(point.interval[1]) }));
    image.append(draw("circle", { class: point.isApart ? "dot apart" : "dot", cx, cy, r: points.length > 60 ? 3 : 4.5 }, draw("title", {}, `${point.label}: ${tickText(point.x)}, ${tickText(point.y)}`)));
  }
  image.append(...labels(points, toX, toY, left, right));
  return image;
}

/** Labels that lie on no other; the rest can be read from the tip and from the table. */
function labels(points, toX, toY, left, right) {
  if (points.length > MOST_LABELS * 3) return [];
  const taken = points.map((point) => [toX(point.x) - 5, toY(point.y) - 5, toX(point.x) + 5, toY(point.y) + 5]);
  const placed = [];
  for (const point of points) {
    if (placed.length >= MOST_LABELS) break;
    const text = point.label.length > 22 ? `${point.label.slice(0, 11)}…${point.label.slice(-10)}` : point.label;
    const wide = 6.4 * text.length;
    const [cx, cy] = [toX(point.x), toY(point.y)];
    const spots = [[cx + 8, cy + 4], [cx - 8 - wide, cy + 4], [cx - wide / 2, cy - 9], [cx - wide / 2, cy + 18]];
    const fits = spots.find(([atX, atY]) => {
      const box = [atX, atY - 10, atX + wide, atY + 2];
      return box[0] >= left && box[2] <= right && box[1] >= 0 &&
        !taken.some((other) => other[0] < box[2] && other[2] > box[0] && other[1] < box[3] && other[3] > box[1]);
    });
    if (!fits) continue;
    taken.push([fits[0], fits[1] - 10, fits[0] + wide, fits[1] + 2]);
    placed.push(draw("text", { class: "label", x: fits[0], y: fits[1] }, text));
  }
  return placed;
}

function numbersTable(points, x, y, digits) {
  return make("details", {}, make("summary", {}, "Numbers"), make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Numbers: ${y} and ${x}` }, make("table", { class: "plainly" },
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Name"), make("th", { scope: "col" }, x), make("th", { scope: "col" }, y))),
    make("tbody", {}, points.map((point) => make("tr", {}, make("th", { scope: "row" }, named(point.label)), make("td", {}, point.x.toLocaleString("en")), make("td", {}, fixed(point.y, digits))))))));
}

function card(id, heading, tools, points, options, digits, empty) {
  const node = byId(id);
  const width = Math.max(260, node.clientWidth - 32);
  replace(node,
    make("h3", {}, heading),
    tools ? make("div", { class: "tools" }, tools) : null,
    (points.length
      ? [make("p", { class: "axis" }, options.y), scatter(points, options, width), options.unknown > 0 ? make("p", { class: "quiet" }, `Not shown: ${plural(options.unknown, "model")} of which this is not known.`) : null,
         numbersTable(points, options.x, options.y, digits)]
      : [make("p", { class: "empty" }, empty)]),
  );
}

function qualityChoices() {
  return data.measures.map((measure, place) => ({ measure, place })).filter(({ measure, place }) => showsMeasure(measure) && data.cells.some((cell) => cell.measure === place && cell.reason === undefined));
}

const chosenOf = (choices, key) => choices.find(({ measure }) => keyOf(measure) === key);

function readingsOf(place) {
  const found = data.cells
    .filter((cell) => cell.measure === place && showsModel(data.models[cell.model]))
    .map((cell) => ({ cell, model: data.models[cell.model], found: reading(cell) }))
    .filter(({ found: { reason } }) => reason === undefined);
  const main = usual(found.map(({ found: each }) => each));
  return found.map((each) => ({ ...each, isApart: each.found.data !== main }));
}

function renderQuality() {
  const choices = qualityChoices();
  const chosen = chosenOf(choices, state.quality) ?? widest(choices);
  replace(byId("quality"), chosen && choices.length > 1
    ? select("Quality", choices.map(({ measure }) => [keyOf(measure), title(measure)]), keyOf(chosen.measure), (value) => change({ quality: value }))
    : null);
  if (!chosen) {
    card("speed", "Quality and speed", null, [], {}, 1, "Nothing passes these filters.");
    card("size", "Quality and size", null, [], {}, 1, "Nothing passes these filters.");
    return;
  }
  const { measure, place } = chosen;
  const found = readingsOf(place);
  const y = `${measure.task} ${measure.metric}${arrow(measure)}`;
  const show = (id, heading, x, value, empty) => {
    const points = found.map(({ cell, model, found: each, isApart }) => ({ label: model.label, x: value(cell, model), y: each.value, interval: each.interval, isApart })).filter((point) => point.x !== null && point.x > 0);
    card(id, heading, null, points, { x, y, isLog: true, unknown: found.length - points.length }, measure.digits, empty);
  };
  const machines = unique(found.map(({ cell }) => data.runs[cell.run]).filter(({ speed }) => speed !== null).map(({ machine }) => machine));
  show("speed", "Quality and speed", `sentences a second, ${machines.length === 1 ? machines[0] : "each on its own machine"}`, (cell) => data.runs[cell.run].speed,
    found.every(({ cell }) => data.runs[cell.run].tuning)
      ? "No speed is known of models that were fine-tuned: training takes part of the time."
      : ["No speed is known: these records took every vector from the cache. ", make("code", {}, "xrete run --no-cache --force"), " measures it."]);
  show("size", "Quality and size", "weights", (cell, model) => model.parameters, "The records do not say how large the models are.");
}

/** Geometry against retrieval: of models, or of the languages of one model. */
function renderGeometry() {
  const geometry = data.measures.map((measure, place) => ({ measure, place })).filter(({ measure, place }) => !measure.isMean && data.cells.some((cell) => cell.measure === place && cell.reason === undefined));
  const retrieval = data.measures.map((measure, place) => ({ measure, place })).filter(({ measure, place }) => data.tasks[measure.task]?.category === "retrieval" && data.cells.some((cell) => cell.measure === place && cell.reason === undefined));
  const quality = retrieval.find(({ measure }) => measure.task === "flores") ?? retrieval[0];
  if (geometry.length === 0 || !quality) {
    card("geometry", "Geometry and retrieval", null, [], {}, 1, "No geometry was measured here: xrete run --task flores-geometry does it.");
    return;
  }
  const [key, who = ""] = state.geometry.split(" @ ");
  const chosen = chosenOf(geometry, key) ?? geometry[0];
  const models = data.models.map((model, place) => ({ model, place })).filter(({ place }) => cellsOf.get(place).get(chosen.place)?.scores?.some((score) => score !== null) && cellsOf.get(place).get(quality.place)?.scores);
  const one = models.find(({ model }) => model.label === who);
  const set = (metric, model) => change({ geometry: model ? `${metric} @ ${model}` : metric });
  const tools = [
    select("Geometry", geometry.map(({ measure }) => [keyOf(measure), measure.metric + arrow(measure)]), keyOf(chosen.measure), (value) => set(value, who)),
    select("Points", [["", "models"], ...models.map(({ model }) => [model.label, `languages of ${model.label}`])], one ? who : "", (value) => set(keyOf(chosen.measure), value)),
  ];
  const points = one ? languagePoints(one.place, chosen.place, quality.place) : modelPoints(chosen.place, quality.place);
  card("geometry", "Geometry and retrieval", tools, points, { x: `${chosen.measure.task} ${chosen.measure.metric}${arrow(chosen.measure)}`, y: `${quality.measure.task} ${quality.measure.metric}${arrow(quality.measure)}` }, quality.measure.digits,
    "No model was measured in both.");
}

function modelPoints(geometry, quality) {
  const known = new Map(readingsOf(geometry).map(({ cell, found }) => [cell.model, found]));
  return readingsOf(quality).filter(({ cell }) => known.has(cell.model)).map(({ cell, model, found, isApart }) => ({ label: model.label, x: known.get(cell.model).value, y: found.value, interval: found.interval, isApart }));
}

function languagePoints(model, geometry, quality) {
  const [first, second] = [geometry, quality].map((place) => {
    const cell = cellsOf.get(model).get(place);
    return new Map(data.data[cell.data].languages.map((code, at) => [code, cell.scores[at]]));
  });
  return [...first].filter(([code, score]) => score !== null && typeof second.get(code) === "number" && showsLanguage(code)).map(([code, score]) => ({ label: data.languages[code].name, x: score, y: second.get(code) }));
}

/** Okabe and Ito's colours, told apart with any colour vision, and shapes: the same pairs as in the printed pictures. */
const HUES = 7;
const SHAPES = ["M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0", "M0-3.6L3.4 2.8H-3.4Z", "M-2.8-2.8H2.8V2.8H-2.8Z", "M-3.2-1.8L-1.8-3.2L0-1.4L1.8-3.2L3.2-1.8L1.4 0L3.2 1.8L1.8 3.2L0 1.4L-1.8 3.2L-3.2 1.8L-1.4 0Z"];

function renderSpaces() {
  byId("spaces").replaceChildren(...data.pictures.flatMap((picture) => [spaceCard(picture, "languages"), spaceCard(picture, "meanings")]));
}

function spaceCard(picture, kind) {
  const node = make("article", { class: "card space" });
  const [width, height] = [440, 330];
  const all = picture.points.flat();
  const [left, right, low, high] = [Math.min(...all.map(([x]) => x)), Math.max(...all.map(([x]) => x)), Math.min(...all.map(([, y]) => y)), Math.max(...all.map(([, y]) => y))];
  const at = ([x, y]) => [10 + ((width - 20) * (x - left)) / (right - left || 1), height - 10 - ((height - 20) * (y - low)) / (high - low || 1)];
  const names = picture.languages.map((code) => data.languages[code].name);
  const image = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `t-SNE of ${picture.model}: ${plural(names.length, "language")}, ${plural(picture.points[0].length, "sentence")} each` });
  const keys = [];
  const mark = (point, place, text, extra = "") => {
    const [x, y] = at(point);
    return draw("path", { class: `mark c${place % HUES}${extra}`, d: SHAPES[Math.floor(place / HUES) % SHAPES.length], transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` }, draw("title", {}, text));
  };
  if (kind === "languages") {
    const order = names.map((_, place) => place).sort((a, b) => (picture.isolation[b] ?? 0) - (picture.isolation[a] ?? 0));
    order.forEach((language, place) => {
      const layer = draw("g", {}, picture.points[language].map((point) => mark(point, place, names[language])));
      image.append(layer);
      keys.push(keyRow(place, `${names[language]}`, (picture.isolation[language] ?? 0).toFixed(2), layer, image));
    });
  } else {
    image.append(draw("g", {}, all.map((point) => { const [x, y] = at(point); return draw("circle", { class: "mark rest", cx: x.toFixed(1), cy: y.toFixed(1), r: 1.6 }); })));
    picture.sentences.forEach(([sentence, text], place) => {
      const layer = draw("g", {}, picture.points.map((points, language) => mark(points[sentence], place, `${names[language]}: ${text}`, " big")));
      image.append(layer);
      keys.push(keyRow(place, text, "", layer, image));
    });
  }
  return filled(node, {}, [
    make("h3", {}, named(picture.model), kind === "languages" ? " by language" : " by meaning"),
    make("p", { class: "quiet" }, kind === "languages"
      ? `t-SNE, ${picture.task}, ${picture.split}; the number is the share of a language’s sentences whose nearest neighbour is of the same language`
      : `t-SNE, ${picture.task}, ${picture.split}; each colour is one sentence in all languages`),
    make("div", { class: "space-body" }, image, make("ul", { class: "keys" }, keys)),
  ]);
}

function keyRow(place, text, number, layer, image) {
  const row = make("li", {},
    draw("svg", { viewBox: "-5 -5 10 10", width: 12, height: 12, "aria-hidden": "true" }, draw("path", { class: `mark c${place % HUES}`, d: SHAPES[Math.floor(place / HUES) % SHAPES.length] })),
    make("span", { title: text }, text), number ? make("span", { class: "quiet" }, number) : null);
  row.onpointerenter = () => { image.classList.add("dimmed"); layer.classList.add("lit"); };
  row.onpointerleave = () => { image.classList.remove("dimmed"); layer.classList.remove("lit"); };
  return row;
}
