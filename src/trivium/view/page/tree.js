/** A search tree on a canvas: only what is in sight is drawn, so that ten thousand nodes move as smoothly as ten. */

import { h, style } from "./dom.js";
import { count, number } from "./format.js";
import { childrenOf, tidy } from "./layout.js";
import { nodePanel, shortly, statistics } from "./nodes.js";
import { outline } from "./outline.js";
import { switcher } from "./parts.js";
import { live } from "./source.js";
import { endOf, pathTo } from "./talk.js";
import { rgb, watchTheme } from "./theme.js";

const ACROSS = 34; // room of a node from top to bottom, in pixels at scale 1
const ALONG = 236; // and from left to right
const WIDE = 184;
const HIGH = 26;
const SHADES = 12;
const AT_FIRST = 140; // nodes shown before anybody unfolds one
const LETTERS = 24;
const TEXT_FROM = 0.5; // scales from which texts, and from which boxes instead of dots, are drawn
const BOX_FROM = 0.16;
const SPREAD = 40; // pixels between depths that no zoom goes below: a big tree is far higher than it is wide
const [LEAST, MOST] = [0.0005, 3];

/** The view of a tree: {node, shown(), leave(), keys}.  `whole(i)` fetches a node whose text was cut. */
export function treeView(trace, whole) {
  const nodes = trace.nodes;
  const children = childrenOf(nodes.map((node) => node.parent));
  const best = pathTo(nodes, endOf(trace));
  const onBest = new Set(best);
  const folded = new Uint8Array(nodes.length);
  const below = countBelow(nodes);
  const labels = new Array(nodes.length);
  const depths = depthsOf(nodes);
  const state = {
    x: 40,
    y: 0,
    k: 1,
    selected: best[best.length - 1] ?? 0,
    colour: hasVisits(nodes) ? "value" : "verdict",
    width: 0,
    height: 0,
    strip: 0,
    frame: 0,
    moving: null,
  };
  let columns = []; // for each depth the indices of its nodes, from the top
  let across = null;
  let tones = null;
  let overview = null;
  const canvas = h("canvas", {
    tabindex: 0,
    role: "application",
    "aria-roledescription": "tree",
    "aria-label": named(nodes.length),
  });
  const strip = h("canvas", { class: "overview", "aria-hidden": "true" });
  const side = h("aside", { class: "panel", "aria-label": "Node" });
  const said = h("p", { class: "unseen", "aria-live": "polite" });
  const stage = h("div", { class: "stage" }, canvas, strip);
  const words = h("div", { class: "stage as-list", hidden: true });
  const scale = h("span", { class: "scale" });

  // What is shown, and where.

  function layOut() {
    const found = tidy(children, 0, (i) => folded[i] === 1);
    across = found.across;
    columns = [];
    for (const i of found.order) (columns[depths[i]] ||= []).push(i);
    drawOverview();
  }

  function foldAtFirst() {
    if (nodes.length <= AT_FIRST) return;
    folded.fill(1);
    for (const i of best) folded[i] = 0;
    let shown = best.reduce((sum, i) => sum + children[i].length, 1);
    const open = [...best];
    const promise = (i) => nodes[i].visits || below[i];
    while (open.length && shown < AT_FIRST) {
      const next = open
        .flatMap((i) => children[i])
        .filter((i) => folded[i] && children[i].length)
        .sort((a, b) => promise(b) - promise(a));
      open.length = 0;
      for (const i of next) {
        if (shown + children[i].length > AT_FIRST) continue;
        folded[i] = 0;
        shown += children[i].length;
        open.push(i);
      }
    }
  }

  /** Room of a depth from left to right, in units of the drawing. */
  function along() {
    return Math.max(ALONG, SPREAD / state.k);
  }

  // Drawing.

  function draw() {
    state.frame = 0;
    if (!state.width) return;
    const ctx = canvas.getContext("2d", { alpha: false });
    const dpr = devicePixelRatio || 1;
    ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
    ctx.fillStyle = tones.paper;
    ctx.fillRect(0, 0, state.width, state.height);
    ctx.setTransform(dpr * state.k, 0, 0, dpr * state.k, dpr * state.x, dpr * state.y);
    const seen = sight();
    drawEdges(ctx, seen);
    if (state.k < BOX_FROM) drawDots(ctx, seen);
    else drawBoxes(ctx, seen);
    drawFrame();
  }

  /** The part of the drawing's plane that is on the screen. */
  function sight() {
    return {
      left: -state.x / state.k,
      right: (state.width - state.x) / state.k,
      top: -state.y / state.k - HIGH,
      bottom: (state.height - state.y) / state.k + HIGH,
    };
  }

  function drawEdges(ctx, seen) {
    const straight = state.k < BOX_FROM;
    const gap = 0.7 / state.k; // edges nearer than that to the last one drawn are the same line on the screen
    ctx.lineWidth = Math.max(1, 0.8 / state.k);
    ctx.strokeStyle = tones.line;
    ctx.beginPath();
    const kept = [];
    for (let d = firstColumn(seen); d <= lastColumn(seen); d += 1) {
      let lastY = -Infinity;
      for (const i of crossing(d, seen)) {
        if (onBest.has(i)) kept.push(i);
        const y = across[i] * ACROSS;
        if (straight && y - lastY < gap) continue;
        lastY = y;
        edge(ctx, i, straight);
      }
    }
    ctx.stroke();
    ctx.strokeStyle = tones.answer;
    ctx.lineWidth = Math.max(2.5, 1.6 / state.k);
    ctx.beginPath();
    for (const i of kept) edge(ctx, i, straight);
    ctx.stroke();
  }

  function edge(ctx, i, straight) {
    const up = nodes[i].parent;
    const [x0, y0, x1, y1] = [
      depths[up] * along() + (straight ? dotWidth() : WIDE),
      across[up] * ACROSS,
      depths[i] * along(),
      across[i] * ACROSS,
    ];
    ctx.moveTo(x0, y0);
    if (straight) ctx.lineTo(x1, y1);
    else ctx.bezierCurveTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1);
  }

  function drawDots(ctx, seen) {
    const size = Math.max(2.2 / state.k, HIGH * 0.8);
    const gap = 0.7 / state.k;
    const bins = tones.shades.map(() => []);
    for (let d = firstColumn(seen) - 1; d <= lastColumn(seen); d += 1) {
      let lastY = -Infinity;
      for (const i of inColumn(d, seen)) {
        const y = across[i] * ACROSS;
        if (y - lastY < gap && i !== state.selected) continue;
        lastY = y;
        bins[shade(i)].push(i);
      }
    }
    bins.forEach((bin, b) => {
      ctx.fillStyle = tones.shades[b];
      for (const i of bin) ctx.fillRect(depths[i] * along(), across[i] * ACROSS - size / 2, dotWidth(), size);
    });
    const i = state.selected;
    if (!hiddenNode(i)) {
      ctx.strokeStyle = tones.focus;
      ctx.lineWidth = 2 / state.k;
      ctx.strokeRect(
        depths[i] * along() - 4 / state.k,
        across[i] * ACROSS - size / 2 - 4 / state.k,
        dotWidth() + 8 / state.k,
        size + 8 / state.k,
      );
    }
  }

  function dotWidth() {
    return along() * 0.35;
  }

  function drawBoxes(ctx, seen) {
    const text = state.k >= TEXT_FROM;
    ctx.textBaseline = "middle";
    for (let d = Math.max(0, firstColumn(seen) - 1); d <= lastColumn(seen); d += 1) {
      for (const i of inColumn(d, seen)) {
        const [x, y] = [d * along(), across[i] * ACROSS];
        ctx.fillStyle = tones.card;
        ctx.strokeStyle = i === state.selected ? tones.focus : onBest.has(i) ? tones.answer : tones.line;
        ctx.lineWidth = i === state.selected ? 2.5 : onBest.has(i) ? 1.8 : 1;
        ctx.beginPath();
        ctx.roundRect(x, y - HIGH / 2, WIDE, HIGH, 6);
        ctx.fill();
        ctx.stroke();
        ctx.fillStyle = tones.shades[shade(i)];
        ctx.beginPath();
        ctx.roundRect(x, y - HIGH / 2, text ? 7 : WIDE, HIGH, text ? [6, 0, 0, 6] : 6);
        ctx.fill();
        if (text) drawText(ctx, i, x, y);
        if (folded[i] && children[i].length) drawFold(ctx, i, x, y, text);
      }
    }
  }

  function drawText(ctx, i, x, y) {
    const told = nodes[i].visits ? `${count(nodes[i].visits)}×` : "";
    labels[i] ??= shortly(nodes[i], LETTERS - (told ? told.length + 1 : 0));
    ctx.font = FONT;
    ctx.fillStyle = tones.ink;
    ctx.textAlign = "left";
    ctx.fillText(labels[i], x + 14, y + 0.5, WIDE - 22 - (told ? 6 * told.length + 6 : 0));
    if (!told) return;
    ctx.fillStyle = tones.soft;
    ctx.textAlign = "right";
    ctx.fillText(told, x + WIDE - 8, y + 0.5);
  }

  function drawFold(ctx, i, x, y, text) {
    const told = `+${below[i]}`;
    ctx.font = FONT;
    ctx.fillStyle = tones.soft;
    ctx.beginPath();
    ctx.roundRect(x + WIDE + 4, y - 9, text ? 14 + ctx.measureText(told).width : 14, 18, 9);
    ctx.fill();
    if (!text) return;
    ctx.fillStyle = tones.paper;
    ctx.textAlign = "left";
    ctx.fillText(told, x + WIDE + 11, y + 0.5);
  }

  /** The whole tree as a strip, made once for every change of what is unfolded; the frame on it is what is in sight. */
  function drawOverview() {
    overview = null;
    if (!state.height || !tones || !state.strip) return; // there is no room for it on a phone
    const dpr = devicePixelRatio || 1;
    overview = document.createElement("canvas");
    overview.width = state.strip * dpr;
    overview.height = state.height * dpr;
    const ctx = overview.getContext("2d");
    ctx.scale(dpr, dpr);
    const { wide, tall } = size();
    for (const [d, column] of columns.entries()) {
      for (const i of column) {
        ctx.fillStyle = tones.shades[shade(i)];
        ctx.fillRect(
          4 + ((d * along()) / wide) * (state.strip - 8),
          4 + ((across[i] * ACROSS) / tall) * (state.height - 8) - 0.5,
          Math.max(2, (0.7 * (state.strip - 8)) / columns.length),
          1.2,
        );
      }
    }
  }

  function drawFrame() {
    if (!overview) return;
    const ctx = strip.getContext("2d");
    const dpr = devicePixelRatio || 1;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, strip.width, strip.height);
    ctx.drawImage(overview, 0, 0);
    ctx.scale(dpr, dpr);
    const { wide, tall } = size();
    const seen = sight();
    const x = (at) => 4 + Math.min(Math.max(at / wide, 0), 1) * (state.strip - 8);
    const y = (at) => 4 + Math.min(Math.max(at / tall, 0), 1) * (state.height - 8);
    ctx.strokeStyle = tones.focus;
    ctx.lineWidth = 1.5;
    ctx.strokeRect(
      x(seen.left) - 2,
      y(seen.top) - 2,
      x(seen.right) - x(seen.left) + 4,
      y(seen.bottom) - y(seen.top) + 4,
    );
  }

  /** Everything may have moved: one frame for any number of changes. */
  function soon() {
    if (!state.frame) state.frame = requestAnimationFrame(draw);
  }

  // What is in sight: in a column nodes stand in the order of their places, and so do their parents.

  function inColumn(d, seen) {
    const column = columns[d];
    if (!column) return [];
    const from = bisect(column, (i) => across[i] * ACROSS >= seen.top);
    return column.slice(
      from,
      bisect(column, (i) => across[i] * ACROSS > seen.bottom),
    );
  }

  function crossing(d, seen) {
    const column = columns[d];
    if (!column || d === 0) return [];
    const from = bisect(column, (i) => Math.max(across[i], across[nodes[i].parent]) * ACROSS >= seen.top);
    return column.slice(
      from,
      bisect(column, (i) => Math.min(across[i], across[nodes[i].parent]) * ACROSS > seen.bottom),
    );
  }

  function firstColumn(seen) {
    return Math.max(0, Math.floor((seen.left - WIDE) / along()) + 1);
  }

  function lastColumn(seen) {
    return Math.min(columns.length - 1, Math.floor(seen.right / along()) + 1);
  }

  function hiddenNode(i) {
    for (let up = nodes[i].parent; up >= 0; up = nodes[up].parent) if (folded[up]) return true;
    return false;
  }

  function size() {
    const last = columns.reduce((most, column) => Math.max(most, across[column[column.length - 1]]), 0);
    return { wide: (columns.length - 1) * along() + WIDE, tall: Math.max(1, last * ACROSS) };
  }

  // Colours.

  function shade(i) {
    const node = nodes[i];
    if (state.colour === "verdict") return onBest.has(i) ? SHADES + 1 : SHADES;
    const value = state.colour === "visits" ? Math.log1p(node.visits) : (node.value ?? node.score);
    if (value === null || value === undefined || (state.colour === "visits" && !node.visits)) return SHADES;
    const [low, high] = tones.range;
    return Math.round(((value - low) / (high - low || 1)) * (SHADES - 1));
  }

  function paint() {
    const colours = rgb(stage, ["paper", "card", "ink", "soft", "line", "a", "e", "good", "bad", "warn", "d"]);
    const answer = { correct: "good", wrong: "bad", unparseable: "warn", error: "d" }[trace.status] || "a";
    const shades = Array.from({ length: SHADES }, (_, s) =>
      blend(colours.line, colours.a, 0.15 + (0.85 * s) / (SHADES - 1)),
    );
    const values = nodes
      .map((node) => (state.colour === "visits" ? Math.log1p(node.visits) : (node.value ?? node.score)))
      .filter((value) => value !== null && value !== undefined);
    const range = values.length
      ? [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))]
      : [0, 1];
    tones = {
      ...Object.fromEntries(Object.entries(colours).map(([name, colour]) => [name, css(colour)])),
      answer: css(colours[answer]),
      focus: css(colours.a),
      shades: [...shades.map(css), css(colours.e), css(colours[answer])],
      range,
    };
    tellScale();
    drawOverview();
    soon();
  }

  function tellScale() {
    const swatch = (colour, words) => h("span", null, style(h("i"), { background: colour }), words);
    const ends =
      state.colour === "visits"
        ? tones.range.map((value) => `${count(Math.round(Math.expm1(value)))} visits`)
        : tones.range.map(number);
    const parts =
      state.colour === "verdict"
        ? [
            swatch(tones.answer, `path to the answer: ${trace.status || "not judged"}`),
            swatch(tones.shades[SHADES], "other nodes"),
          ]
        : [
            swatch(tones.shades[0], ends[0]),
            swatch(tones.shades[SHADES - 1], ends[1]),
            swatch(tones.shades[SHADES], state.colour === "visits" ? "not visited" : "not valued"),
          ];
    scale.replaceChildren(...parts);
  }

  // Choosing, folding, moving.

  function select(i, bring = false) {
    state.selected = i;
    if (bring && !hiddenNode(i)) intoSight(i);
    const cut = trace.cut && live ? whole : null;
    side.replaceChildren(nodePanel(nodes[i], i, trace, cut));
    said.textContent = `${shortly(nodes[i], 120)}. ${statistics(nodes[i])}`;
    soon();
  }

  function fold(i, on = !folded[i]) {
    if (!children[i].length) return;
    const before = across[i];
    folded[i] = on ? 1 : 0;
    layOut();
    state.y -= (across[i] - before) * ACROSS * state.k; // the node stays under the pointer
    soon();
  }

  function foldAll(on) {
    folded.fill(on ? 1 : 0);
    if (on) for (const i of best) folded[i] = 0;
    layOut();
    if (hiddenNode(state.selected)) state.selected = best[best.length - 1] ?? 0;
    intoSight(state.selected, true);
  }

  function intoSight(i, centre = false) {
    const [x, y] = [depths[i] * along() * state.k + state.x, across[i] * ACROSS * state.k + state.y];
    const [wide, room] = [WIDE * state.k, 24];
    if (centre || x < room || x + wide > state.width - state.strip - room)
      state.x += (state.width - state.strip) * 0.42 - x;
    if (centre || y < room || y > state.height - room) state.y += state.height / 2 - y;
    soon();
  }

  function fit() {
    state.k = 1;
    const { wide, tall } = size();
    state.k = Math.min(
      1,
      Math.max(LEAST, Math.min((state.width - state.strip - 48) / wide, (state.height - 64) / (tall + HIGH))),
    );
    state.x = Math.max(24, (state.width - state.strip - size().wide * state.k) / 2);
    state.y = (state.height - tall * state.k) / 2;
    soon();
  }

  function zoom(by, x = state.width / 2, y = state.height / 2) {
    const k = Math.min(MOST, Math.max(LEAST, state.k * by));
    const depth = (x - state.x) / (state.k * along());
    state.y = y - ((y - state.y) * k) / state.k;
    state.k = k;
    state.x = x - depth * k * along();
    soon();
  }

  function at(x, y) {
    const [wx, wy] = [(x - state.x) / state.k, (y - state.y) / state.k];
    const d = Math.floor(wx / along());
    const column = columns[d] || [];
    const near = inColumn(d, { top: wy - ACROSS, bottom: wy + ACROSS });
    const reach = Math.max(HIGH / 2, 7 / state.k);
    const hit = near
      .filter((i) => Math.abs(across[i] * ACROSS - wy) <= reach)
      .sort((a, b) => Math.abs(across[a] * ACROSS - wy) - Math.abs(across[b] * ACROSS - wy))[0];
    if (hit === undefined || !column.length) return null;
    const inner = wx - d * along();
    return { i: hit, fold: inner > WIDE, inside: inner <= WIDE || folded[hit] === 1 };
  }

  const fingers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    state.moving = { x: event.offsetX, y: event.offsetY, far: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.offsetX, y: event.offsetY };
    if (fingers.size === 2) pinch(event.pointerId, before, now);
    else {
      state.x += now.x - before.x;
      state.y += now.y - before.y;
      if (Math.hypot(now.x - state.moving.x, now.y - state.moving.y) > 5) state.moving.far = true;
    }
    fingers.set(event.pointerId, now);
    soon();
  });
  canvas.addEventListener("pointerup", (event) => {
    const click = fingers.size === 1 && state.moving && !state.moving.far;
    fingers.delete(event.pointerId);
    if (!click) return;
    const found = at(event.offsetX, event.offsetY);
    if (!found || !found.inside) return;
    if (found.fold) fold(found.i);
    select(found.i);
  });
  canvas.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("dblclick", (event) => {
    const found = at(event.offsetX, event.offsetY);
    if (found && !found.fold) fold(found.i);
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      if (event.ctrlKey || event.metaKey) zoom(Math.exp(-event.deltaY * 0.01), event.offsetX, event.offsetY);
      else {
        state.x -= event.shiftKey ? event.deltaY : event.deltaX;
        state.y -= event.shiftKey ? 0 : event.deltaY;
        soon();
      }
    },
    { passive: false },
  );

  function pinch(id, before, now) {
    const [other] = [...fingers].filter(([key]) => key !== id).map(([, place]) => place);
    const far = (a) => Math.hypot(a.x - other.x, a.y - other.y);
    state.moving.far = true;
    zoom(far(now) / Math.max(1, far(before)), (now.x + other.x) / 2, (now.y + other.y) / 2);
  }

  function jump(event) {
    if (event.type === "pointermove" && !event.buttons) return;
    const { tall } = size();
    state.y = state.height / 2 - ((event.offsetY - 4) / (state.height - 8)) * tall * state.k;
    soon();
  }
  strip.addEventListener("pointerdown", jump);
  strip.addEventListener("pointermove", jump);

  const moves = {
    ArrowLeft: () => nodes[state.selected].parent >= 0 && select(nodes[state.selected].parent, true),
    ArrowRight: () => {
      if (!children[state.selected].length) return;
      if (folded[state.selected]) fold(state.selected, false);
      const kids = children[state.selected];
      select(kids.find((i) => onBest.has(i)) ?? kids[0], true);
    },
    ArrowUp: () => sibling(-1),
    ArrowDown: () => sibling(1),
    " ": () => fold(state.selected),
    Enter: () => side.querySelector("button")?.focus(),
    "+": () => zoom(1.25),
    "=": () => zoom(1.25),
    "-": () => zoom(0.8),
    0: () => fit(),
    b: () => showBest(),
    e: () => foldAll(false),
    c: () => foldAll(true),
  };

  /** The next node of the column, so that one can walk through all nodes of a depth; siblings come first in it. */
  function sibling(by) {
    const column = columns[depths[state.selected]];
    const next = column[column.indexOf(state.selected) + by];
    if (next !== undefined) select(next, true);
  }

  function showBest() {
    const end = best[best.length - 1] ?? 0;
    for (const i of best) folded[i] = 0;
    if (state.k < TEXT_FROM) state.k = 0.85;
    layOut();
    select(end);
    intoSight(end, true);
  }

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in moves)) return;
    event.preventDefault();
    event.stopPropagation();
    moves[event.key]();
  });

  // The page around it.

  const modes = [
    ["verdict", "verdict"],
    ...(hasValues(nodes) ? [["value", "value"]] : []),
    ...(hasVisits(nodes) ? [["visits", "visits"]] : []),
  ];
  if (!modes.some(([mode]) => mode === state.colour)) state.colour = "verdict";
  const button = (text, run, label = null) =>
    h("button", { type: "button", class: "button small", "aria-label": label, onclick: run }, text);
  const tools = h(
    "div",
    { class: "bar tree-tools" },
    modes.length > 1
      ? switcher("Colour by", modes, state.colour, (mode) => {
          state.colour = mode;
          paint();
        })
      : null,
    scale,
    h("span", { class: "grow" }),
    button("Answer", showBest),
    button("Unfold all", () => foldAll(false)),
    button("Fold", () => foldAll(true)),
    button("Fit", fit),
    button("−", () => zoom(0.8), "Zoom out"),
    button("+", () => zoom(1.25), "Zoom in"),
    switcher(
      "Show as",
      [
        [false, "drawing"],
        [true, "list"],
      ],
      false,
      (list) => {
        words.hidden = !list;
        stage.hidden = list;
        if (list && !words.firstChild) words.append(outline(trace, children, best, (i) => select(i)));
      },
    ),
  );
  const sizes = new ResizeObserver(() => {
    const dpr = devicePixelRatio || 1;
    const first = !state.width;
    state.width = stage.clientWidth;
    state.height = stage.clientHeight;
    canvas.width = state.width * dpr;
    canvas.height = state.height * dpr;
    state.strip = strip.offsetWidth;
    strip.width = state.strip * dpr;
    strip.height = state.height * dpr;
    if (!state.width) return;
    if (first) {
      paint();
      begin();
    }
    drawOverview();
    draw();
  });
  const unwatch = watchTheme(() => paint());

  function begin() {
    fit();
    if (state.k >= TEXT_FROM) return;
    state.k = 0.85;
    intoSight(0, true);
    state.x = 24;
  }

  foldAtFirst();
  layOut();
  return {
    node: h("div", { class: "tree" }, tools, h("div", { class: "with-panel" }, stage, words, side), said),
    shown() {
      sizes.observe(stage);
      select(state.selected);
    },
    leave() {
      sizes.disconnect();
      unwatch();
      cancelAnimationFrame(state.frame);
    },
    keys: [
      { keys: "ArrowLeft, ArrowRight", says: "parent, first child", run: () => canvas.focus() },
      { keys: "ArrowUp, ArrowDown", says: "nodes beside", run: () => canvas.focus() },
      { keys: " ", says: "fold or unfold the node", run: () => fold(state.selected) },
      { keys: "b", says: "the node of the answer", run: showBest },
      { keys: "e", says: "unfold everything", run: moves.e },
      { keys: "c", says: "fold all but the path to the answer", run: moves.c },
      { keys: "0", says: "fit the tree", run: fit },
      { keys: "+, =", says: "zoom in", run: () => zoom(1.25) },
      { keys: "-", says: "zoom out", run: () => zoom(0.8) },
    ],
  };
}

function named(n) {
  const keys = "Arrow keys go to the parent, the first child and the nodes beside; Space folds.";
  return `Search tree of ${count(n)} nodes. ${keys} “List” shows the same tree as text.`;
}

const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

function bisect(list, holds) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(list[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** How many nodes are below each: parents always come before their children. */
function countBelow(nodes) {
  const below = new Int32Array(nodes.length);
  for (let i = nodes.length - 1; i > 0; i -= 1) below[nodes[i].parent] += below[i] + 1;
  return below;
}

function depthsOf(nodes) {
  const depths = new Int32Array(nodes.length);
  for (let i = 1; i < nodes.length; i += 1) depths[i] = depths[nodes[i].parent] + 1;
  return depths;
}

function hasVisits(nodes) {
  return nodes.some((node) => node.visits > 0);
}

function hasValues(nodes) {
  return nodes.some((node) => (node.value ?? node.score ?? null) !== null);
}

function blend(from, to, share) {
  return from.map((part, i) => Math.round(part + (to[i] - part) * share));
}

function css(colour) {
  return `rgb(${colour.join(",")})`;
}
