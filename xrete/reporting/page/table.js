/* The results: models down, measures across. One cell is in the tab order; the arrow keys move it. */

const ROWS = 60;
let shownRows = ROWS;

function visible() {
  const rows = data.models
    .map((model, place) => ({ model, place, cells: cellsOf.get(place) }))
    .filter(({ model }) => showsModel(model));
  const measures = data.measures
    .map((measure, place) => ({ measure, place }))
    .filter(({ measure }) => showsMeasure(measure));
  for (const row of rows) {
    row.readings = new Map(
      measures.filter(({ place }) => row.cells.has(place)).map(({ place }) => [place, reading(row.cells.get(place))]),
    );
  }
  const kept = rows.filter((row) => row.readings.size > 0);
  const paper = publishedRows(measures);
  const isMeasured = ({ place }) => kept.some((row) => row.readings.has(place));
  const isPublished = ({ place }) => paper.some((row) => row.cells.has(place));
  const used = [...measures.filter(isMeasured), ...measures.filter((x) => !isMeasured(x) && isPublished(x))];
  return { rows: kept, columns: used, paper };
}

function publishedRows(measures) {
  const places = new Set(measures.map(({ place }) => place));
  if (picksLanguages()) return [];
  return data.paper
    .filter(({ label }) => label.toLowerCase().includes(state.find.toLowerCase()) && state.size.size === 0)
    .map((row) => {
      const cells = row.cells.filter((cell) => places.has(cell.measure) && cell.group === group());
      return { ...row, cells: new Map(cells.map((cell) => [cell.measure, cell])) };
    })
    .filter(({ cells }) => cells.size > 0);
}

/** Sorts: those on the data that most stand on, then those that are not to be compared with them, then the rest. */
function sorted(rows) {
  const [key, direction] = [state.sort.replace(/^-/, ""), state.sort.startsWith("-") ? -1 : 1];
  if (!key) return { rows, apart: new Set() };
  if (key === "name") return { rows: direction > 0 ? rows : [...rows].reverse(), apart: new Set() };
  if (key === "size") {
    const size = (row) => row.model.parameters ?? Infinity * direction;
    return { rows: [...rows].sort((a, b) => direction * (size(a) - size(b))), apart: new Set() };
  }
  const place = measureOf(key);
  const main = usual(rows.map((row) => row.readings.get(place)).filter(Boolean));
  const block = (row) => {
    const found = row.readings.get(place);
    return found === undefined || found.reason !== undefined ? 2 : found.data === main ? 0 : 1;
  };
  const value = (row) => row.readings.get(place)?.value ?? 0;
  const ordered = [...rows].sort((a, b) => block(a) - block(b) || direction * (value(a) - value(b)));
  return { rows: ordered, apart: new Set(ordered.filter((row) => block(row) === 1).map(({ place }) => place)) };
}

function sortButton(key, first, kind, ...content) {
  const isSorted = state.sort.replace(/^-/, "") === key;
  const isDown = state.sort.startsWith("-");
  const next = isSorted ? (isDown ? key : `-${key}`) : first;
  return make(
    "th",
    { scope: "col", "aria-sort": isSorted ? (isDown ? "descending" : "ascending") : null, class: [kind, isSorted ? "sorted" : ""].join(" ").trim() || null },
    make("button", { type: "button", "data-sort": key, onclick: () => { change({ sort: next }); refocus(`[data-sort="${CSS.escape(key)}"]`); } }, ...content),
  );
}

/** Models whose ways of fine-tuning are unfolded: by name and revision. */
const unfolded = new Set();
const foldKey = (model) => `${model.name} ${model.revision}`;

/** Puts the other ways of fine-tuning a model below it, hidden until they are asked for. */
function folded(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(foldKey(row.model), [...(groups.get(foldKey(row.model)) ?? []), row]);
  return [...groups.values()].flatMap((own) => {
    const head = own.find(({ model }) => !model.variant) ?? own[0];
    const others = own.filter((row) => row !== head);
    const isOpen = unfolded.has(foldKey(head.model));
    return [{ ...head, ways: others.length, isOpen }, ...(isOpen ? others.map((row) => ({ ...row, isWay: true })) : [])];
  });
}

function waysButton(model, { ways, isOpen }) {
  if (!ways) return null;
  const onclick = () => {
    if (!unfolded.delete(foldKey(model))) unfolded.add(foldKey(model));
    renderTable();
    byId("board").querySelector(`[data-ways="${CSS.escape(foldKey(model))}"]`)?.focus();
  };
  return make("button", { type: "button", class: "ways", "data-ways": foldKey(model), "aria-expanded": String(isOpen), onclick }, `${ways} more ${ways === 1 ? "way" : "ways"} of fine-tuning`);
}

function refocus(selector) {
  const button = byId("board").querySelector(selector);
  if (!button) return;
  if (button.matches("td > button")) for (const other of byId("board").querySelectorAll("td > button")) other.tabIndex = -1;
  button.tabIndex = 0;
  button.focus();
}

let publishedShown = 0;

/** Draws the table; `published` is how many published models pass the filters, where that is known. */
function renderTable(published = publishedShown) {
  publishedShown = published;
  const { rows, columns, paper } = visible();
  const { rows: all, apart } = sorted(rows);
  const ordered = folded(all);
  byId("status").textContent =
    `${plural(rows.length + published, "model")} of ${(data.models.length + publishedModels).toLocaleString("en")}, ${plural(columns.length, "column")}` +
    (picksLanguages() ? "; means over the languages that are picked, without ranks" : "");
  if (columns.length === 0) {
    byId("board").replaceChildren(make("p", { class: "empty" }, "Nothing passes these filters."));
    return;
  }
  const spans = new Map(columns.map(({ place }) => {
    const values = rows.map((row) => row.readings.get(place)?.value).filter((value) => value !== undefined);
    const main = usual(rows.map((row) => row.readings.get(place)).filter(Boolean));
    return [place, { range: [0, range([0, ...values])[1]], main }];
  }));
  const head = make("tr", {},
    sortButton("name", "name", "", make("span", { class: "task" }, "Model")),
    sortButton("size", "size", "size", make("span", { class: "task" }, "Size"), make("span", { class: "quiet" }, "weights")),
    columns.map(({ measure }) =>
      sortButton(keyOf(measure), measure.higher === false ? keyOf(measure) : `-${keyOf(measure)}`, "",
        make("span", { class: "task" }, measure.task),
        make("span", { class: "quiet" }, measure.protocol),
        make("span", { class: "quiet" }, measure.metric + arrow(measure)),
      )),
  );
  const body = make("tbody", {}, ordered.slice(0, shownRows).map((row) => modelRow(row, columns, spans, apart)));
  const table = make(
    "table",
    { class: "board", role: "grid", "aria-labelledby": "results-title", "aria-rowcount": ordered.length + paper.length + 1 },
    make("colgroup", {}, make("col", { class: "name" }), make("col", { class: "size" }), columns.map(() => make("col", { class: "measure" }))),
    make("thead", {}, head),
    body,
    unique(paper.map(({ publisher }) => publisher)).map((publisher) => paperBody(paper.filter((row) => row.publisher === publisher), columns, publisher)),
  );
  replace(byId("board"),
    make("div", { class: "scroll" }, table),
    ordered.length > shownRows
      ? make("p", {}, make("button", { type: "button", id: "more", onclick: () => { shownRows += ROWS; renderTable(); byId("more")?.focus(); } },
          `Show ${Math.min(ROWS, ordered.length - shownRows)} more of ${ordered.length.toLocaleString("en")} models`))
      : null,
    legend(rows, table.querySelector(".other") !== null, paper),
  );
  roving(table);
}

function modelRow(row, columns, spans, apart) {
  const { model } = row;
  const isApart = apart.has(row.place);
  const name = make("th", { scope: "row", class: row.isWay ? "way" : null }, named(model.label), waysButton(model, row),
    model.setting ? make("span", { class: "quiet" }, model.setting) : null,
    isApart ? make("span", { class: "quiet" }, "on other data: not in this order") : null);
  const size = make("td", { class: "size" }, short(model.parameters));
  return make("tr", { class: isApart ? "apart" : null }, name, size, columns.map(({ measure, place }) => {
    const found = row.readings.get(place);
    if (found === undefined) return make("td", { class: "none" }, icon("–"), hidden("not run"));
    const { range: [low, high], main } = spans.get(place);
    const label = `${model.label}, ${title(measure)}: ${said(measure, found)}`;
    if (found.reason !== undefined) {
      const word = found.reason.startsWith("failed") ? "failed" : found.reason.startsWith("unfinished") ? "unfinished" : "–";
      return make("td", { class: "none", title: found.reason }, icon(word), hidden(found.reason));
    }
    const button = make("button", {
      type: "button", tabindex: "-1", title: said(measure, found), "aria-label": label, "aria-haspopup": "dialog",
      "data-view": viewKey(row.place, place), onclick: () => change({ view: viewKey(row.place, place) }),
    },
      make("span", { class: "value" }, found.shown),
      found.rank ? make("span", { class: "rank" }, between(found.rank[0], found.rank[1])) : null,
      make("span", { class: "cover" }, `${found.spread === null ? "" : `σ ${fixed(found.spread, measure.digits)} · `}${found.done}/${found.expected}`),
    );
    button.append(bar(found, (value) => (100 * (Math.min(high, Math.max(low, value)) - low)) / (high - low)));
    return make("td", { class: [found.mark, found.data === main ? null : "other"].filter(Boolean).join(" ") || null }, button);
  }));
}

function bar(found, at) {
  const whole = make("i");
  whole.style.width = `${at(found.value)}%`;
  const node = make("span", { class: "bar", "aria-hidden": "true" }, whole);
  if (found.interval) {
    const [low, high] = found.interval.map(at);
    const part = make("i");
    part.style.left = `${low}%`;
    part.style.width = `${high - low}%`;
    node.append(part);
  }
  return node;
}

const STATUS = {
  reproduced: ["≈", "reproduced"],
  differs: ["≠", "differs"],
  "not reproducible": ["✕", "cannot be reproduced"],
  "not comparable": ["◐", "measured here over other languages or on another split"],
  "not measured": ["○", "not measured here"],
};

function verdict(cell, measure) {
  if (cell.difference === null) return STATUS[cell.status][0];
  const sign = cell.status === "reproduced" ? "≈" : "≠";
  return `${sign} ${cell.difference > 0 ? "+" : ""}${fixed(cell.difference, measure.digits)}`;
}

function paperBody(rows, columns, from) {
  return make("tbody", { class: "paper" },
    make("tr", {}, make("th", { scope: "rowgroup", colspan: columns.length + 2 }, make("span", {}, `Published ${from}, not measured with XRETE`))),
    rows.map((row) => make("tr", {},
      make("th", { scope: "row" }, named(row.label), row.table ? make("small", {}, row.from) : null),
      make("td", { class: "size" }),
      columns.map(({ measure, place }) => {
        const cell = row.cells.get(place);
        if (cell === undefined) return make("td", { class: "none" }, icon("–"), hidden("not published"));
        const words = [STATUS[cell.status][1], ...cell.notes].join("; ");
        const key = publishedKey(row, measure);
        return make("td", {}, make("button", {
          type: "button", tabindex: "-1", title: words, "aria-haspopup": "dialog", "data-view": key, onclick: () => change({ view: key }),
          "aria-label": `published: ${row.label}, ${title(measure)}: ${cell.shown}, ${words}`,
        }, make("span", { class: "value" }, cell.shown), make("span", { class: "cover" }, verdict(cell, measure))));
      }),
    )),
  );
}

function legend(rows, hasOthers, paper) {
  const found = rows.flatMap((row) => [...row.readings.values()]);
  const lines = [];
  const second = found.some(({ mark }) => mark === "second") ? ", underlined second best," : "";
  if (found.some(({ mark }) => mark)) lines.push(`Bold is best${second} beyond chance, among models on the same languages and data.`);
  if (found.some(({ rank }) => rank)) lines.push("The small number is the rank, or the ranks between which it lies, at 95 % confidence for all models compared.");
  if (found.some(({ spread }) => spread !== null && spread !== undefined)) lines.push("σ is the standard deviation over runs of fine-tuning with other seeds; without it there was one run.");
  const partial = found.find(({ done, expected }) => done < expected);
  if (partial) lines.push(`${partial.done}/${partial.expected}: the mean is over ${partial.done} of ${partial.expected} languages.`);
  lines.push("The bar is the score, its dark part the 95 % interval.");
  if (hasOthers) lines.push("Grey numbers stand on other languages or other data than most of their column and are not compared.");
  const statuses = new Set(paper.flatMap((row) => [...row.cells.values()].map((cell) => cell.status)));
  for (const [status, [sign, words]] of Object.entries(STATUS)) if (statuses.has(status)) lines.push(`${sign} ${words}.`);
  return make("p", { class: "legend" }, lines.join(" "));
}

/** Makes one button of the table reachable by Tab, and the others from it by the arrow keys; they are in cells of a kind. */
function roving(table, kind = "td") {
  const first = table.querySelector(`tbody ${kind} > button`);
  if (first) first.tabIndex = 0;
  const moveTo = (button) => {
    if (!button) return;
    for (const other of table.querySelectorAll(`tbody ${kind} > button[tabindex="0"]`)) other.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
  };
  const along = (cell, step) => {
    for (let next = step(cell); next; next = step(next)) if (next.querySelector(":scope > button")) return next.firstChild;
    return null;
  };
  const above = (cell, step) => {
    for (let row = step(cell.parentNode); row; row = step(row)) {
      const button = row.cells[cell.cellIndex]?.querySelector(":scope > button");
      if (button && row.parentNode.tagName === "TBODY") return button;
    }
    return null;
  };
  const moves = {
    ArrowRight: (cell) => along(cell, (x) => x.nextElementSibling),
    ArrowLeft: (cell) => along(cell, (x) => x.previousElementSibling),
    ArrowDown: (cell) => above(cell, (x) => x.nextElementSibling),
    ArrowUp: (cell) => above(cell, (x) => x.previousElementSibling),
    Home: (cell) => cell.parentNode.querySelector(`${kind} > button`),
    End: (cell) => [...cell.parentNode.querySelectorAll(`${kind} > button`)].pop(),
  };
  table.onkeydown = (event) => {
    const cell = event.target.closest(`tbody ${kind}`);
    if (!cell || !moves[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    moveTo(moves[event.key](cell));
  };
}
