/** One trace: the question, what was answered and judged, and the attempt itself in the form that suits it. */

import { FILTERS } from "./choose.js";
import { h } from "./dom.js";
import { count, number, plural } from "./format.js";
import { choice, choosing } from "./memory.js";
import { crumbs, facts, verdict } from "./parts.js";
import { go, link } from "./router.js";
import { get, live } from "./source.js";
import { conversationView, debateView, programView, sampleView, spent } from "./talk.js";
import { hasLogprobs } from "./tokens.js";
import { treeView } from "./tree.js";

const VIEWS = { sample: sampleView, conversation: conversationView, debate: debateView, program: programView };
const NAMES = { sample: "Text", conversation: "Conversation", debate: "Debate", program: "Program", tree: "Tree" };

/** The page of a trace below `base`; `query` is the list it was opened from, with its place there. */
export async function tracePage(base, n, query) {
  const [row, of, near] = await Promise.all([get([...base, "traces", n]), get(base), neighbours(base, n, query)]);
  const owner = of.card ? of.card.name : of.title || of.task || base[1];
  const trace = row.trace;
  const whole = (i) => get([...base, "traces", n, "nodes", String(i)]);
  const filter = Object.fromEntries(FILTERS.map((name) => [name, query[name]]));
  const natural = row.kind in NAMES ? row.kind : "sample";
  const views = [...new Set([natural, ...(trace.nodes.length > 2 ? ["tree"] : []), "sample"])];
  const state = {
    view: views.includes(query.view) ? query.view : natural,
    coloured: choice("coloured", "") === "yes",
    shown: null,
  };
  const place = h("div", { class: "attempt" });
  const shade = h(
    "button",
    { type: "button", class: "button small", "aria-pressed": String(state.coloured), onclick: colour },
    "Colour by log-prob",
  );
  const tabs = h(
    "div",
    { class: "switch", role: "group", "aria-label": "Show as" },
    views.map((view) =>
      h(
        "button",
        { type: "button", "aria-pressed": String(view === state.view), "data-view": view, onclick: () => show(view) },
        NAMES[view],
      ),
    ),
  );
  const page = { title: `${row.status || "trace"}: ${String(row.question || row.question_id).slice(0, 60)}`, keys: [] };

  function colour() {
    state.coloured = !state.coloured;
    choosing("coloured", state.coloured ? "yes" : null);
    shade.setAttribute("aria-pressed", String(state.coloured));
    show(state.view);
  }

  function show(view) {
    if (state.shown) state.shown.leave();
    state.view = view;
    state.shown =
      view === "tree"
        ? treeView({ ...trace, status: row.status, cut: row.cut }, whole)
        : { node: VIEWS[view](trace, state.coloured), shown() {}, leave() {}, keys: [] };
    place.replaceChildren(state.shown.node);
    shade.hidden = view === "tree" || !trace.nodes.some(hasLogprobs);
    for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(tab.dataset.view === view));
    page.keys.splice(0, page.keys.length, ...state.shown.keys, ...keys);
    if (place.isConnected) state.shown.shown();
  }

  const open = (to) => to && go([...base, "traces", to.n], { ...filter, at: to.at, view: query.view });
  const back = link([...base, "traces"], filter);
  const keys = [
    { keys: "j", says: "next trace of the list", run: () => open(near.next) },
    { keys: "k", says: "trace before", run: () => open(near.prev) },
    { keys: "u, Escape", says: "back to the list", run: () => (location.hash = back) },
    { keys: "l", says: "colour by log-prob", run: colour },
    { keys: "v", says: "another view", run: () => show(views[(views.indexOf(state.view) + 1) % views.length]) },
  ];
  show(state.view);
  const step = (to, words, sign) =>
    to
      ? h(
          "a",
          {
            class: "button small",
            href: link([...base, "traces", to.n], { ...filter, at: to.at }),
            "aria-label": words,
            title: words,
          },
          sign,
        )
      : null;
  return Object.assign(page, {
    node: h(
      "div",
      { class: `trace ${natural}` },
      h(
        "div",
        { class: "bar between" },
        crumbs(
          [base[0] === "runs" ? "Runs" : "Comparisons", link([base[0]])],
          [owner, link(base)],
          ["Traces", back],
          [String(n)],
        ),
        h("span", { class: "steps" }, step(near.prev, "Trace before", "←"), step(near.next, "Next trace", "→")),
      ),
      head(row, base),
      h(
        "div",
        { class: "bar" },
        views.length > 1 ? tabs : null,
        shade,
        trace.cut || row.cut
          ? h(
              "span",
              { class: "soft" },
              live
                ? "Texts are cut to 200 characters until a node is chosen."
                : "Texts are cut to 200 characters in this file.",
            )
          : null,
      ),
      place,
      h(
        "details",
        { class: "more" },
        h("summary", null, "What it cost, and where it comes from"),
        trace.usage ? spent(trace.usage) : null,
        about(row),
      ),
    ),
    shown: () => state.shown.shown(),
    leave: () => state.shown.leave(),
  });
}

/** The traces before and after in the list that this one was opened from, or else in the run. */
async function neighbours(base, n, query) {
  if (query.at === undefined || !/^\d+$/.test(query.at)) return {};
  const at = Number(query.at);
  const from = Math.max(0, at - 1);
  const asked = Object.fromEntries(FILTERS.map((name) => [name, query[name]]));
  const { rows } = await get([...base, "traces"], { ...asked, offset: from, limit: 3 }).catch(() => ({ rows: [] }));
  const one = (i) => (rows[i - from] && i >= 0 ? { n: rows[i - from].n, at: i } : null);
  return { prev: at > 0 ? one(at - 1) : null, next: one(at + 1) };
}

function head(row, base) {
  const others = row.question_id
    ? h("a", { href: link([...base, "traces"], { question: row.question_id }) }, "all traces of this question")
    : null;
  const trace = row.trace;
  const parts = Object.entries((trace.verdict && trace.verdict.parts) || {}).map(
    ([name, value]) => `${name} ${number(value)}`,
  );
  const wrong = row.status !== "correct" && row.gold;
  return h(
    "header",
    { class: "asked" },
    h(
      "p",
      { class: "eyebrow" },
      verdict(row.status),
      row.score === null || row.score === undefined
        ? null
        : h("span", null, [`score ${number(row.score)}`, ...parts].join(", ")),
      row.finish && row.finish !== "stop" ? h("span", null, `ended by ${row.finish}`) : null,
      h(
        "span",
        null,
        row.method
          ? `${row.method}, budget ${count(row.budget)}, seed ${row.seed}`
          : `${row.stage}, step ${count(row.step)}`,
      ),
      others,
    ),
    h("h1", { class: "question" }, row.question || row.question_id),
    h(
      "dl",
      { class: "answers" },
      h("div", null, h("dt", null, "Answer"), h("dd", null, row.answer ?? h("span", { class: "soft" }, "none"))),
      wrong ? h("div", null, h("dt", null, "Reference"), h("dd", null, row.gold)) : null,
    ),
    row.error ? h("p", { class: "fault", role: "note" }, row.error) : null,
    trace.verdict && trace.verdict.detail ? h("p", { class: "soft" }, trace.verdict.detail) : null,
  );
}

function about(row) {
  const versions = [...new Set(row.trace.nodes.map((node) => node.version).filter(Boolean))];
  return facts([
    ["question", row.question_id],
    ["key", row.key],
    ["level", row.level === null || row.level === undefined ? null : count(row.level)],
    ["split", row.split],
    ["weights", versions.join(", ")],
    ["nodes", plural(row.trace.nodes.length, "node")],
  ]);
}
