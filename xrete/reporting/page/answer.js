/* The answer to a question, by the rules of `xrete recommend` (xrete/reporting/answer/recommend.py): short lists of one
   task each, over languages that all of its models have, so that means may be compared. */

const LISTS_OF_A_TASK = 3;

/** Whether a board's language was asked for; of a pair both must have been, but for English. */
function isAsked(code, asked) {
  if (asked.size === 0) return true;
  const parts = data.languages[code].of;
  const isEnglish = (part) => code.includes("-") && part === "en";
  return parts.some((part) => asked.has(part)) && parts.every((part) => asked.has(part) || isEnglish(part));
}

/** The limits of a question: each says yes, no, or null where nobody says it of a model. */
function limits({ most, dimension, licence, open }) {
  const atMost = (value, limit) => (value === null ? null : value <= limit);
  return [
    most && ["size", (model) => atMost(model.parameters, most)],
    dimension && ["dimension", (model) => atMost(model.dimension, dimension)],
    licence && ["licence", isPermissive],
    open && ["weights", (model) => model.open],
  ].filter(Boolean);
}

function answer(purpose, question) {
  const tasks = KNOWN.purposes[purpose];
  const unknown = {};
  const asked = boards
    .filter(({ task }) => tasks.includes(task))
    .map((board) => ({ board, places: board.languages.map((_, at) => at).filter((at) => isAsked(board.languages[at], question.languages)) }));
  const has = (model, { board, places }) => {
    const line = linesOf[model.place].get(board.place);
    return line !== undefined && places.some((at) => line.scores[at] !== null);
  };
  let models = everyone.filter((model) => (!question.measured || model.source === MEASURED) && asked.some((own) => has(model, own)));
  const scored = new Set(asked.flatMap((own) => {
    const lines = models.map((model) => linesOf[model.place].get(own.board.place)).filter(Boolean);
    return own.places.filter((at) => lines.some((line) => line.scores[at] !== null)).flatMap((at) => data.languages[own.board.languages[at]].of);
  }));
  for (const [name, passes] of limits(question)) {
    const left = models.filter((model) => passes(model) === null).length;
    if (left) unknown[name] = left;
    models = models.filter(passes);
  }
  const lists = asked.flatMap(({ board, places }) => listsOf(board, places, models, question.languages.size ? LISTS_OF_A_TASK : 1));
  lists.sort((a, b) => b.rows.length - a.rows.length || compare(a.board.task, b.board.task) || compareLists(a.codes, b.codes));
  const known = KNOWN.missing[purpose][question.measured ? 1 : 0];
  const missing = [...question.languages].filter((code) => !scored.has(code)).map((code) => {
    const [relatives, able] = known[code] ?? [[], []];
    return { code, relatives, tasks: able };
  });
  return { lists, missing, unknown };
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

function compareLists(a, b) {
  for (let at = 0; at < Math.min(a.length, b.length); at += 1) if (a[at] !== b[at]) return compare(a[at], b[at]);
  return a.length - b.length;
}

/** Lists of one board, each over languages that the one before has not. */
function listsOf(board, places, models, most) {
  const own = models
    .map((model) => ({ model, line: linesOf[model.place].get(board.place) }))
    .filter(({ line }) => line !== undefined)
    .map(({ model, line }) => ({ model, line, has: new Set(places.filter((at) => line.scores[at] !== null)) }));
  const lists = [];
  let left = places;
  for (let round = 0; round < most; round += 1) {
    const chosen = commonLanguages(board, own, left);
    if (chosen.length === 0) break;
    lists.push(shortList(board, chosen, own.filter(({ has }) => chosen.every((at) => has.has(at)))));
    left = left.filter((at) => !chosen.includes(at));
  }
  return lists;
}

/** The languages whose number, times that of the models that have them all, is the largest. */
function commonLanguages(board, own, left) {
  const sets = new Map(own.map(({ has }) => left.filter((at) => has.has(at))).map((set) => [set.join(" "), set]));
  let best = { weight: 0, set: [] };
  for (const set of sets.values()) {
    const weight = set.length * own.filter(({ has }) => set.every((at) => has.has(at))).length;
    const codes = (chosen) => chosen.map((at) => board.languages[at]);
    const isBetter = weight - best.weight || set.length - best.set.length || compareLists(codes(set), codes(best.set));
    if (set.length && isBetter > 0) best = { weight, set };
  }
  return best.set;
}

function shortList(board, places, all) {
  // Of the same weights, measured here and published, there is one row: the measured one, with the other number in it.
  const here = new Map(all.map(({ model, line }) => [model.place, { model, line }]));
  const twins = new Set(all.flatMap(({ model }) => model.twins));
  const published = (model) => model.twins.filter((place) => here.has(place))
    .map((place) => ({ source: everyone[place].source, value: meanOf(board, here.get(place).line, places).value }));
  const members = all.filter(({ model }) => !twins.has(model.place));
  const rows = members.map(({ model, line }) => ({ model, published: published(model), ...meanOf(board, line, places) }));
  const sign = board.higher ? -1 : 1;
  rows.sort((a, b) => sign * (a.value - b.value) || compare(a.model.source, b.model.source) || compare(a.model.name, b.model.name));
  rankByIntervals(rows, board.higher);
  const counts = places.map((at) => board.items[at]);
  return {
    board,
    rows,
    codes: places.map((at) => board.languages[at]),
    items: counts.includes(null) ? null : counts.reduce((sum, count) => sum + count, 0),
    best: rows.filter(({ ranks }) => ranks?.[0] === 1),
  };
}

/**
 * The ranks between which each model lies, by its own interval, as if all had been asked about other sentences: Tukey
 * and Kramer's critical value for all pairs at once (`xrete.scores.analytic.significantly_better`).
 */
function rankByIntervals(rows, higher) {
  if (rows.some(({ interval }) => interval === null)) return;
  const critical = KNOWN.critical[rows.length - 1] / NORMAL;
  const sides = rows.map(({ value, interval: [low, high] }) => (higher ? [value, value - low, high - value] : [-value, high - value, value - low]));
  const losses = rows.map(() => 0);
  const wins = rows.map(() => 0);
  sides.forEach(([value, below], row) => {
    sides.forEach(([other, , above], column) => {
      if (value - other > critical * Math.hypot(below, above)) {
        wins[row] += 1;
        losses[column] += 1;
      }
    });
  });
  rows.forEach((row, place) => { row.ranks = [1 + losses[place], rows.length - wins[place]]; });
}
