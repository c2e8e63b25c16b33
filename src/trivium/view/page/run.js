/** One run: its curves, live while it goes on, the settings that were used and what it was made with. */

import { curves } from "./curves.js";
import { h } from "./dom.js";
import { bytes, count, number, percent, plain, when } from "./format.js";
import { crumbs, empty, facts, figures, settings } from "./parts.js";
import { go, link } from "./router.js";
import { isFile, progress, sentence } from "./runs.js";
import { follow, get } from "./source.js";

/** The page of a run. */
export async function runPage(id) {
  let [run, index] = await Promise.all([get(["runs", id]), get(["index"])]);
  const alone = isFile(run.card);
  const drawn = curves([side(run, id)]);
  const top = h("div");
  const parts = h("div", { class: "lower" });

  function show() {
    top.replaceChildren(...summary(run, id));
    parts.replaceChildren(...[stages(run, id), alone ? null : made(run)].filter(Boolean));
  }

  show();
  const unfollow =
    run.card.status === "running"
      ? follow(id, async () => {
          run = await get(["runs", id]).catch(() => run); // the next event brings another chance
          drawn.update([side(run, id)]);
          show();
        })
      : () => {};
  const others = alone ? [] : index.runs.filter((other) => other.id !== id && !isFile(other));
  const versus = others.length
    ? h(
        "select",
        {
          class: "versus",
          "aria-label": "Compare with",
          onchange: (event) => event.target.value && go(["runs", id, "with", event.target.value]),
        },
        h("option", { value: "" }, "Compare with…"),
        others.map((other) => h("option", { value: other.id }, other.name)),
      )
    : null;
  const traces = () => go(["runs", id, "traces"]);
  return {
    title: run.card.name,
    node: h(
      "div",
      null,
      crumbs(["Runs", link(["runs"])], [run.card.name]),
      top,
      h(
        "div",
        { class: "bar" },
        run.stages.length ? h("a", { class: "button main", href: link(["runs", id, "traces"]) }, "Traces") : null,
        versus,
      ),
      alone ? null : drawn.none() ? empty("Nothing has been measured yet.") : drawn.node,
      parts,
    ),
    keys: [
      { keys: "t", says: "traces of this run", run: traces },
      {
        keys: "ArrowRight, ArrowLeft",
        says: "read a curve; Enter opens the samples behind the point, Esc ends a zoom",
        run: drawn.focus,
      },
    ],
    place: { traces },
    leave() {
      unfollow();
      drawn.stop();
    },
  };
}

/** A run as `curves` takes it; a click on a point opens the samples behind it. */
export function side(run, id) {
  return {
    name: run.card.name,
    series: run.series,
    picked: run.stages.length ? (step, one) => go(["runs", id, "traces"], behind(run, step, one)) : null,
  };
}

/** The filter that finds the traces of a step of a curve: by the stage's own name, or by that in the curve's key. */
export function behind(run, step, one) {
  const names = run.stages.map((stage) => stage.stage);
  const stage = [one.stage, ...one.key.split("/")].find((name) => names.includes(name));
  return { stage, step };
}

function summary(run, id) {
  const { card, result } = run;
  const steps = isFile(card) ? null : card.steps ? `${count(card.step)} of ${count(card.steps)}` : count(card.step);
  return [
    h("p", { class: "eyebrow" }, progress(card), h("span", null, sentence(card)), h("span", null, when(card.created))),
    h("h1", null, card.headline || card.name),
    card.headline ? h("p", { class: "soft name" }, card.name) : null,
    card.error ? h("p", { class: "fault", role: "alert" }, card.error) : null,
    facts([
      ["steps", steps],
      ["traces", card.traces === null ? null : h("a", { href: link(["runs", id, "traces"]) }, count(card.traces))],
      ...outcomes(result),
      ["on disk", bytes(card.bytes)],
    ]),
  ].filter(Boolean);
}

/** The numbers of a result that have a name of their own in every run. */
function outcomes(result) {
  if (!result) return [];
  const share = (found) => (found && typeof found.accuracy === "number" ? percent(found.accuracy) : null);
  return [
    ["before", share(result.before)],
    ["after the warm-up", share(result.after_warmup)],
    ["after", share(result.after)],
    ["minutes", typeof result.minutes === "number" ? number(result.minutes) : null],
    ["tokens sampled", typeof result.sampled_tokens === "number" ? count(result.sampled_tokens) : null],
    ["tokens trained on", typeof result.trained_tokens === "number" ? count(result.trained_tokens) : null],
  ];
}

function stages(run, id) {
  if (!run.stages.length) return null;
  const rows = run.stages.map((stage) => [
    h("a", { href: link(["runs", id, "traces"], { stage: stage.stage }) }, stage.stage),
    stage.steps && stage.steps[0] !== stage.steps[1]
      ? `${count(stage.steps[0])} to ${count(stage.steps[1])}`
      : count(stage.steps && stage.steps[0]),
    count(stage.traces),
  ]);
  return h(
    "section",
    { class: "narrow" },
    h("h2", null, "Stages"),
    figures(["stage", "steps", "traces"], rows, "Stages and their traces"),
  );
}

function made(run) {
  const made = run.made || {};
  const flat = Object.fromEntries(
    Object.entries({ ...made.versions, ...prefixed(made.machine) }).map(([key, value]) => [key, plain(value)]),
  );
  const command = Array.isArray(made.command) ? made.command.join(" ") : made.command;
  return h(
    "section",
    null,
    h("h2", null, "How it was made"),
    h("p", { class: "soft" }, "Every setting that was used, and what it ran on."),
    command ? h("pre", { class: "go" }, command) : null,
    h(
      "div",
      { class: "columns" },
      settings(run.settings, "settings"),
      settings({ commit: made.commit || "installed package", ...flat }, "versions"),
    ),
  );
}

function prefixed(machine) {
  return Object.fromEntries(
    Object.entries(machine || {}).map(([key, value]) => [key === "memory_gib" ? "memory, GiB" : key, value]),
  );
}
