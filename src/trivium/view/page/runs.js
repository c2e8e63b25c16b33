/** All runs: what each is, how far it is and what it found; sorted, filtered, and two of them put side by side. */

import { h } from "./dom.js";
import { bytes, count, plural, when } from "./format.js";
import { keep, recall } from "./memory.js";
import { empty } from "./parts.js";
import { go, link } from "./router.js";
import { get } from "./source.js";

const ORDERS = [
  ["created", "newest first"],
  ["name", "by name"],
  ["task", "by task"],
  ["step", "most steps first"],
  ["bytes", "largest first"],
];
const STATUSES = ["running", "stopped", "finished", "file"];
const REFRESH = 10000; // milliseconds between looks at runs that are still going

/** The page of all runs. */
export async function runsPage() {
  let runs = (await get(["index"])).runs;
  const state = recall("runs") || { q: "", status: "", order: "created", chosen: [] };
  const rows = h("tbody");
  const told = h("p", { class: "soft count", "aria-live": "polite" });
  const compare = h("button", {
    class: "button",
    type: "button",
    onclick: () => go(["runs", state.chosen[0], "with", state.chosen[1]]),
  });
  const find = h("input", {
    type: "search",
    placeholder: "Find runs",
    "aria-label": "Find runs by name, task, policy or result",
    value: state.q,
    oninput: () => set({ q: find.value }),
  });
  const status = h(
    "select",
    { "aria-label": "Status", onchange: () => set({ status: status.value }) },
    option("", "any status", state.status),
    STATUSES.map((word) => option(word, word, state.status)),
  );
  const order = h(
    "select",
    { "aria-label": "Order", onchange: () => set({ order: order.value }) },
    ORDERS.map(([value, words]) => option(value, words, state.order)),
  );

  function set(changes) {
    Object.assign(state, changes);
    keep("runs", state);
    show();
  }

  function show() {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const found = runs.filter(
      (run) => (!state.status || run.status === state.status) && words.every((word) => text(run).includes(word)),
    );
    found.sort(by(state.order));
    rows.replaceChildren(...found.map((run) => row(run, state.chosen, choose)));
    told.textContent = found.length === runs.length ? held(runs) : `${count(found.length)} of ${held(runs)}`;
    compare.hidden = state.chosen.length === 0;
    compare.disabled = state.chosen.length !== 2;
    compare.textContent = state.chosen.length === 2 ? "Compare the two" : "Choose one more to compare";
  }

  function choose(id, on) {
    set({
      chosen: on
        ? [...state.chosen.filter((other) => other !== id), id].slice(-2)
        : state.chosen.filter((other) => other !== id),
    });
  }

  state.chosen = state.chosen.filter((id) => runs.some((run) => run.id === id));
  show();
  const timer = setInterval(async () => {
    if (document.hidden || !runs.some((run) => run.status === "running")) return;
    runs = (await get(["index"]).catch(() => ({ runs }))).runs;
    if (!rows.contains(document.activeElement)) show();
  }, REFRESH);
  const head = ["", "Run", "Status", "Task", "Result", "Step", "Traces", "Size"];
  const list = h(
    "table",
    { class: "runs" },
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        head.map((name) => h("th", { scope: "col" }, name || h("span", { class: "unseen" }, "Compare"))),
      ),
    ),
    rows,
  );
  const nothing = empty("There are no runs here yet.", "Make one, in minutes: ", h("code", null, "trivium learn"));
  return {
    title: "Runs",
    node: h(
      "div",
      null,
      h("div", { class: "head" }, h("h1", null, "Runs"), told),
      runs.length ? [h("div", { class: "bar" }, find, status, order, compare), list] : nothing,
    ),
    keys: [{ keys: "/", says: "find runs", run: () => find.focus() }],
    leave: () => clearInterval(timer),
  };
}

/** How far a run is, as words and as a small bar while it goes on. */
export function progress(run) {
  const share = run.steps ? Math.min(1, run.step / run.steps) : null;
  return h(
    "span",
    { class: `status ${run.status}` },
    h("i", { "aria-hidden": "true" }),
    run.status,
    run.status === "running" && share !== null
      ? h("progress", { value: share, max: 1, "aria-label": `step ${run.step} of ${run.steps}` })
      : null,
  );
}

/** Whether it is a file of traces, which has no settings, steps and curves, and so nothing to compare. */
export function isFile(run) {
  return run.status === "file";
}

/** `smollm2 learns sums:terms=3 by grpo`. */
export function sentence(run) {
  if (isFile(run)) return `traces alone, in ${run.folder}`;
  const verb = { learn: "learns", improve: "improves on" }[run.verb] || run.verb;
  const known = run.policy && run.task;
  return known ? `${run.policy} ${verb} ${run.task}${run.objective ? ` by ${run.objective}` : ""}` : run.name;
}

function row(run, chosen, choose) {
  const box = h("input", {
    type: "checkbox",
    "aria-label": `Compare ${run.name}`,
    onchange: (event) => choose(run.id, event.target.checked),
  });
  box.checked = chosen.includes(run.id);
  const steps = run.steps ? `${count(run.step)} of ${count(run.steps)}` : count(run.step);
  return h(
    "tr",
    null,
    h("td", { class: "pick" }, isFile(run) ? null : box),
    h(
      "th",
      { scope: "row" },
      h("a", { href: link(["runs", run.id]) }, run.name),
      h("span", { class: "soft" }, when(run.created)),
    ),
    h("td", { class: "state" }, progress(run)),
    h(
      "td",
      { class: "task" },
      h("span", null, run.task),
      h("span", { class: "soft" }, isFile(run) ? sentence(run) : [run.policy, run.objective].filter(Boolean).join(", ")),
    ),
    h(
      "td",
      { class: "result" },
      run.error
        ? h("span", { class: "fault" }, run.error)
        : run.headline || (isFile(run) ? null : h("span", { class: "soft" }, "no result yet")),
    ),
    h("td", { class: "num", "data-name": "step" }, steps),
    h(
      "td",
      { class: "num", "data-name": "traces" },
      h("a", { href: link(["runs", run.id, "traces"]) }, run.traces === null ? "open" : count(run.traces)),
    ),
    h("td", { class: "num", "data-name": "size" }, bytes(run.bytes)),
  );
}

/** `2 runs, 1 file`. */
function held(runs) {
  const files = runs.filter(isFile).length;
  const parts = [
    [runs.length - files, "run"],
    [files, "file"],
  ];
  const some = parts.filter(([n]) => n);
  return (some.length ? some : parts.slice(0, 1)).map(([n, word]) => plural(n, word)).join(", ");
}

function option(value, words, now) {
  return h("option", { value, selected: value === now }, words);
}

function text(run) {
  return [run.name, run.folder, run.verb, run.task, run.policy, run.objective, run.headline, run.status].join(" ").toLowerCase();
}

function by(key) {
  if (key === "name" || key === "task")
    return (a, b) => String(a[key]).localeCompare(String(b[key])) || compareTime(a, b);
  if (key === "created") return compareTime;
  return (a, b) => (b[key] || 0) - (a[key] || 0);
}

function compareTime(a, b) {
  return a.created < b.created ? 1 : -1;
}
