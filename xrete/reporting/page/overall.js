/* The overall order: every model's mean win rate, the ranks between which it lies, how much of the data it has. */

const ORDER_ROWS = 40;
const COMMON = 0.1;
let shownOrder = ORDER_ROWS;

const orderName = () => (Object.hasOwn(KNOWN.orders, state.rank) ? state.rank : "all");

/** The boards of a purpose that some model has, those of most models first. */
function orderBoards(name) {
  const tasks = name === "all" ? null : KNOWN.purposes[name];
  const count = (board) => linesOf.filter((lines) => lines.has(board.place)).length;
  return boards
    .filter((board) => (tasks === null || tasks.includes(board.task)) && passes("task", board.task) && passes("protocol", board.protocol) && passes("category", data.tasks[board.task].category))
    .sort((a, b) => count(b) - count(a));
}

/** Each model's mean, over the others, of the share of the cells of both in which it is better; a draw is half a win. */
function winRates(models, cells) {
  const lines = models.map(({ place }) => Float64Array.from(cells, ({ board, at }) => {
    const score = linesOf[place].get(board.place)?.scores[at] ?? NaN;
    return board.higher ? score : -score;
  }));
  const sums = new Float64Array(lines.length);
  const met = new Float64Array(lines.length);
  lines.forEach((own, row) => {
    for (let column = 0; column < row; column += 1) {
      const other = lines[column];
      let [won, both] = [0, 0];
      for (let at = 0; at < own.length; at += 1) {
        const difference = own[at] - other[at];
        if (difference > 0) { won += 1; both += 1; }
        else if (difference < 0) both += 1;
        else if (difference === 0) { won += 0.5; both += 1; }
      }
      if (both === 0) continue;
      sums[row] += won / both;
      sums[column] += 1 - won / both;
      met[row] += 1;
      met[column] += 1;
    }
  });
  return Array.from(sums, (sum, row) => (met[row] ? sum / met[row] : null));
}

/** The rows under the filters. Ranks are of all models on all languages, as `xrete.scores.overall` gives them. */
function orderRows(name, own) {
  const places = new Map(KNOWN.orders[name].places.map((row) => [row[0], row]));
  const isPicked = picksLanguages() || group() !== ALL;
  const models = everyone.filter((model) => showsModel(model) && own.some((board) => linesOf[model.place].has(board.place)));
  const rows = models.map((model) => {
    const [, rate, low, high, best, worst, , borda, cells] = places.get(model.place) ?? [];
    const isRanked = rate !== undefined && !isPicked;
    const readings = new Map(own.map((board) => [board.place, boardReading(model, board)]).filter(([, each]) => each !== null));
    return { model, readings, rate: isRanked ? rate : null, interval: isRanked ? [low, high] : null, ranks: isRanked ? [best, worst] : null, borda, cells: isRanked ? cells : 0 };
  });
  if (!isPicked) return rows;
  const cells = own.flatMap((board) => board.languages.map((code, at) => ({ board, at, code })).filter(({ code }) => showsLanguage(code) && (group() === ALL || board.groups[group()]?.includes(code))));
  const kept = rows.filter(({ readings }) => readings.size > 0);
  const everybody = everyone.filter((model) => cells.some(({ board, at }) => typeof linesOf[model.place].get(board.place)?.scores[at] === "number"));
  const rates = new Map(winRates(everybody, cells).map((rate, at) => [everybody[at].place, rate]));
  return kept.map((row) => ({ ...row, rate: rates.get(row.model.place) ?? null, cells: [...row.readings.values()].reduce((sum, { done }) => sum + done, 0), total: cells.length }));
}

const ORDER_KEYS = {
  rate: ({ rate }) => rate,
  name: ({ model }) => model.label.toLowerCase(),
  size: ({ model }) => model.parameters,
  dimension: ({ model }) => model.dimension,
};

function sortedOrder(rows) {
  const key = state.by.replace(/^-/, "") || "rate";
  const down = state.by === "" || state.by.startsWith("-") ? -1 : 1;
  const board = boards.find((each) => boardKey(each) === key);
  const value = board ? (row) => row.readings.get(board.place)?.value ?? null : Object.hasOwn(ORDER_KEYS, key) ? ORDER_KEYS[key] : ORDER_KEYS.rate;
  return rows.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return Number(x === null) - Number(y === null) || compare(a.model.label, b.model.label);
    return down * compare(x, y) || compare(a.model.label, b.model.label);
  });
}

const boardKey = (board) => `${board.task}/${board.protocol}/${board.metric}`;

function orderHead(key, first, kind, ...content) {
  const now = state.by || "-rate";
  const isSorted = now.replace(/^-/, "") === key;
  const isDown = now.startsWith("-");
  const onclick = () => { change({ by: isSorted ? (isDown ? key : `-${key}`) : first }); byId("overall").querySelector(`[data-by="${CSS.escape(key)}"]`)?.focus(); };
  return make("th", { scope: "col", "aria-sort": isSorted ? (isDown ? "descending" : "ascending") : null, class: [kind, isSorted ? "sorted" : ""].join(" ").trim() || null },
    make("button", { type: "button", "data-by": key, onclick }, ...content));
}

/** Draws the order, and returns how many published models are in it. */
function renderOverall() {
  if (!KNOWN) return 0;
  const name = orderName();
  const own = orderBoards(name);
  const rows = sortedOrder(orderRows(name, own));
  const shown = rows.slice(0, shownOrder);
  const order = KNOWN.orders[name];
  const names = [["all", "all purposes"], ...Object.keys(KNOWN.purposes).filter((purpose) => KNOWN.orders[purpose].places.length).map((purpose) => [purpose, purpose])];
  const tools = make("div", { class: "tools" },
    select("Order for", names, name, (value) => { change({ rank: value === "all" ? "" : value }); byId("order-for").focus(); }, { id: "order-for" }));
  if (rows.length === 0) {
    replace(byId("overall"), tools, make("p", { class: "empty" }, "Nothing passes these filters."));
    return 0;
  }
  const count = (board) => rows.filter(({ readings }) => readings.has(board.place)).length;
  const columns = own.filter((board) => count(board) > 0 && count(board) >= COMMON * rows.length);
  const others = own.filter((board) => count(board) > 0 && !columns.includes(board));
  const usuals = new Map(columns.map((board) => [board.place, usual(rows.map(({ readings }) => readings.get(board.place)).filter(Boolean))]));
  const table = make("table", { class: "overall", "aria-labelledby": "models-title", "aria-rowcount": rows.length + 1 },
    make("thead", {}, make("tr", {},
      make("th", { scope: "col", class: "at" }, "Rank"),
      orderHead("name", "name", "", "Model"),
      orderHead("rate", "-rate", "figure", "Win rate"),
      make("th", { scope: "col", class: "wide" }, "Cells"),
      columns.map((board) => orderHead(boardKey(board), board.higher ? `-${boardKey(board)}` : boardKey(board), "figure", board.task, make("span", { class: "quiet" }, `${board.protocol} ${board.metric}${arrow(board)}`))),
      orderHead("size", "size", "wide", "Size"),
      orderHead("dimension", "dimension", "wide", "Vector"),
      make("th", { scope: "col", class: "wide" }, "Licence"))),
    make("tbody", {}, shown.map((row) => orderRow(row, columns, usuals, row.total ?? order.cells))));
  roving(table, "th");
  replace(byId("overall"), tools,
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The overall order" }, table),
    rows.length > ORDER_ROWS
      ? make("p", {}, make("button", { type: "button", class: "plain", id: "all-models", onclick: () => { shownOrder = shownOrder > ORDER_ROWS ? ORDER_ROWS : Infinity; renderOverall(); byId("all-models")?.focus(); } },
          shownOrder > ORDER_ROWS ? `Show the first ${ORDER_ROWS}` : `Show all ${rows.length.toLocaleString("en")} models`))
      : null,
    make("p", { class: "note" }, orderNote(order), others.length ? ` Without a column, as under a tenth of these models have it: ${unique(others.map(({ task }) => task)).join(", ")}.` : ""));
  return rows.filter(({ model }) => model.source !== MEASURED).length;
}

function orderRow({ model, readings, rate, interval, ranks, cells }, columns, usuals, total) {
  return make("tr", { class: model.source === MEASURED ? "own" : null },
    make("td", { class: "at" }, ranks ? between(...ranks) : "–"),
    make("th", { scope: "row" }, make("button", { type: "button", tabindex: "-1", "aria-haspopup": "dialog", onclick: () => openModel(model) }, modelName(model.label)), make("span", { class: "tags" }, badge(model.source), model.parameters ? make("span", { class: "quiet narrow" }, short(model.parameters)) : null)),
    make("td", { class: "figure" },
      rate === null ? icon("–") : make("b", {}, `${fixed(100 * rate, 1)} %`),
      make("span", { class: "quiet" }, rate === null ? "too few cells" : interval ? span(interval.map((end) => 100 * end), 1) : ""),
      rate === null ? null : meter(rate, interval, [0, 1], model.source)),
    make("td", { class: "wide quiet" }, cells ? `${cells}/${total}` : "–"),
    columns.map((board) => {
      const each = readings.get(board.place);
      if (!each) return make("td", { class: "figure none" }, icon("–"), hidden("no number"));
      return make("td", { class: each.data === usuals.get(board.place) ? "figure" : "figure apart" },
        make("b", {}, fixed(each.value, board.digits)),
        make("span", { class: "quiet" }, `${span(each.interval, board.digits)}`),
        each.done < each.expected ? make("span", { class: "quiet" }, `${each.done}/${each.expected}`) : null);
    }),
    make("td", { class: "wide" }, short(model.parameters)),
    make("td", { class: "wide" }, model.dimension ?? "–"),
    make("td", { class: "wide licence", title: model.licence }, licenceName(model)));
}

function orderNote(order) {
  if (picksLanguages() || group() !== ALL) {
    return "The win rate is over the languages that are picked: the mean, over all other models, of the share of the languages of both in which a model is better. It has no interval: that takes a thousand resamples of the languages for every pair of models, which were drawn for all languages together when the page was written. The lists above and xrete recommend --languages have intervals for the languages that are asked for, task by task.";
  }
  const drawn = order.drawn === "tasks" ? "tasks, with all their languages" : "languages, those of each task apart: the order is about these tasks alone";
  return `The win rate is the mean, over all other models, of the share of the cells (a task in a language) of both in which a model is better. Its interval and the ranks between which a model lies, at 95 % for all models at once, are by drawing ${drawn}. Cells: how many of ${order.cells} a model has. Grey means are over other languages than most of their column, and not to be compared with it.`;
}
