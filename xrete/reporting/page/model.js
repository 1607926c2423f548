/* A model's own view: what is known of it, and its score in every language. */

const modelOf = (key) => everyone.find((model) => whoKey(model) === key);

function renderModel(dialog) {
  const model = modelOf(state.model);
  const lines = linesOf[model.place];
  replace(dialog,
    make("header", {},
      make("div", {},
        make("h2", { id: "detail-title" }, named(model.label)),
        make("p", { class: "quiet" }, badge(model.source), ` ${whose(model)}`)),
      closeButton(dialog)),
    make("dl", {}, factsOf(model).flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)])),
    boards.filter(({ place }) => lines.has(place)).map((board) => modelBoard(board, lines.get(board.place))));
}

const whose = ({ source }) => (source === MEASURED ? "with XRETE: the records are beside this page" : `published${KNOWN.sources[source] ? `, version ${KNOWN.sources[source]}` : ""}; not measured with XRETE`);

function factsOf(model) {
  const unknown = "not known";
  const weights = { true: "open", false: "closed" };
  const trained = model.trained === null ? "nobody says it" : model.trained.length ? model.trained.join(", ") : "none of the tasks here";
  return [
    ["Size", model.parameters === null ? unknown : `${model.parameters.toLocaleString("en")} weights`],
    ["Vector", model.dimension === null ? unknown : `${model.dimension} dimensions`],
    ["Reads", model.tokens === null ? unknown : `at most ${model.tokens.toLocaleString("en")} tokens`],
    ["Licence", model.licence ?? unknown],
    ["Weights", weights[model.open] ?? unknown],
    ["Trained on", trained],
    ...(model.speed ? [["Speed", `${model.speed[0].toLocaleString("en")} sentences a second on ${model.speed[1]}`]] : []),
    ...Object.entries(KNOWN.orders).flatMap(([name, order]) => {
      const row = order.places.find(([place]) => place === model.place);
      return row ? [[name === "all" ? "Overall" : name, `rank ${between(row[4], row[5])} of ${order.places.length}, win rate ${fixed(100 * row[1], 1)} % (${span([100 * row[2], 100 * row[3]], 1)}), Borda rank ${row[7]}`]] : [];
    }),
  ];
}

function modelBoard(board, line) {
  const places = board.languages.map((_, at) => at).filter((at) => line.scores[at] !== null);
  const { value, interval } = meanOf(board, line, places);
  const rows = places.map((at) => ({
    code: board.languages[at],
    name: data.languages[board.languages[at]].name,
    group: ["head", "long-tail"].find((name) => board.groups[name]?.includes(board.languages[at])) ?? "",
    score: line.scores[at],
    interval: line.low[at] === null || line.high[at] === null ? null : [line.low[at], line.high[at]],
    items: board.items[at],
    rivals: [],
  })).sort((a, b) => b.score - a.score);
  return make("section", { class: "list" },
    make("h3", {}, `${board.task}, ${board.protocol} ${board.metric}${arrow(board)}`),
    make("p", { class: "headline" }, make("strong", {}, fixed(value, board.digits)), make("span", {}, `95 % interval ${span(interval, board.digits)}, ${places.length} of ${board.expected} languages, ${board.split ?? "no split named"}`)),
    languageTable(board, rows, 0));
}
