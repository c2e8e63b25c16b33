/** Curves over steps: crisp lines, a read-out under the pointer or the arrow keys, zoom by drag, and the data below. */

import { h, s, style } from "./dom.js";
import { count, inUnit, number } from "./format.js";
import { figures, switcher } from "./parts.js";
import { extent, logTicks, nearest, scale, smooth, ticks, unscale } from "./scale.js";

const TOP = 8;
const RIGHT = 12;
const BOTTOM = 26;
const LETTER = 6.7; // width of a digit of a tick, in pixels
const SHORTEST = 6; // pixels below which a drag is a click

/** Charts that move together: the same place is read out in all of them, and a zoom of one is a zoom of all. */
export function together() {
  return { charts: new Set(), window: 1, domain: null };
}

/**
 * A figure with lines.
 *
 * `series` is a list of {name, tone, points: [[x, y], ...], band: [[low, high], ...] or nothing, dash}.  `picked(x,
 * series)` opens what is behind a point.  `update(series)` draws new data in place and keeps zoom and read-out.
 */
export function lineChart({
  title,
  unit = "",
  xName = "step",
  series,
  group = together(),
  picked = null,
  logY = null,
  height = 190,
}) {
  const state = { series, log: false, at: null, width: 0, drag: null };
  const drawing = s("svg", { class: "plot", role: "img" });
  const tip = h("div", { class: "tip", hidden: true });
  const said = h("p", { class: "unseen", "aria-live": "polite" });
  const area = h("div", { class: "area", tabindex: 0, role: "group", "aria-roledescription": "chart" }, drawing, tip);
  const legend = h("ul", { class: "legend" });
  const table = h("details", { class: "data", ontoggle: () => fillTable() }, h("summary", null, "Data"), h("div"));
  const positive = () => state.series.every((one) => one.points.every(([, y]) => y > 0));
  const logarithmic = (logY ?? positive()) && state.series.some((one) => one.points.length > 1);
  const toggle = logarithmic
    ? switcher(
        "Scale",
        [
          [false, "lin"],
          [true, "log"],
        ],
        false,
        (log) => {
          state.log = log;
          draw();
        },
      )
    : null;
  const reset = h(
    "button",
    { class: "button small", type: "button", hidden: true, onclick: () => zoom(null) },
    "Whole",
  );
  const node = h(
    "figure",
    { class: "chart" },
    h("figcaption", null, h("h3", null, title), h("span", { class: "tools" }, reset, toggle)),
    legend,
    area,
    said,
    table,
  );

  function frame() {
    const [first, last] = group.domain || xRange(state.series);
    const shown = state.series.flatMap((one) => within(one.points, first, last).map((point) => point[1]));
    const bands = state.series.flatMap((one) => (one.band || []).flat());
    const [low, high] = extent([...shown, ...bands], state.log);
    const marks = state.log ? logTicks(low, high) : ticks(low, high);
    const names = marks.map((mark) => (unit === "%" ? `${number(100 * mark)}%` : number(mark)));
    const left = Math.max(40, 14 + LETTER * Math.max(...names.map((name) => name.length)));
    const right = state.width - RIGHT;
    return {
      first,
      last,
      low,
      high,
      marks,
      names,
      left,
      right,
      x: scale(first, last, left, right),
      y: scale(low, high, height - BOTTOM, TOP, state.log),
      back: unscale(first, last, left, right),
    };
  }

  function draw() {
    drawing.setAttribute("aria-label", describe(title, unit, xName, state.series));
    if (!state.width) return; // it is folded away
    const f = frame();
    drawing.setAttribute("viewBox", `0 0 ${state.width} ${height}`);
    style(drawing, { height: `${height}px` });
    area.setAttribute(
      "aria-label",
      `${title}: ${picked ? "arrow keys read values, Enter opens the samples" : "arrow keys read values"}`,
    );
    const lines = state.series.flatMap((one, i) => drawSeries(f, one, i));
    const clip = clipName();
    drawing.replaceChildren(
      s("clipPath", { id: clip }, s("rect", { x: f.left - 4, y: 0, width: Math.max(0, f.right - f.left + 8), height })),
      ...axes(f),
      s("g", { "clip-path": `url(#${clip})` }, lines),
      s("g", { class: "reading" }),
    );
    reset.hidden = group.domain === null;
    legend.replaceChildren(...(state.series.length > 1 ? state.series.map(legendItem) : []));
    legend.hidden = state.series.length < 2;
    if (table.open) fillTable();
    read(state.at);
  }

  function axes(f) {
    const rows = f.marks.map((mark, i) => [
      s("line", { class: i ? "grid" : "base", x1: f.left, x2: f.right, y1: f.y(mark), y2: f.y(mark) }),
      s("text", { class: "tick", x: f.left - 7, y: f.y(mark) + 4, "text-anchor": "end" }, f.names[i]),
    ]);
    const columns = ticks(f.first, f.last, state.width > 500 ? 6 : 4).filter(
      (mark) => Number.isInteger(mark) && mark >= 0,
    );
    const under = columns.map((mark) =>
      s(
        "text",
        { class: "tick", x: f.x(mark), y: height - 8, "text-anchor": f.x(mark) > f.right - 12 ? "end" : "middle" },
        count(mark),
      ),
    );
    return [
      ...rows.flat(),
      ...under,
      s("text", { class: "tick axis", x: f.left - 7, y: height - 8, "text-anchor": "end" }, xName),
    ];
  }

  function drawSeries(f, one, i) {
    const tone = `tone-${one.tone || "abcdefgh"[i % 8]}`;
    const points = state.log ? one.points.filter(([, y]) => y > 0) : one.points;
    const window = Math.round(1 + group.window * Math.max(0, points.length / 4));
    const smoothed = group.window > 0 && points.length > 8 ? smooth(points, window) : points;
    const parts = [];
    if (one.band && one.band.length === one.points.length && !state.log)
      parts.push(s("path", { class: `band ${tone}`, d: bandPath(f, one) }));
    if (smoothed !== points) parts.push(s("path", { class: `line raw ${tone}`, d: path(f, points) }));
    parts.push(s("path", { class: `line ${tone}`, d: path(f, smoothed), "stroke-dasharray": one.dash || null }));
    if (points.length <= 12)
      parts.push(...points.map(([x, y]) => s("circle", { class: `dot ${tone}`, cx: f.x(x), cy: f.y(y), r: 3.5 })));
    return parts;
  }

  function legendItem(one, i) {
    return h("li", { class: `tone-${one.tone || "abcdefgh"[i % 8]}` }, one.name);
  }

  /** Show the values at a step, in this chart. */
  function read(x) {
    state.at = x;
    const layer = drawing.querySelector(".reading");
    if (!layer) return;
    if (x === null) {
      layer.replaceChildren();
      tip.hidden = true;
      return;
    }
    const f = frame();
    const found = state.series
      .map((one, i) => ({ one, i, point: one.points[nearest(one.points, x)] }))
      .filter(({ point }) => point);
    if (!found.length) return;
    const at = found.map(({ point }) => point[0]).reduce((a, b) => (Math.abs(b - x) < Math.abs(a - x) ? b : a));
    const here = found.filter(({ point }) => point[0] === at && at >= f.first && at <= f.last);
    if (!here.length) {
      layer.replaceChildren();
      tip.hidden = true;
      return;
    }
    const dots = here
      .filter(({ point }) => !state.log || point[1] > 0)
      .map(({ one, i, point }) =>
        s("circle", { class: `dot tone-${one.tone || "abcdefgh"[i % 8]}`, cx: f.x(point[0]), cy: f.y(point[1]), r: 4 }),
      );
    layer.replaceChildren(
      s("line", { class: "rule", x1: f.x(at), x2: f.x(at), y1: TOP, y2: height - BOTTOM }),
      ...dots,
    );
    const rows = here.map(({ one, i, point }) =>
      h(
        "div",
        { class: `tone-${one.tone || "abcdefgh"[i % 8]}` },
        state.series.length > 1 ? h("span", null, one.name) : null,
        h("b", null, inUnit(point[1], unit)),
        interval(one, point),
      ),
    );
    tip.replaceChildren(h("span", { class: "soft" }, `${xName} ${count(at)}`), ...rows);
    tip.hidden = false;
    const wide = tip.offsetWidth;
    const place = f.x(at) + 14 + wide > state.width ? f.x(at) - wide - 14 : f.x(at) + 14;
    style(tip, { left: `${Math.max(0, place)}px` });
  }

  function interval(one, point) {
    const pair = one.band && one.band[one.points.indexOf(point)];
    return pair ? h("small", null, `${inUnit(pair[0], unit)} to ${inUnit(pair[1], unit)}`) : null;
  }

  function readAll(x) {
    for (const chart of group.charts) chart.read(x);
  }

  function zoom(domain) {
    group.domain = domain;
    for (const chart of group.charts) chart.draw();
  }

  function xAt(event) {
    return frame().back(event.clientX - area.getBoundingClientRect().left);
  }

  function select(from, to) {
    const f = frame();
    const layer = drawing.querySelector(".reading");
    const [a, b] = [f.x(from), f.x(to)].sort((p, q) => p - q);
    layer.append(s("rect", { class: "choice", x: a, y: TOP, width: b - a, height: height - BOTTOM - TOP }));
  }

  area.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    state.drag = { x: event.clientX, value: xAt(event) };
    if (event.pointerType !== "touch") area.setPointerCapture(event.pointerId);
  });
  area.addEventListener("pointermove", (event) => {
    readAll(xAt(event));
    if (state.drag && Math.abs(event.clientX - state.drag.x) > SHORTEST) select(state.drag.value, xAt(event));
  });
  area.addEventListener("pointerup", (event) => {
    const drag = state.drag;
    state.drag = null;
    if (!drag) return;
    const [from, to] = [drag.value, xAt(event)].sort((a, b) => a - b);
    if (Math.abs(event.clientX - drag.x) > SHORTEST) {
      const [first, last] = xRange(state.series);
      if (state.series.some((one) => within(one.points, from, to).length > 1))
        zoom([Math.max(first, from), Math.min(last, to)]);
    } else if (event.pointerType !== "touch") open();
  });
  area.addEventListener("pointercancel", () => (state.drag = null));
  area.addEventListener("pointerleave", () => !state.drag && readAll(null));
  area.addEventListener("dblclick", () => zoom(null));
  area.addEventListener("blur", () => readAll(null));
  area.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") step(event.key === "ArrowRight" ? 1 : -1);
    else if (event.key === "Enter") open();
    else if (event.key === "Escape") zoom(null);
    else return;
    event.preventDefault();
  });

  function step(by) {
    const points = state.series.reduce((a, b) => (b.points.length > a.points.length ? b : a)).points;
    if (!points.length) return;
    const i = state.at === null ? (by > 0 ? 0 : points.length - 1) : nearest(points, state.at) + by;
    readAll(points[Math.min(points.length - 1, Math.max(0, i))][0]);
    said.textContent = tip.innerText.replace(/\s+/g, " ");
  }

  function open() {
    if (!picked || state.at === null) return;
    const one = state.series.find(({ points }) => points.length) || null;
    if (one) picked(one.points[nearest(one.points, state.at)][0], one);
  }

  function fillTable() {
    if (!table.open) return;
    const steps = [...new Set(state.series.flatMap((one) => one.points.map((point) => point[0])))].sort(
      (a, b) => a - b,
    );
    const by = state.series.map((one) => new Map(one.points));
    const rows = steps.map((step) => [
      count(step),
      ...by.map((values) => (values.has(step) ? inUnit(values.get(step), unit) : "")),
    ]);
    table.lastChild.replaceWith(figures([xName, ...state.series.map((one) => one.name)], rows, `${title}: data`));
  }

  const chart = {
    node,
    focus: () => area.focus(),
    draw,
    read,
    update(next) {
      state.series = next;
      draw();
    },
    stop() {
      sizes.disconnect();
      group.charts.delete(chart);
    },
  };
  const sizes = new ResizeObserver(([entry]) => {
    state.width = Math.round(entry.contentRect.width);
    draw();
  });
  sizes.observe(area);
  group.charts.add(chart);
  draw();
  return chart;
}

/** What a chart shows in one sentence, for those who cannot see it. */
export function describe(title, unit, xName, series) {
  const told = series
    .filter((one) => one.points.length)
    .map((one) => {
      const values = one.points.map((point) => point[1]);
      const [first, last] = [values[0], values[values.length - 1]];
      const low = values.reduce((a, b) => Math.min(a, b));
      const high = values.reduce((a, b) => Math.max(a, b));
      const span = `${xName} ${count(one.points[0][0])} to ${count(one.points[one.points.length - 1][0])}`;
      const [from, to, least, most] = [first, last, low, high].map((value) => inUnit(value, unit));
      return `${one.name}, ${span}: from ${from} to ${to}, lowest ${least}, highest ${most}`;
    });
  return `${title}. ${told.join(". ") || "No data yet"}.`;
}

let clips = 0;

function clipName() {
  clips += 1;
  return `clip-${clips}`;
}

function xRange(series) {
  const ends = series
    .filter((one) => one.points.length)
    .flatMap((one) => [one.points[0][0], one.points[one.points.length - 1][0]]);
  if (!ends.length) return [0, 1];
  const [first, last] = [Math.min(...ends), Math.max(...ends)];
  return first === last ? [first - 1, last + 1] : [first, last];
}

function within(points, first, last) {
  return points.filter(([x]) => x >= first && x <= last);
}

function path(f, points) {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${f.x(x).toFixed(1)} ${f.y(y).toFixed(1)}`).join("");
}

function bandPath(f, one) {
  const upper = one.points.map(([x], i) => [x, one.band[i][1]]);
  const lower = one.points.map(([x], i) => [x, one.band[i][0]]).reverse();
  return `${path(f, [...upper, ...lower])}Z`;
}
