/** Two runs side by side: what differs first, then their curves over each other. */

import { curves } from "./curves.js";
import { h } from "./dom.js";
import { plain } from "./format.js";
import { crumbs, empty, settings } from "./parts.js";
import { link } from "./router.js";
import { progress, sentence } from "./runs.js";
import { side } from "./run.js";
import { get } from "./source.js";

/** The page of two runs. */
export async function versusPage(a, b) {
  const [one, two] = await Promise.all([get(["runs", a]), get(["runs", b])]);
  const drawn = curves([side(one, a), side(two, b)]);
  return {
    title: `${one.card.name} and ${two.card.name}`,
    node: h(
      "div",
      null,
      crumbs(["Runs", link(["runs"])], [one.card.name, link(["runs", a])], [`with ${two.card.name}`]),
      h("h1", { class: "unseen" }, `${one.card.name} and ${two.card.name}`),
      h("div", { class: "columns sides" }, head(one, a, "a"), head(two, b, "b")),
      differences(one, two),
      drawn.none() ? empty("Neither run has measured anything yet.") : drawn.node,
    ),
    keys: [{ keys: "ArrowRight, ArrowLeft", says: "read a curve; Esc ends a zoom", run: drawn.focus }],
    leave: () => drawn.stop(),
  };
}

/** Settings of two runs: [name, value of the first, value of the second] of those that differ, and the rest by name. */
export function differing(one, two) {
  const names = [...new Set([...Object.keys(one), ...Object.keys(two)])].sort();
  const other = names.filter((name) => plain(one[name]) !== plain(two[name]));
  const rows = other.map((name) => [name, told(one, name), told(two, name)]);
  return {
    rows,
    same: Object.fromEntries(names.filter((name) => !other.includes(name)).map((name) => [name, one[name]])),
  };
}

function told(values, name) {
  return name in values ? plain(values[name]) : "–";
}

function head(run, id, tone) {
  return h(
    "section",
    { class: `side tone-${tone}` },
    h("h2", null, h("a", { href: link(["runs", id]) }, run.card.name)),
    h("p", { class: "eyebrow" }, progress(run.card), h("span", null, sentence(run.card))),
    h("p", null, run.card.headline || "No result yet."),
  );
}

function differences(one, two) {
  const { rows, same } = differing({ ...one.settings, ...versions(one) }, { ...two.settings, ...versions(two) });
  const cells = rows.map((row) =>
    h("tr", null, h("th", { scope: "row" }, row[0]), h("td", null, row[1]), h("td", null, row[2])),
  );
  const head = h(
    "tr",
    null,
    h("th", { scope: "col" }, "setting"),
    h("th", { scope: "col", class: "tone-a key" }, one.card.name),
    h("th", { scope: "col", class: "tone-b key" }, two.card.name),
  );
  return h(
    "section",
    null,
    h("h2", null, rows.length ? "What differs" : "Every setting is the same"),
    rows.length
      ? h(
          "div",
          { class: "scroll" },
          h("table", { class: "plain three" }, h("thead", null, head), h("tbody", null, cells)),
        )
      : null,
    h(
      "details",
      null,
      h("summary", null, `${Object.keys(same).length} that are the same`),
      settings(same, "settings that are the same"),
    ),
  );
}

function versions(run) {
  const made = run.made || {};
  return Object.fromEntries(
    [["commit", made.commit], ...Object.entries(made.versions || {})].map(([name, value]) => [
      `made with ${name}`,
      value,
    ]),
  );
}
