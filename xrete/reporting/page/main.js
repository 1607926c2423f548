/* Puts it together: what is seen first is drawn first, the rest when it comes near. */

const LATER = { languages: renderHeat, charts: () => { renderQuality(); renderGeometry(); } };
const isNear = new Set();
const isStale = new Set(Object.keys(LATER));

function renderNear() {
  for (const id of isNear) {
    if (!isStale.delete(id)) continue;
    LATER[id]();
  }
}

function render() {
  coverages.clear();
  shownHeat = HEAT_ROWS;
  showFilters();
  renderTable(renderOverall());
  for (const id of Object.keys(LATER)) isStale.add(id);
  renderNear();
  renderDetail();
}

function renderNotes() {
  const fixedNotes = [
    "Numbers are those of the records; nothing is measured here. A mean over languages that you pick is the plain mean of the record’s scores.",
    "Numbers are compared only where they were taken over the same languages of the same split of the same data. Others stand apart.",
    "A cell opens the scores of its languages, and what they rest on. The address of this page keeps filters, order and the open cell: copy it to share them.",
    "Filled bars and marks are measured here, with the outcome of every sentence kept; outlined ones were published by others, with what they rest on.",
    "In the table, Tab reaches the headings and one cell; the arrow keys move from cell to cell, Enter opens one, Escape closes it.",
  ];
  byId("remarks").append(...[...fixedNotes, ...data.remarks].map((text) => make("li", {}, text)),
    make("li", {}, `Made by XRETE ${data.version} from ${plural(data.records, "record")}, the newest of ${data.newest}.`));
}

const THEMES = { "": "system", light: "light", dark: "dark" };

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  replace(byId("theme"), make("span", {}, "Theme: "), THEMES[theme]);
}

function startTheme() {
  const names = Object.keys(THEMES);
  let theme = "";
  try { theme = localStorage.getItem("xrete-theme") ?? ""; } catch { /* kept by some browsers from pages on disk */ }
  setTheme(names.includes(theme) ? theme : "");
  byId("theme").onclick = () => {
    theme = names[(names.indexOf(theme) + 1) % names.length];
    setTheme(theme);
    try { localStorage.setItem("xrete-theme", theme); } catch { /* then it lasts as long as the page */ }
  };
}

function start() {
  const codes = [...data.data, ...boards].flatMap((part) => part.languages);
  const languages = new Set(codes.flatMap((code) => data.languages[code].of)).size;
  const counts = [plural(data.models.length + publishedModels, "model"), plural(Object.keys(data.tasks).length, "task"), plural(languages, "language"), plural(data.records, "record")];
  replace(byId("summary"), `${counts.join(" · ")} to `, make("time", {}, data.newest));
  if (matchMedia("(max-width: 40rem)").matches) byId("filters").open = false;
  startTheme();
  readAddress();
  if (KNOWN) buildQuestion();
  for (const id of ["answer", "models"]) byId(id).hidden = !KNOWN;
  byId("link-answer").hidden = byId("link-models").hidden = !KNOWN;
  buildFilters();
  renderNotes();
  renderSpaces();
  byId("detail").onclose = () => {
    const opener = state.view;
    change({ view: "", about: "", model: "" });
    if (opener) refocus(`[data-view="${CSS.escape(opener)}"]`);
  };
  byId("detail").onclick = (event) => { if (event.target === byId("detail")) byId("detail").close(); };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) isNear.add(entry.target.id);
      else isNear.delete(entry.target.id);
    }
    renderNear();
  }, { rootMargin: "400px" });
  for (const id of Object.keys(LATER)) watcher.observe(byId(id));
  let width = innerWidth;
  onresize = () => { if (innerWidth !== width) { width = innerWidth; isStale.add("charts"); renderNear(); } };
  onbeforeprint = () => { for (const id of Object.keys(LATER)) isNear.add(id); renderNear(); };
  onhashchange = () => { readAddress(); renderAnswer(); render(); };
  renderAnswer();
  render();
}

start();
