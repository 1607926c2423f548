/* A scatter plot, with its numbers as a table below. */

const HEIGHT = 280;
const TALL = 460;
const BROAD = 640;
const MARGIN = { left: 46, right: 14, top: 14, bottom: 42 };
const MOST_LABELS = 30;
const MANY = 60;

/** The points that no other beats in both directions, from left to right; the right way is up, and `x.better` along. */
function paretoFront(points, isMoreBetter, isHigherBetter) {
  const up = isHigherBetter ? 1 : -1;
  const along = isMoreBetter ? -1 : 1;
  const ordered = points.filter(({ isApart }) => !isApart).sort((a, b) => along * (a.x - b.x) || up * (b.y - a.y));
  const front = [];
  for (const point of ordered) if (front.length === 0 || up * (point.y - front[front.length - 1].y) > 0) front.push(point);
  return front.sort((a, b) => a.x - b.x);
}

function ticks(low, high, isLog) {
  if (isLog) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const factor of [1, 2, 5]) found.push(factor * 10 ** power);
    }
    const inside = found.filter((value) => value >= low && value <= high);
    return inside.length > 6 ? inside.filter((value) => Number.isInteger(Math.log10(value))) : inside;
  }
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
  const first = Math.ceil(low / size) * size;
  return Array.from({ length: Math.floor((high - first) / size + 1e-9) + 1 }, (_, place) => first + place * size);
}

function axis(values, isLog) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (isLog) return [low / 1.6, high * 1.6];
  const room = Math.max((high - low) * 0.1, (Math.abs(high) || 1) * 0.04);
  return [low >= 0 ? Math.max(0, low - room) : low - room, high <= 100 && high > 50 ? Math.min(100, high + room) : high + room];
}

function tickText(value) {
  if (value === 0) return "0";
  if (Math.abs(value) >= 1000) return short(value);
  return String(Number(value.toPrecision(3)));
}

/** A scatter plot with direct labels, and its numbers as a table below. */
function scatter(points, { x, y, isLog = false, front = [] }, width) {
  const height = width >= BROAD ? TALL : HEIGHT;
  const [left, right] = [MARGIN.left, width - MARGIN.right];
  const [bottom, top] = [height - MARGIN.bottom, MARGIN.top];
  const xs = axis(points.map((point) => point.x), isLog);
  const ys = axis(points.flatMap((point) => [point.y, ...(point.interval ?? [])]), false);
  const scaled = (value) => (isLog ? Math.log10(value) : value);
  const toX = (value) => left + ((right - left) * (scaled(value) - scaled(xs[0]))) / (scaled(xs[1]) - scaled(xs[0]));
  const toY = (value) => bottom - ((bottom - top) * (value - ys[0])) / (ys[1] - ys[0]);
  const image = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${y} against ${x}, ${plural(points.length, "point")}; the numbers are in the table below` });
  for (const value of ticks(...ys, false)) {
    image.append(draw("line", { class: "grid", x1: left, x2: right, y1: toY(value), y2: toY(value) }),
      draw("text", { x: left - 6, y: toY(value) + 4, "text-anchor": "end" }, tickText(value)));
  }
  for (const value of ticks(...xs, isLog)) {
    image.append(draw("line", { class: "grid", x1: toX(value), x2: toX(value), y1: top, y2: bottom }),
      draw("text", { x: toX(value), y: bottom + 16, "text-anchor": "middle" }, tickText(value)));
  }
  image.append(draw("text", { class: "axis", x: right, y: height - 8, "text-anchor": "end" }, `${x} →`));
  if (front.length > 1) image.append(draw("polyline", { class: "front", points: front.map((point) => `${toX(point.x)},${toY(point.y)}`).join(" ") }));
  const isOnFront = new Set(front);
  for (const point of [...points].sort((a, b) => Number(isOnFront.has(a)) - Number(isOnFront.has(b)))) {
    const [cx, cy] = [toX(point.x), toY(point.y)];
    if (point.interval && (points.length <= MANY || isOnFront.has(point))) image.append(draw("line", { class: "whisker", x1: cx, x2: cx, y1: toY(point.interval[0]), y2: toY(point.interval[1]) }));
    const kind = ["dot", point.isApart ? "apart" : "", point.isPublished ? "published" : "", isOnFront.has(point) && front.length > 1 ? "lead" : ""].filter(Boolean).join(" ");
    image.append(draw("circle", { class: kind, cx, cy, r: points.length > MANY && !isOnFront.has(point) ? 3 : 4.5 }, draw("title", {}, `${point.label}: ${tickText(point.x)}, ${tickText(point.y)}`)));
  }
  image.append(...labels(points, points.length > MANY ? front : points, toX, toY, left, right));
  return image;
}

/** Labels that lie on no other, of all points or of those on the front; the rest are in the tips and in the table. */
function labels(points, wanted, toX, toY, left, right) {
  const taken = wanted.map((point) => [toX(point.x) - 5, toY(point.y) - 5, toX(point.x) + 5, toY(point.y) + 5]);
  const placed = [];
  for (const point of wanted) {
    if (placed.length >= MOST_LABELS) break;
    const name = point.label.slice(point.label.lastIndexOf("/") + 1) || point.label;
    const text = name.length > 28 ? `${name.slice(0, 14)}…${name.slice(-13)}` : name;
    const wide = 6.4 * text.length;
    const [cx, cy] = [toX(point.x), toY(point.y)];
    const spots = [[cx + 8, cy + 4], [cx - 8 - wide, cy + 4], [cx - wide / 2, cy - 9], [cx - wide / 2, cy + 18]];
    const fits = spots.find(([atX, atY]) => {
      const box = [atX, atY - 10, atX + wide, atY + 2];
      return box[0] >= left && box[2] <= right && box[1] >= 0 &&
        !taken.some((other) => other[0] < box[2] && other[2] > box[0] && other[1] < box[3] && other[3] > box[1]);
    });
    if (!fits) continue;
    taken.push([fits[0], fits[1] - 10, fits[0] + wide, fits[1] + 2]);
    placed.push(draw("text", { class: "label", x: fits[0], y: fits[1] }, text));
  }
  return placed;
}

function numbersTable(points, x, y, digits) {
  return make("details", {}, make("summary", {}, "Numbers"), make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Numbers: ${y} and ${x}` }, make("table", { class: "plainly" },
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Name"), make("th", { scope: "col" }, x), make("th", { scope: "col" }, y))),
    make("tbody", {}, points.map((point) => make("tr", {}, make("th", { scope: "row" }, named(point.label)), make("td", {}, point.x.toLocaleString("en")), make("td", {}, fixed(point.y, digits))))))));
}

/** What the points and the line are. */
function pointsNote(points, front) {
  return [
    points.some(({ isPublished }) => isPublished) ? "Dark points are measured here, pale ones published." : "",
    points.some(({ isApart }) => isApart) ? "Hollow ones stand on other languages or data than most, and are not to be compared with them." : "",
    front.length > 1 ? "The line joins the models that no other beats in both." : "",
  ].filter(Boolean).join(" ");
}

function card(id, heading, tools, points, options, digits, empty) {
  const node = byId(id);
  const width = Math.max(260, node.clientWidth - 32);
  replace(node,
    make("h3", {}, heading),
    tools ? make("div", { class: "tools" }, tools) : null,
    (points.length
      ? [make("p", { class: "axis" }, options.y), scatter(points, options, width), make("p", { class: "note" }, pointsNote(points, options.front ?? [])), options.unknown > 0 ? make("p", { class: "quiet" }, `Not shown: ${plural(options.unknown, "model")} of which this is not known.`) : null,
         numbersTable(points, options.x, options.y, digits)]
      : [make("p", { class: "empty" }, empty)]),
  );
}
