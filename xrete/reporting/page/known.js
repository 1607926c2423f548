/* All models, measured here or published, and their scores in single languages: unpacked from their columns. */

const KNOWN = data.known;
const MEASURED = "measured";
const NORMAL = 1.959963984540054;

/** By place: the facts of each model, as `everyone[3].parameters`. */
const everyone = KNOWN
  ? KNOWN.models.name.map((name, place) => {
      const facts = Object.fromEntries(Object.entries(KNOWN.models).map(([key, column]) => [key, column[place]]));
      return { ...facts, place, label: name };
    })
  : [];

/** By place: the models of one board in one language are compared. */
const boards = KNOWN
  ? KNOWN.boards.map((board, place) => ({ ...board, place, at: new Map(board.languages.map((code, at) => [code, at])) }))
  : [];

/** By the place of a model: its scores, by the place of the board. */
const linesOf = everyone.map(() => new Map());
for (const [model, board, scores, low, high] of KNOWN?.scores ?? []) linesOf[model].set(board, { scores, low, high });

const publishedModels = everyone.filter(({ source }) => source !== MEASURED).length;

/** What is known of the models that were measured here, by label. */
const measuredFacts = new Map(everyone.filter(({ source }) => source === MEASURED).map((model) => [model.label, model]));

const permissive = new Set(KNOWN?.permissive ?? []);
const isPermissive = (model) => (model.licence ? permissive.has(model.licence.toLowerCase()) : null);
const licenceName = ({ licence }) => (licence === null ? "–" : /^https?:/.test(licence) ? "terms of its own" : licence);
const publishedTags = (published, board) => published.map(({ source, value }) => make("span", { class: "quiet" }, `${sourceName(source)} has ${fixed(value, board.digits)}`));
const sourceName = (source) => (source === MEASURED ? "measured" : source.toUpperCase());

/**
 * The mean over some languages of a board, and its 95 % interval, as `xrete.scores.analytic.of_mean` takes it: where
 * languages hold the same sentences errors add up, else they are independent.
 */
function meanOf(board, line, places) {
  const count = places.length;
  const value = places.reduce((sum, at) => sum + line.scores[at], 0) / count;
  if (places.some((at) => line.low[at] === null || line.high[at] === null)) return { value, interval: null };
  const width = (ends, sign) => {
    const sides = places.map((at) => sign * (ends[at] - line.scores[at]));
    const add = (sum, side) => sum + (board.together ? side : side * side);
    const total = sides.reduce(add, 0);
    return (board.together ? total : Math.sqrt(total)) / count;
  };
  return { value, interval: [value - width(line.low, -1), value + width(line.high, 1)] };
}

/** What a published or measured model says on a board under the filters: a reading, as of a record's cell. */
function boardReading(model, board) {
  const line = linesOf[model.place].get(board.place);
  if (!line) return null;
  const members = group() === ALL ? null : new Set(board.groups[group()] ?? []);
  const wanted = board.languages.map((_, at) => at).filter((at) => (members === null || members.has(board.languages[at])) && showsLanguage(board.languages[at]));
  const places = wanted.filter((at) => line.scores[at] !== null);
  if (places.length === 0) return null;
  const expected = picksLanguages() ? wanted.length : members === null ? board.expected : members.size;
  return { ...meanOf(board, line, places), done: places.length, expected, data: places.length === wanted.length ? "" : places.join(" ") };
}

const whoKey = (model) => `${model.source}/${model.name}`;
const openModel = (model) => change({ model: whoKey(model), about: "", view: "" });
const openLanguage = (code) => change({ about: code, model: "", view: "" });

/** Measured here, or published: told apart by fill, by word and for a screen reader. */
const badge = (source) => make("span", { class: source === MEASURED ? "badge own" : "badge" }, sourceName(source));

/** A score's place between two ends, with its interval. */
function meter(value, interval, [low, high], source) {
  const at = (number) => (100 * (Math.min(high, Math.max(low, number)) - low)) / (high - low || 1);
  const whole = make("i");
  whole.style.width = `${at(value)}%`;
  const node = make("span", { class: source === MEASURED ? "meter own" : "meter", "aria-hidden": "true" }, whole);
  if (interval) {
    const part = make("i");
    part.style.left = `${at(interval[0])}%`;
    part.style.width = `${at(interval[1]) - at(interval[0])}%`;
    node.append(part);
  }
  return node;
}

const span = (interval, digits) => (interval ? `${fixed(interval[0], digits)} – ${fixed(interval[1], digits)}` : "no interval");
