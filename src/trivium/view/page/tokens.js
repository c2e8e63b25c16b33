/** A text token by token, coloured by how likely the model thought each; and the log-probs as a curve where texts of
 * tokens are not known. */

import { lineChart } from "./charts.js";
import { h, style } from "./dom.js";
import { number, percent } from "./format.js";

const EDGES = [-0.05, -0.3, -0.9, -2, -4]; // log-probs between the six shades, from sure to surprised

/** Whether a node tells how likely its tokens were. */
export function hasLogprobs(node) {
  return Array.isArray(node.logprobs) && node.logprobs.length > 0;
}

/** The text of a node; `coloured` shades each token by its log-prob. */
export function nodeText(node, coloured = false) {
  if (!coloured || !hasLogprobs(node)) return h("pre", { class: "said" }, node.text);
  if (!Array.isArray(node.pieces) || node.pieces.length !== node.logprobs.length) return strip(node);
  const tip = h("div", { class: "tip token-tip", hidden: true });
  const text = h("pre", { class: "said coloured" });
  node.pieces.forEach((piece, i) =>
    text.append(h("span", { class: `p${shade(node.logprobs[i])}`, "data-i": i }, piece)),
  );
  text.addEventListener("pointerover", (event) => {
    const i = event.target instanceof Element ? event.target.getAttribute("data-i") : null;
    tip.hidden = i === null;
    if (i === null) return;
    const logprob = node.logprobs[i];
    const id = node.ids && node.ids.length === node.pieces.length ? `token ${node.ids[i]}` : `position ${i}`;
    tip.replaceChildren(
      h("b", null, JSON.stringify(node.pieces[i])),
      h("span", null, `log-prob ${number(logprob)}`),
      h("span", null, percent(Math.exp(logprob))),
      h("span", { class: "soft" }, id),
    );
    style(tip, {
      left: `${event.target.offsetLeft}px`,
      top: `${event.target.offsetTop + event.target.offsetHeight + 4}px`,
    });
  });
  text.addEventListener("pointerleave", () => (tip.hidden = true));
  return h("div", { class: "tokens" }, text, tip, legend());
}

/** One sentence on how sure the model was. */
export function surprise(node) {
  if (!hasLogprobs(node)) return "";
  const mean = node.logprobs.reduce((sum, value) => sum + value, 0) / node.logprobs.length;
  return `mean log-prob ${number(mean)}`;
}

function strip(node) {
  const points = node.logprobs.map((value, i) => [i, value]);
  const chart = lineChart({
    title: "Log-prob by token",
    xName: "token",
    series: [{ name: "log-prob", points, tone: "a" }],
    logY: false,
    height: 130,
  });
  return h("div", null, h("pre", { class: "said" }, node.text), chart.node);
}

function shade(logprob) {
  const at = EDGES.findIndex((edge) => logprob >= edge);
  return at < 0 ? EDGES.length : at;
}

function legend() {
  const names = ["sure", "", "", "", "", "surprised"];
  return h(
    "p",
    { class: "shades" },
    names.map((name, i) => h("span", { class: `p${i}` }, name || "\u00a0")),
  );
}
