/* Charts: quality against speed and size, and geometry against retrieval. */

function qualityChoices() {
  return data.measures.map((measure, place) => ({ measure, place })).filter(({ measure, place }) => showsMeasure(measure) && (boardsOf(place).length > 0 || data.cells.some((cell) => cell.measure === place && cell.reason === undefined)));
}

const chosenOf = (choices, key) => choices.find(({ measure }) => keyOf(measure) === key);

function readingsOf(place) {
  const found = data.cells
    .filter((cell) => cell.measure === place && showsModel(data.models[cell.model]))
    .map((cell) => ({ cell, model: data.models[cell.model], found: reading(cell) }))
    .filter(({ found: { reason } }) => reason === undefined);
  found.push(...publishedReadings(place));
  const main = usual(found.map(({ found: each }) => each));
  return found.map((each) => ({ ...each, isApart: each.found.data !== main }));
}

/** The boards of a measure: its task on every split, and its metric. */
const boardsOf = (place) => boards.filter((board) => boardKey(board) === keyOf(data.measures[place]));

/** What others published by a measure, under the filters. */
function publishedReadings(place) {
  return boardsOf(place).flatMap((board) => everyone
    .filter((model) => model.source !== MEASURED && showsModel(model))
    .map((model) => ({ cell: null, model, found: boardReading(model, board) }))
    .filter(({ found }) => found !== null)
    .map((each) => ({ ...each, found: { ...each.found, data: `${board.place} ${each.found.data}` } })));
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
    const points = found.map(({ cell, model, found: each, isApart }) => ({ label: model.label, x: value(cell, model), y: each.value, interval: each.interval, isApart, isPublished: cell === null })).filter((point) => point.x !== null && point.x > 0);
    const front = paretoFront(points, id === "speed", measure.higher !== false);
    card(id, heading, null, points, { x, y, isLog: true, unknown: found.length - points.length, front }, measure.digits, empty);
  };
  const measured = found.filter(({ cell }) => cell !== null);
  const machines = unique(measured.map(({ cell }) => data.runs[cell.run]).filter(({ speed }) => speed !== null).map(({ machine }) => machine));
  show("speed", "Quality and speed", `sentences a second, ${machines.length === 1 ? machines[0] : "each on its own machine"}`, (cell) => (cell ? data.runs[cell.run].speed : null),
    measured.length > 0 && measured.every(({ cell }) => data.runs[cell.run].tuning)
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
  const known = new Map(readingsOf(geometry).filter(({ cell }) => cell).map(({ cell, found }) => [cell.model, found]));
  return readingsOf(quality).filter(({ cell }) => cell && known.has(cell.model)).map(({ cell, model, found, isApart }) => ({ label: model.label, x: known.get(cell.model).value, y: found.value, interval: found.interval, isApart }));
}

function languagePoints(model, geometry, quality) {
  const [first, second] = [geometry, quality].map((place) => {
    const cell = cellsOf.get(model).get(place);
    return new Map(data.data[cell.data].languages.map((code, at) => [code, cell.scores[at]]));
  });
  return [...first].filter(([code, score]) => score !== null && typeof second.get(code) === "number" && showsLanguage(code)).map(([code, score]) => ({ label: data.languages[code].name, x: score, y: second.get(code) }));
}
