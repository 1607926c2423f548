/* What a cell says under the filters. A mean over languages that were picked here is the plain mean of the record's
   scores; ranks and marks are known for the record's own groups only. */

const cellsOf = new Map(data.models.map((_, place) => [place, new Map()]));
for (const cell of data.cells) cellsOf.get(cell.model).set(cell.measure, cell);

const group = () => state.group || ALL;

/** By the place of the data; what changes the filters clears it. */
const coverages = new Map();

/** The places of the languages that are scored, and the codes of those that are not, under the filters. */
function coverage(place) {
  if (!coverages.has(place)) {
    const part = data.data[place];
    const members = group() === ALL ? null : new Set(part.groups[group()] ?? []);
    const wanted = (code) => (members === null || members.has(code)) && showsLanguage(code);
    const scored = part.languages.map((code, at) => (wanted(code) ? at : -1)).filter((at) => at >= 0);
    coverages.set(place, { scored, missing: part.missing.filter(wanted) });
  }
  return coverages.get(place);
}

function reading(cell) {
  const measure = data.measures[cell.measure];
  if (cell.reason !== undefined) return { reason: cell.reason };
  const { scored, missing } = coverage(cell.data);
  const counts = { data: cell.data, done: scored.length, expected: scored.length + missing.length, missing };
  if (!picksLanguages()) {
    const found = cell.groups[group()];
    return found ? { ...counts, ...found } : { reason: `the task has no ${group()} languages` };
  }
  if (scored.length === 0) return { reason: "none of the languages that are picked" };
  if (!measure.isMean && scored.length > 1) return { reason: "a number of all languages together" };
  const scores = scored.map((place) => cell.scores[place]);
  if (scores.includes(null)) return { reason: "not measured for single languages" };
  const value = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const interval = scores.length === 1 && cell.low ? [cell.low[scored[0]], cell.high[scored[0]]] : null;
  return { ...counts, value, interval, spread: null, shown: fixed(value, measure.digits), mark: null, rank: null };
}

/** Said in full, for a screen reader and for the tip of the mouse. */
function said(measure, found) {
  if (found.reason !== undefined) return found.reason;
  const parts = [found.shown];
  if (found.interval) {
    parts.push(`95 % interval ${found.interval.map((end) => fixed(end, measure.digits)).join(" to ")}`);
  }
  if (found.spread !== null) parts.push(`standard deviation over runs of fine-tuning ${fixed(found.spread, measure.digits)}`);
  parts.push(`${found.done} of ${found.expected} languages`);
  if (found.rank) parts.push(`rank ${between(found.rank[0], found.rank[1])}`);
  if (found.mark) parts.push(found.mark);
  return parts.join(", ");
}

const arrow = (measure) => (measure.higher === null ? "" : measure.higher ? " ↑" : " ↓");
const title = (measure) => `${measure.task}, ${measure.protocol}, ${measure.metric}`;
const keyOf = (measure) => `${measure.task}/${measure.protocol}/${measure.metric}`;
const measureOf = (key) => data.measures.findIndex((measure) => keyOf(measure) === key);

/** The data that most of a column's cells stand on: those are compared, the others stand apart. */
function usual(readings) {
  const counts = new Map();
  for (const { data: place } of readings) if (place !== undefined) counts.set(place, (counts.get(place) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}

/** What a column's numbers lie between, with zero, for bars and colours. */
function range(values) {
  const top = Math.max(...values);
  return [Math.min(0, ...values), top > 5 && top <= 100 ? 100 : top > 0 ? top : 1];
}
