/** The traces of a run or of a comparison: filters, search, and a list that holds any number of them. */

import { FILTERS } from "./choose.js";
import { h, style } from "./dom.js";
import { count, number, percent } from "./format.js";
import { virtualList } from "./list.js";
import { keep, recall } from "./memory.js";
import { chip, crumbs, empty, failure, marked, verdict } from "./parts.js";
import { link, rename } from "./router.js";
import { get, live } from "./source.js";

const VERDICTS = ["correct", "wrong", "unparseable", "error", "unjudged"];
const TYPED = 250; // milliseconds after the last letter before a search begins
const AGAIN = 1500; // milliseconds between looks at an index that is being built

/** The page of the traces below `base`: ["runs", ID] or ["comparisons", ID]. */
export async function tracesPage(base, query) {
  const of = await get(base);
  const owner = of.card ? of.card.name : of.title || of.task || base[1];
  const state = Object.fromEntries(FILTERS.map((name) => [name, query[name] || ""]));
  const counts = h("div", { class: "chips", role: "group", "aria-label": "Verdict" });
  const message = h("div", { class: "message", "aria-live": "polite" });
  const key = () => `traces ${link(base, state)}`;
  const list = virtualList({
    rowHeight: matchMedia("(max-width: 680px)").matches ? 96 : 60,
    label: "Traces",
    start: recall(key()) || null,
    fetch: (offset, limit, signal) => get([...base, "traces"], { ...state, offset, limit }, signal),
    draw: (row) => content(row, state.q, Boolean(row.method)),
    href: (row, at) => link([...base, "traces", row.n], { ...state, at }),
    told,
  });
  let timer = 0;

  function told(answer) {
    clearTimeout(timer);
    message.replaceChildren();
    list.node.hidden = false;
    if (answer.error) {
      list.node.hidden = true;
      return message.append(failure(answer.error, () => list.again()));
    }
    showCounts(answer.counts);
    if (answer.note) message.append(h("p", { class: "soft" }, answer.note));
    if (answer.building) {
      const share = answer.building.of ? answer.building.done / answer.building.of : 0;
      message.append(
        h(
          "p",
          { class: "building" },
          h("progress", { value: share, max: 1, "aria-label": "index" }),
          `Reading the traces of this run for the first time: ${percent(share, 0)}. These are those found so far.`,
        ),
      );
      timer = setTimeout(() => list.again(), AGAIN);
    }
    if (!answer.total && !answer.building) {
      list.node.hidden = true;
      const filtered = FILTERS.some((name) => state[name] && name !== "sort" && name !== "descending");
      message.append(
        filtered
          ? empty(
              "No trace is like that.",
              h(
                "button",
                { class: "button", onclick: () => set(Object.fromEntries(FILTERS.map((name) => [name, ""]))) },
                "Clear the filters",
              ),
            )
          : empty("There are no traces here yet."),
      );
    }
    return undefined;
  }

  function showCounts(found) {
    const all = VERDICTS.reduce((sum, status) => sum + (found[status] || 0), 0);
    keep(`counts ${key()}`, found);
    const chipFor = (status, words, n) => chip(words, n, state.status === status, () => set({ status }));
    counts.replaceChildren(
      chipFor("", "all", all),
      ...VERDICTS.filter((status) => found[status] || state.status === status).map((status) =>
        chipFor(status, verdict(status), found[status] || 0),
      ),
    );
  }

  function set(changes) {
    Object.assign(state, changes);
    for (const [name, field] of Object.entries(fields)) if (document.activeElement !== field) field.value = state[name];
    only.replaceChildren(...onlyParts());
    rename([...base, "traces"], state);
    list.node.scrollTop = 0;
    list.again();
  }

  const fields = controls(of, state, set);
  const only = h("span", { class: "only" });
  const onlyParts = () =>
    state.question
      ? [
          h(
            "button",
            { type: "button", class: "chip", "aria-pressed": "true", onclick: () => set({ question: "" }) },
            `one question: ${state.question}`,
            h("b", { "aria-label": "remove" }, "×"),
          ),
        ]
      : [];
  only.append(...onlyParts());
  const before = recall(`counts ${key()}`);
  if (before) showCounts(before);
  const up = base[0] === "runs" ? ["Runs", link(["runs"])] : ["Comparisons", link(["comparisons"])];
  return {
    title: `Traces of ${owner}`,
    node: h(
      "div",
      { class: "tall" },
      crumbs(up, [owner, link(base)], ["Traces"]),
      h("h1", { class: "unseen" }, `Traces of ${owner}`),
      h("div", { class: "bar filters" }, Object.values(fields), only),
      counts,
      message,
      list.node,
      live ? null : h("p", { class: "soft foot" }, "This file carries some of the traces; the counts are of those."),
    ),
    keys: [
      { keys: "/", says: "search in the texts", run: () => fields.q.focus() },
      { keys: "j, ArrowDown", says: "next trace", run: () => list.move(1) },
      { keys: "k, ArrowUp", says: "trace before", run: () => list.move(-1) },
      { keys: "Enter, o", says: "open the trace", run: () => list.open() },
      { keys: "x", says: "clear the filters", run: () => set(Object.fromEntries(FILTERS.map((name) => [name, ""]))) },
    ],
    shown: () => list.begin(),
    leave() {
      clearTimeout(timer);
      keep(key(), list.place());
      list.stop();
    },
  };
}

/** Fields by the name of the filter they set. */
function controls(of, state, set) {
  let timer = 0;
  let pending = {};
  const typed = (name) => (event) => {
    pending[name] = event.target.value.trim();
    clearTimeout(timer);
    timer = setTimeout(() => {
      set(pending);
      pending = {};
    }, TYPED);
  };
  const select = (name, label, options) =>
    h(
      "select",
      { "aria-label": label, onchange: (event) => set({ [name]: event.target.value }) },
      options.map(([value, words]) => h("option", { value, selected: String(value) === state[name] }, words)),
    );
  const numeric = (name, words, width) =>
    style(
      h("input", {
        type: "number",
        min: 0,
        placeholder: words,
        "aria-label": words,
        value: state[name],
        oninput: typed(name),
      }),
      { width },
    );
  const fields = {
    q: h("input", {
      type: "search",
      placeholder: "Search in questions and answers",
      "aria-label": "Search in questions and answers",
      value: state.q,
      oninput: typed("q"),
    }),
  };
  const unique = (rows, key) => [...new Set(rows.map((row) => row[key]))];
  if (of.stages) {
    if (of.stages.length > 1)
      fields.stage = select("stage", "Stage", [
        ["", "every stage"],
        ...of.stages.map((stage) => [stage.stage, stage.stage]),
      ]);
    fields.step = numeric("step", "from step", "7.5em");
    fields.step_to = numeric("step_to", "to step", "7em");
  } else if (of.curve) {
    const rows = of.curve.flatMap((at) => at.rows.map((row) => ({ method: row.spec, budget: at.budget })));
    fields.method = select("method", "Method", [
      ["", "every method"],
      ...unique(rows, "method").map((name) => [name, name]),
    ]);
    fields.budget = select("budget", "Budget", [
      ["", "every budget"],
      ...unique(rows, "budget").map((n) => [n, `budget ${count(n)}`]),
    ]);
  }
  fields.level = numeric("level", "level", "5.5em");
  fields.sort = select("sort", "Order", [
    ["", "as sampled"],
    ["score", "by score"],
    ["tokens", "by tokens"],
  ]);
  fields.descending = select("descending", "Direction", [
    ["", "ascending"],
    ["1", "descending"],
  ]);
  return fields;
}

function content(row, q, compared) {
  const where = compared ? `${row.method}, ${count(row.budget)}` : `${row.stage} ${count(row.step)}`;
  const answer = row.answer === null || row.answer === undefined ? "no answer" : row.answer;
  const shape =
    row.nodes > 2 ? `${count(row.nodes)} nodes` : row.finish && row.finish !== "stop" ? `cut: ${row.finish}` : "";
  return [
    verdict(row.status),
    h(
      "span",
      { class: "what" },
      h("span", { class: "question" }, marked(row.question || row.question_id || "", q)),
      h("span", { class: "soft" }, row.excerpt ? marked(row.excerpt, q) : answer),
    ),
    h("span", { class: "answer" }, row.excerpt ? answer : null),
    h("span", { class: "meta" }, h("span", null, where), h("span", { class: "soft" }, `${count(row.tokens)} tokens`)),
    h(
      "span",
      { class: "meta last" },
      h("span", null, row.score === null || row.score === undefined ? "" : `score ${number(row.score)}`),
      h("span", { class: "soft" }, shape),
    ),
  ];
}
