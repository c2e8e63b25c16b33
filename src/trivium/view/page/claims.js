/** The board of claims by family, and one paper's claims with every look that was taken at them. */

import { h, s } from "./dom.js";
import { count, number, plain, when, writtenIn } from "./format.js";
import { keep, recall } from "./memory.js";
import { chip, claimVerdict, crumbs, empty, facts, figures, whisker } from "./parts.js";
import { link } from "./router.js";
import { get } from "./source.js";

const VERDICTS = ["confirmed", "inconclusive", "refuted"];

/** The board. */
export async function claimsPage() {
  const { families, error } = await get(["claims"]);
  const state = recall("claims") || { q: "", verdict: "", family: "" };
  const body = h("div", { class: "board" });
  const told = h("p", { class: "soft count", "aria-live": "polite" });
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Verdict" });
  const find = h("input", {
    type: "search",
    placeholder: "Find claims and papers",
    "aria-label": "Find claims and papers",
    value: state.q,
    oninput: () => set({ q: find.value }),
  });
  const family = h(
    "select",
    { "aria-label": "Family", onchange: () => set({ family: family.value }) },
    h("option", { value: "" }, "every family"),
    families.map((one) => h("option", { value: one.name, selected: one.name === state.family }, one.name)),
  );
  const papers = families.flatMap((one) => one.papers);
  const all = papers.flatMap((paper) => paper.claims).filter((claim) => !claim.former);

  function set(changes) {
    Object.assign(state, changes);
    keep("claims", state);
    show();
  }

  function show() {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = families
      .filter((one) => !state.family || one.name === state.family)
      .map((one) => ({
        ...one,
        papers: one.papers.filter((paper) => fits(paper, words, state.verdict)).sort(runFirst),
      }))
      .filter((one) => one.papers.length);
    body.replaceChildren(
      ...(shown.length
        ? shown.map((one) => section(one, state.verdict))
        : [empty(families.length ? "No claim is like that." : "This file carries no claims.")]),
    );
    const n = shown.reduce((sum, one) => sum + one.papers.length, 0);
    told.textContent =
      n === papers.length ? `${count(papers.length)} papers` : `${count(n)} of ${count(papers.length)} papers`;
    const chipFor = (verdict, words_, n_) => chip(words_, n_, state.verdict === verdict, () => set({ verdict }));
    chips.replaceChildren(
      chipFor("", "all", papers.length),
      ...VERDICTS.map((verdict) =>
        chipFor(verdict, claimVerdict(verdict), all.filter((claim) => claim.verdict === verdict).length),
      ),
      chipFor("none", claimVerdict(null), papers.filter((paper) => !paper.claims.length).length),
    );
  }

  show();
  return {
    title: "Claims",
    node: h(
      "div",
      null,
      h("div", { class: "head" }, h("h1", null, "Claims"), told),
      h(
        "p",
        { class: "lead" },
        "What papers claim, run as checks with the budgets equal that a claim names: confirmed where the interval of the ",
        "effect lies above the margin and its null arm does not do as well, refuted where it lies below.",
      ),
      h("div", { class: "bar" }, find, family),
      chips,
      error ? h("p", { class: "fault", role: "alert" }, error) : null,
      body,
    ),
    keys: [{ keys: "/", says: "find claims", run: () => find.focus() }],
  };
}

/** The page of one paper. */
export async function claimPage(slug) {
  const paper = await get(["claims", slug]);
  const groups = byClaim(paper.claims);
  return {
    title: paper.title,
    node: h(
      "div",
      null,
      crumbs(["Claims", link(["claims"])], [slug]),
      h(
        "p",
        { class: "eyebrow" },
        h("span", null, `paper ${paper.paper}`),
      ),
      h("h1", null, paper.title),
      paper.idea ? h("p", { class: "lead idea" }, paper.idea) : null,
      paper.error ? h("p", { class: "fault", role: "alert" }, paper.error) : null,
      groups.length ? groups.map(claim) : empty("No claim of this paper has been run yet."),
      atFullSize(paper.full),
    ),
    keys: [],
  };
}

/** Ledger lines by claim, each newest first; claims as the last run has them, earlier wordings behind. */
function byClaim(lines) {
  const groups = new Map();
  for (const line of lines) {
    if (!groups.has(line.claim)) groups.set(line.claim, []);
    groups.get(line.claim).push(line);
  }
  return [...groups.values()].sort((a, b) => Boolean(a[0].former) - Boolean(b[0].former));
}

function fits(paper, words, verdict) {
  const text = [paper.slug, paper.title, paper.says, paper.paper, ...paper.claims.map((claim) => claim.claim)]
    .join(" ")
    .toLowerCase();
  const judged =
    !verdict ||
    (verdict === "none"
      ? !paper.claims.length
      : paper.claims.some((claim) => claim.verdict === verdict && !claim.former));
  return judged && words.every((word) => text.includes(word));
}

/** Papers of which something is known come first. */
function runFirst(a, b) {
  return Boolean(b.claims.length) - Boolean(a.claims.length) || a.paper - b.paper;
}

function section(family, verdict) {
  return h(
    "section",
    { "aria-label": family.name },
    h("h2", null, family.name),
    h(
      "ul",
      { class: "papers" },
      family.papers.map((paper) => paperRow(paper, verdict)),
    ),
  );
}

function paperRow(paper, verdict) {
  const claims = paper.claims.filter(
    (one) => !one.former && (!verdict || verdict === "none" || one.verdict === verdict),
  );
  return h(
    "li",
    { class: paper.claims.length ? "" : "untested" },
    h(
      "div",
      { class: "paper" },
      h("a", { href: link(["claims", paper.slug]) }, paper.title),
      h("span", { class: "soft" }, `${paper.paper} · ${paper.slug}`),
    ),
    h(
      "ul",
      { class: "claims" },
      claims.length
        ? claims.map((one) =>
            h("li", null, claimVerdict(one.verdict), small(one), h("span", { class: "words" }, one.claim)),
          )
        : h("li", null, claimVerdict(null), h("span"), h("span", { class: "words soft" }, paper.says || "")),
    ),
  );
}

/** Effect and interval of a claim against 0 and its margin, on a scale of its own. */
function small(claim, width = 150, height = 22) {
  const known = [claim.effect, claim.low, claim.high].filter((value) => typeof value === "number");
  if (!known.length) return h("span");
  const [from, to] = around([0, claim.margin, ...known]);
  const { difference, margin, word } = writtenIn(claim.unit);
  const interval = claim.low === null ? "" : `, 95% interval ${difference(claim.low)} to ${difference(claim.high)}`;
  const told = `effect ${difference(claim.effect)}${word}${interval}, margin ${margin(claim.margin)}`;
  return whisker({
    low: claim.low,
    mid: claim.effect ?? known[0],
    high: claim.high,
    from,
    to,
    marks: [
      { at: 0, kind: "zero" },
      { at: claim.margin, kind: "margin" },
    ],
    tone: toneOf(claim.verdict),
    label: told,
    width,
    height,
  });
}

function claim(looks) {
  const now = looks[0];
  const names = Object.keys((now.scores || {})[now.better] || {}).sort((a, b) => a - b);
  const seeds = (now.effects_by_seed || []).map((value, i) => ({ value, name: names[i] ?? i }));
  const { difference, margin, word } = writtenIn(now.unit);
  return h(
    "section",
    { class: "one-claim" },
    h("h2", null, now.claim, now.former ? h("span", { class: "soft" }, " (an earlier wording)") : null),
    h(
      "p",
      { class: "eyebrow" },
      claimVerdict(now.verdict),
      h("span", null, now.why || ""),
      h("span", null, `${now.better} over ${now.worse}${now.metric ? `, by ${now.metric}` : ""}`),
      now.paper_says ? h("span", null, `the paper: ${now.paper_says}`) : null,
    ),
    facts([
      ["effect", now.effect === null ? "none" : `${difference(now.effect)}${word}`],
      ["95% interval", now.low === null ? "none" : `${difference(now.low)} to ${difference(now.high)}`],
      ["margin", margin(now.margin)],
      ["seeds", count(now.seeds)],
      ["minutes", number(now.minutes)],
      ["settings tried", count(now.configurations_tried)],
    ]),
    h("div", { class: "columns" }, effects(now, seeds), scores(now)),
    h("h3", null, looks.length === 1 ? "The one look in the ledger" : `All ${looks.length} looks in the ledger`),
    figures(
      ["date", "verdict", `effect${word && `,${word}`}`, "95%", "seeds", "minutes", "commit"],
      looks.map((line) => [
        when(line.date),
        claimVerdict(line.verdict),
        difference(line.effect),
        line.low === null ? "none" : `${difference(line.low)} to ${difference(line.high)}`,
        count(line.seeds),
        number(line.minutes),
        plain(line.commit).slice(0, 9),
      ]),
      `Looks at: ${now.claim}`,
    ),
  );
}

/** What was found with models that users named, which says nothing of the lab's small ones. */
function atFullSize(lines) {
  if (!lines.length) return null;
  return h(
    "section",
    null,
    h("h2", null, "At the full size"),
    figures(
      ["policy", "claim", "verdict", "effect", "95%", "seeds", "date"],
      lines.map((line) => {
        const { difference, word } = writtenIn(line.unit);
        return [
          plain(line.policy || ""),
          plain(line.claim),
          claimVerdict(line.verdict),
          line.effect === null ? "none" : `${difference(line.effect)}${word}`,
          line.low === null ? "none" : `${difference(line.low)} to ${difference(line.high)}`,
          count(line.seeds),
          when(line.date),
        ];
      }),
      "Verdicts at the full size",
    ),
  );
}

/** Effects as lines on one scale: each seed, the mean with its interval, and the null and rival arms. */
function effects(line, seeds) {
  const { difference, margin } = writtenIn(line.unit);
  const rows = [
    {
      name: `${line.better} − ${line.worse}`,
      mid: line.effect,
      low: line.low,
      high: line.high,
      tone: toneOf(line.verdict),
      strong: true,
      dots: seeds.map((seed) => seed.value),
    },
  ];
  for (const [named, arms] of [
    [(arm) => `null: ${arm} − ${line.worse}`, line.null],
    [(arm) => `rival: ${line.better} − ${arm}`, line.rivals],
  ]) {
    for (const [arm, found] of Object.entries(arms || {})) {
      if (found && typeof found.mean === "number")
        rows.push({
          name: named(arm),
          mid: found.mean,
          low: found.low,
          high: found.high,
          tone: "tone-e",
          dots: found.by_seed || [], // of the same seeds
        });
    }
  }
  const values = rows
    .flatMap((row) => [row.mid, row.low, row.high, ...row.dots])
    .filter((value) => typeof value === "number");
  if (!values.length) return h("p", { class: "soft" }, "There is no effect to draw.");
  const [from, to] = around([0, line.margin, ...values]);
  const height = 46;
  const width = Math.min(560, document.documentElement.clientWidth - 36);
  const x = (value) => 10 + ((value - from) / (to - from || 1)) * (width - 20);
  const told = rows.map((row) => `${row.name}: ${difference(row.mid)}`).join(", ");
  const marks = [
    s("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: rows.length * height }),
    s("line", { class: "margin", x1: x(line.margin), x2: x(line.margin), y1: 0, y2: rows.length * height }),
  ];
  const parts = rows.map((row, r) => effectRow(row, r * height, x, difference, seeds));
  const ends = [
    s("text", { class: "tick", x: x(0), y: rows.length * height + 15, "text-anchor": "middle" }, "0"),
    s(
      "text",
      {
        class: "tick",
        x: x(line.margin),
        y: rows.length * height + (Math.abs(x(line.margin) - x(0)) < 90 ? 30 : 15),
        "text-anchor": "middle",
      },
      `margin ${margin(line.margin)}`,
    ),
  ];
  const full = rows.length * height + 34;
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", null, h("h3", null, "Effect, and by seed")),
    s(
      "svg",
      {
        class: "plot effects",
        width,
        height: full,
        viewBox: `0 0 ${width} ${full}`,
        role: "img",
        "aria-label": `Effects against 0 and the margin ${margin(line.margin)}. ${told}`,
      },
      marks,
      parts,
      ends,
    ),
  );
}

function effectRow(row, top, x, difference, seeds) {
  const y = top + 29;
  return s(
    "g",
    { class: row.tone },
    s("text", { class: row.strong ? "name strong" : "name", x: 2, y: top + 14 }, row.name),
    row.low === null || row.low === undefined
      ? null
      : s("line", { class: "bar", x1: x(row.low), x2: x(row.high), y1: y, y2: y }),
    row.dots.map((value, i) =>
      typeof value === "number"
        ? s(
            "circle",
            { class: "seed", cx: x(value), cy: y, r: 2.8 },
            s("title", null, `seed ${(seeds[i] || { name: i }).name}: ${difference(value)}`),
          )
        : null,
    ),
    typeof row.mid === "number" ? s("circle", { class: "dot", cx: x(row.mid), cy: y, r: 5 }) : null,
  );
}

/** The score of each arm and seed, and their mean. */
function scores(line) {
  const arms = Object.entries(line.scores || {});
  if (!arms.length) return h("p", { class: "soft" }, "There are no scores by arm.");
  const seeds = [...new Set(arms.flatMap(([, by]) => Object.keys(by)))].sort((a, b) => a - b);
  const mean = (by) => {
    const known = Object.values(by).filter((value) => typeof value === "number");
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  };
  const { score } = writtenIn(line.unit);
  const rows = arms.map(([arm, by]) => [arm, h("b", null, score(mean(by))), ...seeds.map((seed) => score(by[seed]))]);
  return h(
    "div",
    null,
    h("h3", null, `${line.metric ? `${line.metric} ` : "score "}by arm and seed`),
    figures(["arm", "mean", ...seeds.map((seed) => `seed ${seed}`)], rows, "Scores by arm and seed"),
  );
}

/** Ends of a scale with some air around all values. */
function around(values) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const air = (high - low || 1) * 0.06;
  return [low - air, high + air];
}

function toneOf(verdict) {
  return { confirmed: "tone-good", refuted: "tone-bad" }[verdict] || "tone-warn";
}
