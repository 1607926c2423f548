/* The recommendation box: a question on the left of the answer, and the short lists that answer it. */

const PURPOSES = {
  search: "find passages in other languages",
  alignment: "find translations",
  similarity: "say how alike two sentences are",
  understanding: "classify, after a head is trained",
};
const LARGEST = [["", "any"], ["50e6", "50M"], ["100e6", "100M"], ["150e6", "150M"], ["300e6", "300M"], ["600e6", "600M"], ["1e9", "1B"], ["2e9", "2B"], ["4e9", "4B"], ["8e9", "8B"]];
const SHOWN_FIRST = 8;
const SHOWN_LATER = 4;
const NAMED = 6;
const longLists = new Set();

const purposeOf = () => (Object.hasOwn(KNOWN.purposes, state.for) ? state.for : firstPurpose());

/** The purpose with the most models: an answer is on the page when it opens. */
function firstPurpose() {
  const count = (purpose) => {
    const own = boards.filter(({ task }) => KNOWN.purposes[purpose].includes(task)).map(({ place }) => place);
    return everyone.filter(({ place }) => own.some((board) => linesOf[place].has(board))).length;
  };
  const names = Object.keys(KNOWN.purposes);
  if (count("alignment") > 2) return "alignment";
  return names.reduce((best, name) => (count(name) > count(best) ? name : best), names[0]);
}

const questionOf = () => ({
  languages: new Set([...state.ask].filter((code) => KNOWN.asked.includes(code))),
  most: Number(state.most) || 0,
  dimension: 0,
  licence: state.terms === "permissive",
  open: state.open === "1",
  measured: state.own === "1",
});

function check(label, key) {
  const node = make("input", { type: "checkbox", id: `ask-${key}`, onchange: () => change({ [key]: node.checked ? "1" : "" }) });
  return make("label", { class: "check", for: node.id }, node, make("span", {}, label));
}

function buildQuestion() {
  const purposes = Object.entries(PURPOSES).map(([name, words]) => {
    const input = make("input", { type: "radio", name: "purpose", id: `for-${name}`, value: name, onchange: () => change({ for: name }) });
    return make("div", { class: "choice" }, input, make("label", { for: input.id }, make("b", {}, name), make("span", {}, words)));
  });
  const names = KNOWN.asked.map((code) => [code, data.names[code]]).sort((a, b) => a[1].localeCompare(b[1], "en"));
  const list = make("datalist", { id: "ask-names" }, names.map(([code, name]) => make("option", { value: name }, code)));
  const add = make("input", { id: "ask-language", list: "ask-names", autocomplete: "off", spellcheck: "false", placeholder: "all; type a name or a code" });
  const taken = () => {
    const text = add.value.trim().toLowerCase();
    const known = names.find(([code, name]) => name.toLowerCase() === text || code.toLowerCase() === text);
    if (!known) return false;
    add.value = "";
    change({ ask: new Set([...state.ask, known[0]]) });
    return true;
  };
  add.oninput = (event) => { if (event.inputType === "insertReplacementText" || event.inputType === undefined) taken(); };
  add.onchange = taken;
  add.onkeydown = (event) => { if (event.key === "Enter") { event.preventDefault(); taken(); } };
  const form = byId("question");
  form.onsubmit = (event) => event.preventDefault();
  form.append(
    make("fieldset", { class: "choices" }, make("legend", {}, "Purpose"), purposes),
    make("div", { class: "asked" }, field("Languages", add), list, make("ul", { id: "asked", "aria-label": "Languages that are asked for" })),
    select("Largest size", LARGEST, state.most, (value) => change({ most: value }), { id: "ask-most" }),
    select("Licence", [["", "any"], ["permissive", "permissive"]], state.terms, (value) => change({ terms: value }), { id: "ask-terms" }),
    make("div", { class: "checks" }, check("open weights", "open"), check("measured here only", "own")),
  );
}

function showQuestion() {
  byId(`for-${purposeOf()}`).checked = true;
  byId("ask-most").value = state.most;
  byId("ask-terms").value = state.terms;
  byId("ask-open").checked = state.open === "1";
  byId("ask-own").checked = state.own === "1";
  replace(byId("asked"), [...state.ask].map((code) => make("li", {}, make(
    "button",
    { type: "button", "aria-label": `Take back ${data.names[code] ?? code}`, onclick: () => { toggle("ask", code); byId("ask-language").focus(); } },
    named(data.names[code] ?? code), icon(" ×"),
  ))));
}

function renderAnswer() {
  if (!KNOWN) return;
  showQuestion();
  const purpose = purposeOf();
  const { lists, missing, unknown } = answer(purpose, questionOf());
  replace(byId("lists"),
    lists.length === 0 && missing.length === 0 ? make("p", { class: "verdict" }, "No model with these properties has a score.") : null,
    lists.map((list, place) => listCard(list, place)),
    missing.map((one) => missingCard(one)),
    unknownNote(unknown),
    lists.length ? make("p", { class: "note" }, "Each list is of one task, over languages that all of its models have. Ranks are at 95 % for all models of a list at once, by each one’s own interval, which is cautious: on the same sentences models tend to be right or wrong together.", pairedNote(lists)) : null,
    make("p", { class: "note" }, "The same on the command line: ", make("code", {}, command(purpose)), "."),
  );
  const verdict = byId("lists").querySelector(".verdict").textContent;
  if (byId("said").textContent !== verdict) byId("said").textContent = verdict;
}

function listCard(list, place) {
  const { board, rows } = list;
  const key = `${board.task} ${board.protocol} ${list.codes.join(" ")}`;
  const first = place === 0 ? SHOWN_FIRST : SHOWN_LATER;
  const shown = longLists.has(key) ? rows.length : Math.min(first, rows.length);
  const ends = rows.flatMap(({ value, interval }) => interval ?? [value]);
  const scale = range(ends);
  return make("article", { class: "list" },
    make("p", { class: "verdict" }, ...verdictOf(list)),
    make("h3", {}, `${board.task}, ${board.protocol} ${board.metric}${arrow(board)}`),
    make("p", { class: "quiet" }, about(list)),
    make("div", { class: "scroll" }, make("table", { class: "short", "aria-label": `${board.task}: ${plural(rows.length, "model")}, the best first` },
      make("thead", {}, make("tr", {}, ["Rank", "Model", "Score", "", "Size", "Vector", "Reads", "Licence"].map((text, at) =>
        (text ? make("th", { scope: "col", class: HEADS[at] }, text) : make("td", { class: HEADS[at] }))))),
      make("tbody", {}, rows.slice(0, shown).map((row) => answerRow(row, board, scale))))),
    rows.length > first
      ? make("p", {}, make("button", { type: "button", class: "plain", "aria-expanded": String(shown > first), onclick: () => { if (!longLists.delete(key)) longLists.add(key); renderAnswer(); } },
          shown > first ? `Show the first ${first}` : `Show all ${rows.length.toLocaleString("en")} models`))
      : null);
}

const HEADS = ["at", "", "figure", "plot", "wide", "wide", "wide", "wide"];

function answerRow({ model, published, value, interval, ranks }, board, scale) {
  const trained = model.trained?.includes(board.task);
  const facts = [model.parameters ? short(model.parameters) : null, model.dimension ? `${model.dimension} dim` : null, model.licence ? licenceName(model) : null].filter(Boolean).join(" · ");
  return make("tr", { class: model.source === MEASURED ? "own" : null },
    make("td", { class: "at" }, ranks ? between(...ranks) : "–"),
    make("th", { scope: "row" },
      make("button", { type: "button", "aria-haspopup": "dialog", onclick: () => openModel(model) }, modelName(model.label)),
      make("span", { class: "tags" }, badge(model.source), publishedTags(published, board),
        trained ? make("span", { class: "badge warn" }, "trained on it") : null,
        model.open === false ? make("span", { class: "badge warn" }, "closed") : null,
        model.speed ? make("span", { class: "quiet" }, `${Math.round(model.speed[0]).toLocaleString("en")}/s (${model.speed[1]})`) : null,
        make("span", { class: "quiet narrow" }, facts))),
    make("td", { class: "figure" }, make("b", {}, fixed(value, board.digits)), make("span", { class: "quiet" }, span(interval, board.digits))),
    make("td", { class: "plot" }, meter(value, interval, scale, model.source)),
    make("td", { class: "wide" }, short(model.parameters)),
    make("td", { class: "wide" }, model.dimension ?? "–"),
    make("td", { class: "wide" }, model.tokens ? `${model.tokens.toLocaleString("en")} tok.` : "–"),
    make("td", { class: "wide licence", title: model.licence }, licenceName(model)));
}

/** What a list says, in one sentence: no winner where the data name none. */
function verdictOf({ rows, best }) {
  if (rows.length === 1) return ["Only one model was scored: there is nothing to choose from."];
  if (best.length === 0) return ["No ranks: these scores have no intervals."];
  if (best.length === 1) return ["The best beyond chance: ", make("b", {}, named(best[0].model.label)), "."];
  const sized = best.filter(({ model }) => model.parameters).sort((a, b) => a.model.parameters - b.model.parameters);
  const smallest = sized.length ? [" The smallest of them: ", make("b", {}, named(sized[0].model.label)), ` (${short(sized[0].model.parameters)}).`] : [];
  const which = best.length < rows.length ? `any of ${best.length} of ${rows.length.toLocaleString("en")} models` : rows.length === 2 ? "either model" : `any of the ${rows.length} models`;
  return [`No winner: ${which} may be the best.`, ...smallest];
}

/** What a list rests on. */
function about({ board, codes, items }) {
  const names = codes.map((code) => data.languages[code].name);
  const which = codes.length <= NAMED ? names.join(", ") : `mean over ${codes.length} languages`;
  const rests = items === null ? "" : `, ${items.toLocaleString("en")} items`;
  return `${data.tasks[board.task].title}; ${which}${rests}`;
}

function missingCard({ code, relatives, tasks }) {
  const near = relatives.length
    ? [" The nearest languages with scores: ", ...relatives.flatMap((x, at) => [at ? ", " : "", make("button", { type: "button", class: "link", onclick: () => toggle("ask", x) }, data.names[x] ?? x)]), "."]
    : [" No relative of it has scores either."];
  const how = tasks.length ? [" To measure it: ", make("code", {}, `xrete run --model M --task ${tasks[0]} --languages ${code}`)] : [" No task of this purpose has it."];
  return make("p", { class: "verdict gap" }, "Nobody has a score in ", make("b", {}, named(data.names[code] ?? code)), ".", ...near, ...how);
}

/** Where all models of a list were measured here, the command compares them sentence by sentence, which the page cannot. */
function pairedNote(lists) {
  const isOwn = lists.some(({ rows }) => rows.length > 1 && rows.every(({ model }) => model.source === MEASURED));
  return isOwn ? " Models that were all measured here are compared sentence by sentence on the command line, which tells more of them apart." : "";
}

function unknownNote(unknown) {
  const parts = Object.entries(unknown).map(([name, count]) => `${count} of unknown ${name}`);
  return parts.length ? make("p", { class: "note" }, `Left out, as nobody says it: ${parts.join(", ")}.`) : null;
}

function command(purpose) {
  return ["xrete recommend", `--for ${purpose}`,
    state.ask.size ? `--languages ${[...state.ask].join(",")}` : "",
    Number(state.most) ? `--max-parameters ${LARGEST.find(([value]) => value === state.most)?.[1] ?? Number(state.most)}` : "",
    state.terms === "permissive" ? "--licence permissive" : "",
    state.open === "1" ? "--open-weights" : "",
    state.own === "1" ? "--measured" : ""].filter(Boolean).join(" ");
}
