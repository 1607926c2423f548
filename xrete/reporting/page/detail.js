/* One cell opened: the score of every language, what it rests on, and the others that may be compared with it. */

const viewKey = (model, measure) => `${data.models[model].label}/${keyOf(data.measures[measure])}`;

function viewed() {
  for (const cell of data.cells) {
    if (viewKey(cell.model, cell.measure) === state.view && cell.reason === undefined) return cell;
  }
  return null;
}

const ORDERS = {
  score: ["by score", (a, b) => b.score - a.score],
  name: ["by name", (a, b) => a.name.localeCompare(b.name, "en")],
  script: ["by script", (a, b) => a.script.localeCompare(b.script, "en") || b.score - a.score],
  group: ["by resource class", (a, b) => a.group.localeCompare(b.group, "en") || b.score - a.score],
};

function languageRows(cell, rivals) {
  const part = data.data[cell.data];
  return part.languages
    .map((code, place) => ({ code, place }))
    .filter(({ code, place }) => showsLanguage(code) && cell.scores[place] !== null)
    .map(({ code, place }) => ({
      code,
      name: data.languages[code].name,
      script: data.languages[code].scripts.map((key) => data.scripts[key]).join(", "),
      group: ["head", "long-tail"].find((name) => part.groups[name]?.includes(code)) ?? "",
      score: cell.scores[place],
      interval: cell.low && cell.low[place] !== null ? [cell.low[place], cell.high[place]] : null,
      items: part.items[place],
      rivals: rivals.map((rival) => rival.scores[place]).filter((score) => score !== null),
    }));
}

const publishedKey = (row, measure) => `${row.from}/${row.label}/${keyOf(measure)}`;

function viewedInPaper() {
  for (const row of data.paper) {
    for (const cell of row.cells) {
      if (cell.group === group() && publishedKey(row, data.measures[cell.measure]) === state.view) return { row, cell };
    }
  }
  return null;
}

const closeButton = (dialog) => make("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => dialog.close() }, icon("×"));

/** A published number, and its status. */
function renderPublished(dialog, { row, cell }) {
  const measure = data.measures[cell.measure];
  const difference = cell.difference === null ? null : `${cell.difference > 0 ? "+" : ""}${fixed(cell.difference, measure.digits)}`;
  replace(dialog,
    make("header", {},
      make("div", {},
        make("h2", { id: "detail-title" }, named(row.label)),
        make("p", { class: "quiet" }, `published ${row.publisher}${row.table ? `, ${row.from}` : ""}: ${title(measure)}, ${group()}`)),
      closeButton(dialog)),
    make("p", { class: "headline" }, make("strong", {}, cell.shown), make("span", {}, STATUS[cell.status][1])),
    difference ? make("p", {}, `${cell.ours}, measured here, less the published number: ${difference}`) : null,
    make("ul", { class: "reasons" }, cell.notes.map((note) => make("li", {}, note))));
}

/** What draws the view that is asked for; null where none is. */
function detailView() {
  if (KNOWN && Object.hasOwn(data.names, state.about)) return renderLanguage;
  if (KNOWN && state.model && modelOf(state.model)) return renderModel;
  const published = state.view ? viewedInPaper() : null;
  if (published) return (dialog) => renderPublished(dialog, published);
  const cell = state.view ? viewed() : null;
  return cell ? (dialog) => renderCell(dialog, cell) : null;
}

function renderDetail() {
  const dialog = byId("detail");
  const draws = detailView();
  if (draws === null) {
    if (dialog.open) dialog.close();
    return;
  }
  const hadFocus = dialog.contains(document.activeElement);
  draws(dialog);
  if (!dialog.open) dialog.showModal();
  else if (hadFocus && !dialog.contains(document.activeElement)) dialog.querySelector(".close").focus();
  if (dialog.dataset.of !== state.about + state.model + state.view) dialog.scrollTop = 0;
  dialog.dataset.of = state.about + state.model + state.view;
}

function renderCell(dialog, cell) {
  const measure = data.measures[cell.measure];
  const model = data.models[cell.model];
  const part = data.data[cell.data];
  const found = reading(cell);
  const rivals = data.cells.filter((other) => other.measure === cell.measure && other.data === cell.data && other !== cell);
  const order = ORDERS[state.order] ? state.order : "score";
  const rows = languageRows(cell, rivals).sort(ORDERS[order][1]);
  replace(dialog,
    make("header", {},
      make("div", {},
        make("h2", { id: "detail-title" }, named(model.label)),
        make("p", { class: "quiet" }, `${data.tasks[measure.task].title}`),
        make("p", { class: "quiet" }, `${measure.protocol}, ${measure.metric}${arrow(measure)}, ${part.split}`)),
      closeButton(dialog)),
    make("p", { class: "headline" },
      make("strong", {}, found.shown ?? "–"),
      make("span", {}, said(measure, found).replace(/^[^,]*, /, ""))),
    rows.length
      ? [select("Order", Object.entries(ORDERS).map(([key, [text]]) => [key, text]), order, (value) => { change({ order: value }); dialog.querySelector("select").focus(); }),
         languageTable(measure, rows, rivals.length)]
      : make("p", { class: "empty" }, "This metric has no numbers of single languages."),
    missingLanguages(found.missing ?? []),
    provenance(cell, model, part),
  );
}

function languageTable(measure, rows, rivals) {
  const [low, high] = range(rows.flatMap(({ score, interval, rivals: others }) => [score, ...(interval ?? []), ...others]));
  const at = (value) => `${(100 * (value - low)) / (high - low)}%`;
  const body = rows.map((row) => {
    const track = make("div", { class: "track", "aria-hidden": "true" });
    for (const rival of row.rivals.slice(0, 12)) {
      const tick = make("i", { class: "rival" });
      tick.style.setProperty("--at", at(rival));
      track.append(tick);
    }
    if (row.interval) {
      const whisker = make("i", { class: "whisker" });
      whisker.style.setProperty("--low", at(row.interval[0]));
      whisker.style.setProperty("--high", at(row.interval[1]));
      track.append(whisker);
    }
    const point = make("i", { class: "point" });
    point.style.setProperty("--at", at(row.score));
    track.append(point);
    const interval = row.interval ? row.interval.map((end) => fixed(end, measure.digits)).join("–") : "–";
    return make("tr", {},
      make("th", { scope: "row" }, languageName(row), make("span", { class: "quiet" }, [row.code, row.group].filter(Boolean).join(" · "))),
      make("td", { class: "plot" }, track),
      make("td", { class: "value" }, fixed(row.score, measure.digits)),
      make("td", { class: "quiet wide" }, interval),
      make("td", { class: "quiet wide" }, (row.items ?? "–").toLocaleString("en")));
  });
  return make("table", { class: "languages" },
    make("caption", { class: "quiet" }, `${plural(rows.length, "language")} from ${fixed(low, 0)} to ${fixed(high, measure.digits === 1 ? 0 : measure.digits)}` + (rivals ? "; grey ticks are other models on the same data" : "")),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Language"), make("td", {}), make("th", { scope: "col" }, "Score"), make("th", { scope: "col", class: "wide" }, "95 % interval"), make("th", { scope: "col", class: "wide" }, "Items"))),
    make("tbody", {}, body));
}

/** A language's name, which opens its own view where models have scores in it. */
function languageName({ code, name }) {
  const [standard, ...others] = data.languages[code].of;
  const hasView = others.length === 0 && boards.some(({ languages }) => languages.includes(code));
  return hasView ? make("button", { type: "button", class: "link", onclick: () => openLanguage(standard) }, named(name)) : named(name);
}

function missingLanguages(codes) {
  if (codes.length === 0) return null;
  const names = codes.map((code) => data.languages[code].name).sort((a, b) => a.localeCompare(b, "en"));
  return make("details", {}, make("summary", {}, `${plural(codes.length, "language")} missing from the data`), make("p", {}, names.join(", ")));
}

/** How the model was fine-tuned, and what each run came to. */
function tuningFacts(tuning, measure) {
  if (tuning === null) return [];
  const runs = tuning.runs.map(([seed, score]) => `seed ${seed}${score === null ? "" : `: ${fixed(score, measure.digits + 1)}`}`);
  return [["Fine-tuning", tuning.words], ["Runs", runs.join(", ")], ...(tuning.languages ? [["Trained on", tuning.languages]] : []), ...tuning.stages.map((stage) => ["Stage", stage])];
}

function provenance(cell, model, part) {
  const run = data.runs[cell.run];
  const facts = [
    ...tuningFacts(run.tuning, data.measures[cell.measure]),
    ["Model", `${model.name}, revision ${model.revision}`],
    ["Vectors", [model.dimension && `${model.dimension} dimensions`, `pooling ${model.pooling}`, model.tokens && `at most ${model.tokens} tokens`].filter(Boolean).join(", ")],
    ...(run.prompts.length ? [["Prompts", run.prompts.map(([whose, prompt]) => `${prompt ? `“${prompt}”` : "nothing"} before ${whose}`).join(", ")]] : []),
    ["Weights", model.parameters === null ? "unknown" : model.parameters.toLocaleString("en")],
    ["Data", `${part.source}${part.revision ? `, revision ${part.revision}` : ""}, split ${part.split}, fingerprint ${part.fingerprint.slice(0, 16)}`],
    ["Intervals", run.interval],
    ["Speed", run.tuning ? "not known: training takes part of the time" : run.speed === null ? "not known: every sentence came from the cache" : `${run.speed.toLocaleString("en")} sentences a second on ${run.machine}`],
    ["Cut off", run.truncated === null ? "not known" : `${plural(run.truncated, "sentence")} longer than the model reads`],
    ["Command", run.command],
    ["Record", `${run.file}, ${run.created}, ${run.code}`],
    ...run.notes.map((note) => ["Note", note]),
  ];
  return make("dl", {}, facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}
