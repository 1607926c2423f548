/* The filters: each a list to choose from; what is chosen stands below as buttons that take it back. */

function choices() {
  const tasks = Object.keys(data.tasks);
  const counted = (values) => unique(values.filter((value) => value !== undefined)).sort();
  const names = Object.entries(data.names).sort((a, b) => a[1].localeCompare(b[1], "en"));
  const scripts = Object.entries(data.scripts).sort((a, b) => a[1].localeCompare(b[1], "en"));
  const models = [...data.models, ...everyone];
  const sizes = new Set(models.map(sizeOf));
  const kinds = (name) => plain(counted(models.map((model) => name(known(model)))));
  const plain = (values) => values.map((value) => [value, value]);
  return {
    category: ["Category", plain(counted(tasks.map((task) => data.tasks[task].category)))],
    task: ["Task", tasks.map((task) => [task, task])],
    protocol: ["Protocol", plain(unique(data.measures.map((measure) => measure.protocol)))],
    language: ["Language", names],
    script: ["Script", scripts],
    size: ["Model size", plain(SIZES.map(([name]) => name).filter((name) => sizes.has(name)))],
    licence: ["Licence", kinds(licenceOf)],
    weights: ["Weights", kinds(weightsOf)],
    source: ["Source", kinds(({ source }) => sourceName(source))],
  };
}

const CHOICES = choices();
const GROUPS = unique(data.data.flatMap((part) => Object.keys(part.groups)));

function buildFilters() {
  const lists = Object.entries(CHOICES).filter(([name]) => KNOWN || !["licence", "weights", "source"].includes(name)).map(([name, [label, options]]) => {
    const node = make(
      "select",
      { onchange: () => { const value = node.value; node.value = ""; if (value) toggle(name, value); } },
      make("option", { value: "" }, "any"),
      options.map(([value, text]) => make("option", { value }, text)),
    );
    return field(label, node);
  });
  const groups = [["", "all"], ...GROUPS.map((name) => [name, name])];
  const resources = select("Resource class", groups, state.group, (value) => change({ group: value }), { id: "group" });
  const find = make("input", { type: "search", id: "find", autocomplete: "off", spellcheck: "false", placeholder: "name" });
  let waiting = 0;
  find.oninput = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => change({ find: find.value }), 120);
  };
  byId("controls").onsubmit = (event) => event.preventDefault();
  byId("controls").append(field("Model", find), ...lists.slice(0, 3), resources, ...lists.slice(3));
}

function showFilters() {
  const chips = FILTERS.flatMap((name) => [...state[name]].map((value) => [name, value]));
  byId("find").value = state.find;
  byId("group").value = state.group;
  const count = chips.length + Number(Boolean(state.group)) + Number(Boolean(state.find));
  replace(byId("chips"),
    chips.map(([name, value]) => {
      const [label, options] = CHOICES[name];
      const text = options.find(([known]) => known === value)?.[1] ?? value;
      return make("li", {}, make(
        "button",
        { type: "button", "aria-label": `Take back ${label.toLowerCase()} ${text}`, onclick: () => toggle(name, value) },
        make("span", { class: "quiet" }, `${label.toLowerCase()} `), named(text), icon(" ×"),
      ));
    }),
    count
      ? make("li", {}, make("button", {
          type: "button",
          class: "plain",
          onclick: () => change({ ...Object.fromEntries(FILTERS.map((name) => [name, new Set()])), group: "", find: "" }),
        }, "Reset"))
      : null,
  );
  byId("active").textContent = count ? `(${count})` : "";
}
