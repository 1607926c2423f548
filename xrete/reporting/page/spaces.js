/* Languages and meanings in the plane: t-SNE of models' spaces. */

/** Okabe and Ito's colours, told apart with any colour vision, and shapes: the same pairs as in the printed pictures. */
const HUES = 7;
const SHAPES = ["M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0", "M0-3.6L3.4 2.8H-3.4Z", "M-2.8-2.8H2.8V2.8H-2.8Z", "M-3.2-1.8L-1.8-3.2L0-1.4L1.8-3.2L3.2-1.8L1.4 0L3.2 1.8L1.8 3.2L0 1.4L-1.8 3.2L-3.2 1.8L-1.4 0Z"];

function renderSpaces() {
  byId("spaces").replaceChildren(...data.pictures.flatMap((picture) => [spaceCard(picture, "languages"), spaceCard(picture, "meanings")]));
}

function spaceCard(picture, kind) {
  const node = make("article", { class: "card space" });
  const [width, height] = [440, 330];
  const all = picture.points.flat();
  const [left, right, low, high] = [Math.min(...all.map(([x]) => x)), Math.max(...all.map(([x]) => x)), Math.min(...all.map(([, y]) => y)), Math.max(...all.map(([, y]) => y))];
  const at = ([x, y]) => [10 + ((width - 20) * (x - left)) / (right - left || 1), height - 10 - ((height - 20) * (y - low)) / (high - low || 1)];
  const names = picture.languages.map((code) => data.languages[code].name);
  const image = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `t-SNE of ${picture.model}: ${plural(names.length, "language")}, ${plural(picture.points[0].length, "sentence")} each` });
  const keys = [];
  const mark = (point, place, text, extra = "") => {
    const [x, y] = at(point);
    return draw("path", { class: `mark c${place % HUES}${extra}`, d: SHAPES[Math.floor(place / HUES) % SHAPES.length], transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` }, draw("title", {}, text));
  };
  if (kind === "languages") {
    const order = names.map((_, place) => place).sort((a, b) => (picture.isolation[b] ?? 0) - (picture.isolation[a] ?? 0));
    order.forEach((language, place) => {
      const layer = draw("g", {}, picture.points[language].map((point) => mark(point, place, names[language])));
      image.append(layer);
      keys.push(keyRow(place, `${names[language]}`, (picture.isolation[language] ?? 0).toFixed(2), layer, image));
    });
  } else {
    image.append(draw("g", {}, all.map((point) => { const [x, y] = at(point); return draw("circle", { class: "mark rest", cx: x.toFixed(1), cy: y.toFixed(1), r: 1.6 }); })));
    picture.sentences.forEach(([sentence, text], place) => {
      const layer = draw("g", {}, picture.points.map((points, language) => mark(points[sentence], place, `${names[language]}: ${text}`, " big")));
      image.append(layer);
      keys.push(keyRow(place, text, "", layer, image));
    });
  }
  return filled(node, {}, [
    make("h3", {}, named(picture.model), kind === "languages" ? " by language" : " by meaning"),
    make("p", { class: "quiet" }, kind === "languages"
      ? `t-SNE, ${picture.task}, ${picture.split}; the number is the share of a language’s sentences whose nearest neighbour is of the same language`
      : `t-SNE, ${picture.task}, ${picture.split}; each colour is one sentence in all languages`),
    make("div", { class: "space-body" }, image, make("ul", { class: "keys" }, keys)),
  ]);
}

function keyRow(place, text, number, layer, image) {
  const row = make("li", {},
    draw("svg", { viewBox: "-5 -5 10 10", width: 12, height: 12, "aria-hidden": "true" }, draw("path", { class: `mark c${place % HUES}`, d: SHAPES[Math.floor(place / HUES) % SHAPES.length] })),
    make("span", { title: text }, text), number ? make("span", { class: "quiet" }, number) : null);
  row.onpointerenter = () => { image.classList.add("dimmed"); layer.classList.add("lit"); };
  row.onpointerleave = () => { image.classList.remove("dimmed"); layer.classList.remove("lit"); };
  return row;
}
