/** Small pieces that several pages show. */

import { h, s } from "./dom.js";
import { count, plain } from "./format.js";

const SIGNS = { correct: "✓", wrong: "✗", unparseable: "?", error: "!" };

/** A verdict as a sign and a word; `null` is a trace that nobody judged. */
export function verdict(status) {
  const known = status in SIGNS;
  return h(
    "span",
    { class: `verdict ${known ? status : "none"}` },
    h("i", { "aria-hidden": "true" }, SIGNS[status] || "·"),
    known ? status : "not judged",
  );
}

/** The verdict on a claim. */
export function claimVerdict(word) {
  return h("span", { class: `claim ${word || "untested"}` }, word || "not run yet");
}

/** A verdict to filter by, with how many there are of it. */
export function chip(words, n, pressed, choose) {
  return h(
    "button",
    { type: "button", class: "chip", "aria-pressed": String(pressed), onclick: choose },
    words,
    h("b", null, count(n)),
  );
}

/** Names over values in a row. */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h(
    "dl",
    { class: "facts" },
    known.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))),
  );
}

/** What stands where there is nothing. */
export function empty(words, ...hint) {
  return h("div", { class: "empty" }, h("p", null, words), hint.length ? h("p", { class: "soft" }, hint) : null);
}

/** What stands where something went wrong, and a way to try again. */
export function failure(error, again) {
  return h(
    "div",
    { class: "empty", role: "alert" },
    h("p", null, error.message),
    again ? h("button", { class: "button", onclick: again }, "Try again") : null,
  );
}

/** Where one is: links to the pages above. */
export function crumbs(...steps) {
  const items = steps.map(([name, href]) => h("li", null, href ? h("a", { href }, name) : name));
  return h("nav", { class: "crumbs", "aria-label": "Where you are" }, h("ol", null, items));
}

/** Names and values with a field that finds among them; `marked` are shown first and stand out. */
export function settings(values, label) {
  const names = Object.keys(values).sort();
  const body = h("tbody");
  const show = (wanted) => {
    const words = wanted.toLowerCase();
    const found = names.filter((name) => `${name} ${plain(values[name])}`.toLowerCase().includes(words));
    const rows = found.map((name) =>
      h("tr", null, h("th", { scope: "row" }, name), h("td", null, plain(values[name]))),
    );
    body.replaceChildren(...(rows.length ? rows : [h("tr", null, h("td", { class: "soft" }, "none of that name"))]));
  };
  const field = h("input", {
    type: "search",
    placeholder: `Find in ${names.length} ${label}`,
    "aria-label": `Find in ${label}`,
    oninput: () => show(field.value),
  });
  show("");
  return h("div", null, names.length > 8 ? field : null, h("table", { class: "plain" }, body));
}

/** A table of words and numbers.  The first column names its row; `null` cells are empty. */
export function figures(head, rows, label) {
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "figures", "aria-label": label },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          head.map((name) => h("th", { scope: "col" }, name)),
        ),
      ),
      h(
        "tbody",
        null,
        rows.map((row) =>
          h(
            "tr",
            null,
            row.map((cell, i) => h(i ? "td" : "th", i ? null : { scope: "row" }, cell)),
          ),
        ),
      ),
    ),
  );
}

/** An interval on a short line: from `low` to `high` around `mid`, with upright marks such as 0 and a margin. */
export function whisker({ low, mid, high, from, to, marks = [], tone = "a", label, width = 150, height = 22 }) {
  const x = (value) => 5 + ((Math.min(Math.max(value, from), to) - from) / (to - from || 1)) * (width - 10);
  const y = height / 2;
  const line = (mark) =>
    s("line", { class: `mark ${mark.kind || ""}`, x1: x(mark.at), x2: x(mark.at), y1: 2, y2: height - 2 });
  const bar = low === null || high === null || low === undefined || high === undefined;
  return s(
    "svg",
    { class: `whisker ${tone}`, viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label },
    s("line", { class: "rail", x1: 0, x2: width, y1: y, y2: y }),
    marks.filter((mark) => mark.at >= from && mark.at <= to).map(line),
    bar ? null : s("line", { class: "bar", x1: x(low), x2: x(high), y1: y, y2: y }),
    s("circle", { cx: x(mid), cy: y, r: 4 }),
  );
}

/** A text with every place marked where `q` occurs. */
export function marked(text, q) {
  const lower = text.toLowerCase();
  if (!q || lower.length !== text.length) return [text]; // a letter that is two in lower case shifts all places
  const parts = [];
  const wanted = q.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    if (at > from) parts.push(text.slice(from, at));
    parts.push(h("mark", null, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

/** A row of buttons of which one is pressed: `[[value, words], ...]`. */
export function switcher(label, options, now, chosen) {
  const buttons = options.map(([value, words]) =>
    h("button", { type: "button", "aria-pressed": String(value === now), onclick: () => press(value) }, words),
  );
  const press = (value) => {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(options[i][0] === value)));
    chosen(value);
  };
  return h("div", { class: "switch", role: "group", "aria-label": label }, buttons);
}
