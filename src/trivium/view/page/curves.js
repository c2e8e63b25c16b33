/** The curves of a run, or of two: which belong in one chart, in which order, and what a click on one opens. */

import { h } from "./dom.js";
import { lineChart, together } from "./charts.js";
import { choice, choosing } from "./memory.js";

const ORDER = ["Accuracy", "Reward", "Entropy", "Length", "Loss", "Speed", "Other"];
const ALONE = new Set(["Other"]);
const STAGES = {
  rl: "reinforcement learning",
  warmup: "warm-up",
  eval: "held-out problems",
  round: "rounds",
  fit: "optimiser steps",
};

/**
 * Charts of `runs`, a list of {name, series, picked}; with two runs each curve is drawn once a run, in its tone.
 *
 * Gives {node, update(runs), stop()}; an update draws new points into the charts there are.
 */
export function curves(runs) {
  const charts = new Map();
  const groups = new Map();
  const grid = h("div", { class: "charts" });
  const rest = h("div", { class: "charts" });
  const more = h("details", { class: "more", hidden: true }, h("summary", null, "More curves"), rest);
  const smoothness = Number(choice("smooth", "0.1"));
  const slider = h("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.02,
    value: Math.sqrt(smoothness),
    "aria-label": "Smoothing",
    oninput: () => smoothing(Number(slider.value) ** 2),
  });
  const node = h(
    "section",
    { "aria-label": "Curves" },
    h("div", { class: "bar end" }, h("label", { class: "soft" }, "Smoothing", slider)),
    grid,
    more,
  );

  function smoothing(value) {
    choosing("smooth", String(value));
    for (const group of groups.values()) {
      group.window = value;
      for (const chart of group.charts) chart.draw();
    }
  }

  function update(next) {
    for (const plan of plans(next)) {
      if (charts.has(plan.key)) charts.get(plan.key).update(plan.series);
      else add(plan);
    }
  }

  function add(plan) {
    if (!groups.has(plan.stage)) groups.set(plan.stage, Object.assign(together(), { window: smoothness }));
    const chart = lineChart({
      ...plan,
      group: groups.get(plan.stage),
      xName: plan.stage === "round" ? "round" : "step",
    });
    charts.set(plan.key, chart);
    (plan.group === "Other" ? rest : grid).append(chart.node);
    more.hidden = !rest.firstChild;
  }

  update(runs);
  const focus = () => charts.size && charts.values().next().value.focus();
  return { node, update, focus, stop: () => charts.forEach((chart) => chart.stop()), none: () => charts.size === 0 };
}

/** Which charts there are: {key, title, unit, stage, series, picked}. */
export function plans(runs) {
  const found = new Map();
  runs.forEach((run, r) => {
    for (const one of run.series) {
      const points = one.points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
      if (!points.length) continue;
      const alone = ALONE.has(one.group) || runs.length > 1;
      const key = [one.group, one.stage, one.unit, alone ? one.key : ""].join("|");
      if (!found.has(key))
        found.set(key, {
          key,
          title: title(one, alone),
          group: one.group,
          unit: one.unit,
          stage: one.stage,
          series: [],
          picked: picker(runs),
        });
      const plan = found.get(key);
      const band = one.band && one.band.length === points.length ? one.band : null;
      const tone = runs.length > 1 ? "ab"[r] : null;
      plan.series.push({
        name: runs.length > 1 ? run.name : one.label,
        key: one.key,
        stage: one.stage,
        tone,
        points,
        band,
        run: r,
      });
    }
  });
  // Of two charts of one group, such as lengths and the share that was cut, one with a single line is called by it.
  const named = [...found.values()].map((plan) =>
    plan.series.length === 1 && runs.length === 1
      ? { ...plan, title: title({ ...plan, label: plan.series[0].name }, true) }
      : plan,
  );
  const place = (plan) =>
    (ORDER.indexOf(plan.group) + 1 || ORDER.length + 1) * 10 +
    ["eval", "round", "rl", "fit", "warmup"].indexOf(plan.stage);
  return named.sort((a, b) => place(a) - place(b));
}

function title(one, alone) {
  const name = alone ? one.label : one.group === "Speed" && one.unit === "s" ? "Seconds" : one.group;
  const stage = alone && one.stage === "eval" ? null : STAGES[one.stage];
  const words = stage && one.stage !== "rl" ? `${name}, ${stage}` : name;
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function picker(runs) {
  return runs.some((run) => run.picked) ? (step, one) => runs[one.run].picked(step, one) : null;
}
