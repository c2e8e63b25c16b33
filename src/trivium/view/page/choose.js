/** Filter, search, sort and cut a list of traces: what the server does with a query, done here for an exported file. */

/** What a list of traces may be filtered and sorted by, as it stands in an address. */
export const FILTERS = [
  "stage",
  "step",
  "step_to",
  "status",
  "level",
  "q",
  "question",
  "method",
  "budget",
  "seed",
  "sort",
  "descending",
];

const SAME = ["stage", "level", "question_id", "method", "budget", "seed"];
const AROUND = 80;

/** An answer of the form the server gives.  `whole(row)` is a trace with its texts. */
export function choose(rows, params, whole) {
  const wanted = { ...params, question_id: params.question };
  const without = rows.filter((row) => matches(row, wanted, whole));
  const kept = wanted.status ? without.filter((row) => judged(row) === wanted.status) : [...without];
  const descending = Boolean(Number(params.descending));
  if (params.sort === "score" || params.sort === "tokens") kept.sort(by(params.sort, descending));
  else if (descending) kept.reverse();
  const counts = { correct: 0, wrong: 0, unparseable: 0, error: 0, unjudged: 0 };
  for (const row of without) counts[judged(row)] += 1;
  const offset = Number(params.offset || 0);
  const found = kept.slice(offset, offset + Number(params.limit || 100));
  const shown = params.q ? found.map((row) => ({ ...row, excerpt: around(text(row, whole), params.q) })) : found;
  return { total: kept.length, rows: shown, counts };
}

/** Rows without a number come last in both directions, and equal ones stay in their order. */
function by(key, descending) {
  const last = descending ? -Infinity : Infinity;
  return (a, b) => ((a[key] ?? last) - (b[key] ?? last) || 0) * (descending ? -1 : 1);
}

function judged(row) {
  return row.status || "unjudged";
}

function matches(row, wanted, whole) {
  const same = SAME.every((key) => !wanted[key] || String(row[key]) === String(wanted[key]));
  const after = wanted.step === undefined || wanted.step === "" || row.step >= Number(wanted.step);
  const last = wanted.step_to || wanted.step;
  const before = last === undefined || last === "" || row.step <= Number(last);
  return same && after && before && (!wanted.q || text(row, whole).toLowerCase().includes(wanted.q.toLowerCase()));
}

function text(row, whole) {
  const trace = whole(row) || row;
  return [trace.question, trace.response, trace.answer].filter(Boolean).join("\n");
}

function around(words, q) {
  const at = words.toLowerCase().indexOf(q.toLowerCase());
  const start = Math.max(0, at - AROUND);
  return (start ? "…" : "") + words.slice(start, at + q.length + AROUND);
}
