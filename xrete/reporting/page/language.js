/* A language's own view: every model with a score in it, task by task. */

const LANGUAGE_ROWS = 15;
const openLanguageLists = new Set();

/** The lists of a language: one for each board, and for each pair of languages that it is part of. */
function languageLists(standard) {
  return boards.flatMap((board) => board.languages
    .map((code, at) => ({ code, at }))
    .filter(({ code }) => data.languages[code].of.includes(standard))
    .map(({ at }) => {
      const members = everyone.map((model) => ({ model, line: linesOf[model.place].get(board.place) }));
      return shortList(board, [at], members.filter(({ line }) => line && line.scores[at] !== null));
    }))
    .filter(({ rows }) => rows.length > 0)
    .sort((a, b) => b.rows.length - a.rows.length);
}

function renderLanguage(dialog) {
  const standard = state.about;
  const lists = languageLists(standard);
  const codes = unique(lists.flatMap((list) => list.codes));
  const scripts = unique(codes.filter((code) => !code.includes("-")).flatMap((code) => data.languages[code].scripts)).map((key) => data.scripts[key]);
  const classes = unique(lists.flatMap(({ board, codes: own }) => Object.entries(board.groups).filter(([, members]) => members.includes(own[0])).map(([name]) => name)));
  replace(dialog,
    make("header", {},
      make("div", {},
        make("h2", { id: "detail-title" }, named(data.names[standard] ?? standard)),
        make("p", { class: "quiet" }, [standard, scripts.join(", "), classes.join(", ")].filter(Boolean).join(" · "))),
      closeButton(dialog)),
    make("p", { class: "actions" },
      make("button", { type: "button", class: "plain", onclick: () => change({ ask: new Set([standard]), about: "" }) }, "Which model for it?"),
      make("button", { type: "button", class: "plain", onclick: () => change({ language: new Set([standard]), about: "" }) }, "Show only this language")),
    lists.length ? lists.map((list) => languageList(list)) : make("p", { class: "empty" }, "No model has a score in it."));
}

function languageList(list) {
  const { board, rows, codes } = list;
  const key = `${boardKey(board)} ${codes[0]}`;
  const shown = openLanguageLists.has(key) ? rows.length : Math.min(LANGUAGE_ROWS, rows.length);
  const scale = range(rows.flatMap(({ value, interval }) => interval ?? [value]));
  return make("section", { class: "list" },
    make("h3", {}, `${board.task}, ${board.protocol} ${board.metric}${arrow(board)}`),
    make("p", { class: "quiet" }, `${data.languages[codes[0]].name} (${codes[0]}), ${plural(rows.length, "model")}${list.items === null ? "" : `, ${list.items.toLocaleString("en")} items each`}`),
    make("table", { class: "short", "aria-label": `${board.task}, ${data.languages[codes[0]].name}` },
      make("thead", {}, make("tr", {}, make("th", { scope: "col", class: "at" }, "Rank"), make("th", { scope: "col" }, "Model"), make("th", { scope: "col", class: "figure" }, "Score"), make("td", { class: "plot" }))),
      make("tbody", {}, rows.slice(0, shown).map(({ model, published, value, interval, ranks }) => make("tr", { class: model.source === MEASURED ? "own" : null },
        make("td", { class: "at" }, ranks ? between(...ranks) : "–"),
        make("th", { scope: "row" }, make("button", { type: "button", onclick: () => openModel(model) }, modelName(model.label)), make("span", { class: "tags" }, badge(model.source), publishedTags(published, board))),
        make("td", { class: "figure" }, make("b", {}, fixed(value, board.digits)), make("span", { class: "quiet" }, span(interval, board.digits))),
        make("td", { class: "plot" }, meter(value, interval, scale, model.source)))))),
    rows.length > LANGUAGE_ROWS
      ? make("p", {}, make("button", { type: "button", class: "plain", onclick: () => { if (!openLanguageLists.delete(key)) openLanguageLists.add(key); renderDetail(); } },
          shown > LANGUAGE_ROWS ? `Show the first ${LANGUAGE_ROWS}` : `Show all ${rows.length.toLocaleString("en")} models`))
      : null);
}
