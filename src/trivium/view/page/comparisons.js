/** Comparisons of methods: accuracy over tokens with intervals, the table, and which differences are real. */

import { h } from "./dom.js";
import { count, number, percent, plain, points, when } from "./format.js";
import { crumbs, empty, settings, switcher, whisker } from "./parts.js";
import { link } from "./router.js";
import { get } from "./source.js";
import { intervalChart } from "./whiskers.js";

/** The page of all comparisons. */
export async function comparisonsPage() {
  const cards = await get(["comparisons"]);
  const items = [...cards]
    .sort((a, b) => (a.created < b.created ? 1 : -1))
    .map((card) =>
      h(
        "li",
        null,
        h(
          "a",
          { class: "card", href: link(["comparisons", card.id]) },
          h(
            "span",
            { class: "soft" },
            [
              when(card.created),
              `${count(card.methods)} methods`,
              card.budgets && card.budgets.length ? `budgets ${card.budgets.map(count).join(", ")}` : "",
            ]
              .filter(Boolean)
              .join(" · "),
          ),
          h("b", null, card.headline || card.title || card.id),
          h("span", { class: "soft" }, card.error || card.title || card.id),
        ),
      ),
    );
  const nothing = empty(
    "There are no comparisons here yet.",
    "Make one: ",
    h("code", null, "trivium compare --methods greedy,vote,mcts"),
  );
  return {
    title: "Comparisons",
    node: h(
      "div",
      null,
      h(
        "div",
        { class: "head" },
        h("h1", null, "Comparisons"),
        h("p", { class: "soft count" }, `${count(cards.length)} in all`),
      ),
      items.length ? h("ul", { class: "cards" }, items) : nothing,
    ),
    keys: [],
  };
}

/** The page of one comparison. */
export async function comparisonPage(id) {
  const [found, cards] = await Promise.all([get(["comparisons", id]), get(["comparisons"])]);
  const card = cards.find((one) => one.id === id) || {};
  const unit = plain(found.unit).replaceAll("_", " ");
  const curve = found.curve.filter((at) => at.rows.some((row) => row.accuracy !== null));
  const state = { budget: found.curve[found.curve.length - 1].budget, against: "", method: null };
  const chart = intervalChart({ curve, unit, chosen: (method) => pick(method) });
  const rows = h("div");
  const pairs = h("div");
  const at = () => found.curve.find((one) => one.budget === state.budget);

  function pick(method) {
    state.method = method;
    chart.highlight(method);
    show();
  }

  function show() {
    rows.replaceChildren(table(at(), found, id, state.method, pick));
    pairs.replaceChildren(differences(at(), state, show));
  }

  show();
  const budgets = found.curve.map((one) => [one.budget, count(one.budget)]);
  const chooser =
    budgets.length > 1
      ? switcher("Budget", budgets, state.budget, (budget) => {
          state.budget = budget;
          show();
        })
      : null;
  const errors = [
    ...new Map(
      found.curve
        .flatMap((one) => one.rows)
        .filter((row) => row.refused)
        .map((row) => [row.method, row.refused]),
    ),
  ];
  return {
    title: card.title || found.task,
    node: h(
      "div",
      null,
      crumbs(["Comparisons", link(["comparisons"])], [card.title || found.task]),
      h(
        "p",
        { class: "eyebrow" },
        h("span", null, when(found.created)),
        h("span", null, `${count(found.curve[0].rows.length)} methods`),
        h("span", null, `${count(Math.max(...found.curve[0].rows.map((row) => row.questions || 0)))} problems`),
      ),
      h("h1", null, card.headline || `${found.policy} on ${found.task}`),
      h(
        "div",
        { class: "bar" },
        found.traces ? h("a", { class: "button main", href: link(["comparisons", id, "traces"]) }, "Traces") : null,
      ),
      curve.length ? chart.node : empty("No method could be measured."),
      h(
        "div",
        { class: "bar section" },
        h("h2", null, "Accuracy"),
        chooser ? h("span", { class: "soft" }, `${unit} a problem`) : null,
        chooser,
      ),
      rows,
      h("h2", null, "Differences, real or not"),
      h(
        "p",
        { class: "soft" },
        "Real means: less than a 5% chance of a single false difference among all pairs of this budget (exact ",
        "sign-flip tests, ",
        "Holm's correction). Intervals are 95% for each pair alone.",
      ),
      pairs,
      errors.length
        ? h(
            "section",
            null,
            h("h2", null, "Did not run"),
            h(
              "ul",
              null,
              errors.map(([method, why]) => h("li", null, h("b", null, method), ` ${why}`)),
            ),
          )
        : null,
      h(
        "section",
        null,
        h("h2", null, "How it was made"),
        found.command ? h("pre", { class: "go" }, [found.command].flat().join(" ")) : null,
        h(
          "div",
          { class: "columns" },
          settings(found.settings || {}, "settings"),
          settings({ commit: found.commit, ...found.versions, ...found.machine }, "versions"),
        ),
      ),
    ),
    keys: found.traces
      ? [
          {
            keys: "t",
            says: "traces of this comparison",
            run: () => (location.hash = link(["comparisons", id, "traces"])),
          },
        ]
      : [],
    place: found.traces ? { traces: () => (location.hash = link(["comparisons", id, "traces"])) } : {},
    leave: () => chart.stop(),
  };
}

function table(at, found, id, chosen, pick) {
  const sorted = at.rows.filter((row) => row.accuracy !== null).sort((a, b) => b.accuracy - a.accuracy);
  if (!sorted.length) return empty("No method could be measured at this budget.");
  const ends = sorted.flatMap((row) => [row.low, row.high]);
  const [from, to] = [Math.max(0, Math.min(...ends) - 0.02), Math.min(1, Math.max(...ends) + 0.02)];
  const marks = [0, 0.25, 0.5, 0.75, 1].map((mark) => ({ at: mark, kind: "soft-mark" }));
  const line = (row) => {
    const told = `${percent(row.accuracy)}, 95% interval ${percent(row.low)} to ${percent(row.high)}`;
    const name = found.traces
      ? h("a", { href: link(["comparisons", id, "traces"], { method: row.spec, budget: at.budget }) }, row.method)
      : row.method;
    return h(
      "tr",
      { class: chosen === row.method ? "chosen" : "" },
      h(
        "th",
        { scope: "row" },
        h("button", {
          type: "button",
          class: "dot-button",
          "aria-label": `Show ${row.method} alone`,
          "aria-pressed": String(chosen === row.method),
          onclick: () => pick(chosen === row.method ? null : row.method),
        }),
        name,
        row.oracle_calls ? h("span", { class: "soft" }, " asks the verifier: a bound") : null,
      ),
      h(
        "td",
        { class: "plot-cell" },
        whisker({
          low: row.low,
          mid: row.accuracy,
          high: row.high,
          from,
          to,
          marks,
          tone: row.oracle_calls ? "tone-e" : "tone-a",
          label: told,
          width: 200,
        }),
      ),
      h("td", { class: "num strong" }, percent(row.accuracy)),
      h("td", { class: "num soft" }, `${percent(row.low, 0)} to ${percent(row.high, 0)}`),
      h("td", { class: "num" }, number(row.tokens_per_problem)),
      h("td", { class: "num" }, number(row.calls_per_problem)),
      h("td", { class: "num" }, number(row.seconds_per_problem)),
      h("td", { class: "num" }, percent(row.abstention_rate, 0)),
      h("td", { class: "num" }, count(row.errors)),
    );
  };
  const head = [
    "method",
    `${percent(from, 0)} – ${percent(to, 0)}`,
    "accuracy",
    "95%",
    "tokens",
    "calls",
    "seconds",
    "abstained",
    "errors",
  ];
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "figures with-plots", "aria-label": "Accuracy of each method" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          head.map((name) => h("th", { scope: "col" }, name)),
        ),
      ),
      h("tbody", null, sorted.map(line)),
    ),
  );
}

/** The differences of one method to the others, or those of all pairs that are real. */
function differences(at, state, show) {
  const methods = [...new Set(at.pairs.flatMap((pair) => [pair.better, pair.worse]))];
  if (!methods.length) return empty("There is nothing to compare with at this budget.");
  const chosen = state.method && methods.includes(state.method) ? state.method : state.against;
  const select = h(
    "select",
    {
      "aria-label": "Differences of",
      onchange: () => {
        state.against = select.value;
        state.method = null;
        show();
      },
    },
    h("option", { value: "", selected: chosen === "" }, "all pairs, real ones first"),
    methods.map((name) => h("option", { value: name, selected: name === chosen }, `${name} against the others`)),
  );
  const found = at.pairs
    .filter((pair) => !chosen || pair.better === chosen || pair.worse === chosen)
    .map((pair) => (chosen && pair.worse === chosen ? turned(pair) : pair));
  found.sort((a, b) => b.real - a.real || Math.abs(b.difference) - Math.abs(a.difference));
  const most = Math.max(0.05, ...found.flatMap((pair) => [Math.abs(pair.low), Math.abs(pair.high)]));
  const real = found.filter((pair) => pair.real).length;
  const line = (pair) =>
    h(
      "tr",
      { class: pair.real ? "real" : "" },
      h("th", { scope: "row" }, `${pair.better} − ${pair.worse}`),
      h(
        "td",
        { class: "plot-cell" },
        whisker({
          low: pair.low,
          mid: pair.difference,
          high: pair.high,
          from: -most,
          to: most,
          marks: [{ at: 0, kind: "zero" }],
          tone: pair.real ? "tone-a" : "tone-e",
          width: 200,
          label: `${points(pair.difference)} points, 95% interval ${points(pair.low)} to ${points(pair.high)}`,
        }),
      ),
      h("td", { class: "num strong" }, points(pair.difference)),
      h("td", { class: "num soft" }, `${points(pair.low)} to ${points(pair.high)}`),
      h("td", { class: "num" }, number(pair.p_holm)),
      h("td", null, pair.real ? h("b", null, "real") : h("span", { class: "soft" }, "cannot be told apart")),
    );
  const head = [
    "",
    `points, −${(100 * most).toFixed(0)} to +${(100 * most).toFixed(0)}`,
    "difference",
    "95%",
    "p (Holm)",
    "",
  ];
  return h(
    "div",
    null,
    h("div", { class: "bar" }, select, h("span", { class: "soft" }, `${real} of ${found.length} are real`)),
    h(
      "div",
      { class: "scroll high" },
      h(
        "table",
        { class: "figures with-plots", "aria-label": "Differences between methods" },
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            head.map((name) => h("th", { scope: "col" }, name)),
          ),
        ),
        h("tbody", null, found.map(line)),
      ),
    ),
  );
}

/** The same pair, seen from the other side. */
function turned(pair) {
  return {
    ...pair,
    better: pair.worse,
    worse: pair.better,
    difference: -pair.difference,
    low: -pair.high,
    high: -pair.low,
  };
}
