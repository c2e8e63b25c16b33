/** Accuracy over tokens on a logarithmic axis: a line a method, a whisker a budget. */

import { h, s, style } from "./dom.js";
import { count, number, percent } from "./format.js";
import { figures } from "./parts.js";
import { extent, logTicks, scale, ticks } from "./scale.js";

const [TOP, BOTTOM, LEFT] = [10, 34, 48];
const DASHES = [null, "7 3", "2 3", "10 3 2 3"];
const TONES = "abcdfgh";

/** The figure of a comparison's `curve`; `chosen(method)` is told which one the reader points out. */
export function intervalChart({ curve, unit, chosen, height = 380 }) {
  const methods = [
    ...new Map(
      curve.flatMap((at) => at.rows.map((row) => [row.method, row])).filter(([, row]) => row.accuracy !== null),
    ),
  ]
    .map(([name, row], i) => ({
      name,
      oracle: row.oracle_calls > 0,
      tone: row.oracle_calls > 0 ? "e" : TONES[i % TONES.length],
      dash: DASHES[Math.floor(i / TONES.length) % DASHES.length],
      dots: curve
        .map((at) => ({ budget: at.budget, row: at.rows.find((one) => one.method === name && one.accuracy !== null) }))
        .filter((dot) => dot.row && dot.row.tokens_per_problem > 0),
    }))
    .filter((method) => method.dots.length);
  const state = { width: 0, over: null, fixed: null };
  const drawing = s("svg", { class: "plot whiskers", role: "img", "aria-label": told(methods) });
  const tip = h("div", { class: "tip", hidden: true });
  const area = h("div", { class: "area free" }, drawing, tip);
  const items = methods.map((method) =>
    h(
      "button",
      {
        type: "button",
        class: `tone-${method.tone}`,
        "aria-pressed": "false",
        onclick: () => chosen(state.fixed === method.name ? null : method.name),
        onpointerenter: () => over(method.name),
        onpointerleave: () => over(null),
        onfocus: () => over(method.name),
        onblur: () => over(null),
      },
      swatch(method),
      method.name,
    ),
  );
  const rows = methods.flatMap((method) =>
    method.dots.map(({ budget, row }) => [
      method.name,
      count(budget),
      number(row.tokens_per_problem),
      percent(row.accuracy),
      `${percent(row.low)} to ${percent(row.high)}`,
    ]),
  );
  const data = h(
    "details",
    {
      class: "data",
      ontoggle: () =>
        data.open &&
        data.lastChild.replaceWith(
          figures(["method", "budget", "tokens", "accuracy", "95%"], rows, "Accuracy over tokens: data"),
        ),
    },
    h("summary", null, "Data"),
    h("div"),
  );
  const node = h(
    "figure",
    { class: "chart full" },
    h(
      "figcaption",
      null,
      h("h3", null, "Accuracy over tokens"),
      h(
        "p",
        { class: "soft" },
        `Each dot is a budget of ${unit}, at the tokens that were really used; whiskers are 95% intervals.`,
      ),
    ),
    area,
    h("div", { class: "legend buttons", role: "group", "aria-label": "Methods" }, items),
    data,
  );

  function draw() {
    if (!state.width) return;
    const dots = methods.flatMap((method) => method.dots.map((dot) => dot.row));
    const tokens = dots.map((row) => row.tokens_per_problem);
    const [x0, x1] = [Math.min(...tokens) / 1.25, Math.max(...tokens) * 1.25];
    const [y0, y1] = extent(dots.flatMap((row) => [row.low, row.high]));
    const right = state.width - 14;
    const x = scale(x0, x1, LEFT, right, true);
    const y = scale(Math.max(0, y0), Math.min(1, y1), height - BOTTOM, TOP);
    const marks = ticks(Math.max(0, y0), Math.min(1, y1)).map((mark, i) => [
      s("line", { class: i ? "grid" : "base", x1: LEFT, x2: right, y1: y(mark), y2: y(mark) }),
      s("text", { class: "tick", x: LEFT - 8, y: y(mark) + 4, "text-anchor": "end" }, `${number(100 * mark)}%`),
    ]);
    const under = logTicks(x0, x1).map((mark) =>
      s("text", { class: "tick", x: x(mark), y: height - 14, "text-anchor": "middle" }, count(mark)),
    );
    const name = s("text", { class: "tick", x: right, y: height - 1, "text-anchor": "end" }, "tokens a problem");
    style(drawing, { height: `${height}px` });
    drawing.setAttribute("viewBox", `0 0 ${state.width} ${height}`);
    drawing.replaceChildren(...marks.flat(), ...under, name, ...methods.map((method) => one(method, x, y)));
    emphasise();
  }

  function one(method, x, y) {
    const places = method.dots.map(({ row }) => [x(row.tokens_per_problem), y(row.accuracy), row]);
    return s(
      "g",
      {
        class: `method tone-${method.tone}`,
        "data-name": method.name,
        onpointerenter: () => over(method.name),
        onpointerleave: () => over(null),
        onclick: () => chosen(state.fixed === method.name ? null : method.name),
      },
      s("path", {
        class: "line wide",
        d: places.map(([px, py], i) => `${i ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join(""),
      }),
      s("path", {
        class: "line",
        "stroke-dasharray": method.dash,
        d: places.map(([px, py], i) => `${i ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join(""),
      }),
      places.map(([px, py, row], i) => [
        s("line", { class: "bar", x1: px, x2: px, y1: y(row.low), y2: y(row.high) }),
        s("circle", {
          class: "dot",
          cx: px,
          cy: py,
          r: 4.5,
          onpointerenter: () => say(method, method.dots[i], px, py),
          onpointerleave: () => (tip.hidden = true),
        }),
      ]),
    );
  }

  function say(method, dot, px, py) {
    tip.replaceChildren(
      h("b", null, method.name),
      h("span", null, `${percent(dot.row.accuracy)}, ${percent(dot.row.low)} to ${percent(dot.row.high)}`),
      h("span", { class: "soft" }, `${number(dot.row.tokens_per_problem)} tokens of ${count(dot.budget)}`),
    );
    tip.hidden = false;
    style(tip, {
      left: `${px + 16 + tip.offsetWidth > state.width ? px - 16 - tip.offsetWidth : px + 16}px`,
      top: `${Math.max(0, py - 20)}px`,
    });
  }

  function over(name) {
    state.over = name;
    emphasise();
  }

  /** The method pointed at stands out, and comes to lie above the others; the rest step back. */
  function emphasise() {
    const name = state.over || state.fixed;
    for (const group of drawing.querySelectorAll(".method")) {
      const on = group.getAttribute("data-name") === name;
      group.classList.toggle("back", name !== null && !on);
      group.classList.toggle("front", on);
    }
    items.forEach((item, i) => item.setAttribute("aria-pressed", String(methods[i].name === state.fixed)));
  }

  const sizes = new ResizeObserver(([entry]) => {
    state.width = Math.round(entry.contentRect.width);
    draw();
  });
  sizes.observe(area);
  return {
    node,
    highlight(name) {
      state.fixed = name;
      emphasise();
    },
    stop: () => sizes.disconnect(),
  };
}

function swatch(method) {
  return s(
    "svg",
    { class: "swatch", viewBox: "0 0 22 8", width: 22, height: 8, "aria-hidden": "true" },
    s("path", { class: "line", d: "M0 4H22", "stroke-dasharray": method.dash }),
  );
}

function told(methods) {
  const dot = ({ row }) => `${percent(row.accuracy)} with ${number(row.tokens_per_problem)} tokens`;
  const each = methods.map((method) => `${method.name}: ${method.dots.map(dot).join(", ")}`);
  return `Accuracy over tokens a problem. ${each.join(". ")}.`;
}
