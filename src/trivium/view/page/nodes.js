/** What is said of one node of a trace, in a line or in a panel beside the tree. */

import { h, seen } from "./dom.js";
import { count, number } from "./format.js";
import { facts, failure } from "./parts.js";
import { hasLogprobs, nodeText } from "./tokens.js";

/** The first words of a node. */
export function shortly(node, letters) {
  const words = seen(node.text || "")
    .trim()
    .replace(/\s+/g, " ");
  if (!words) return node.parent === -1 ? "prompt" : node.note || "(no text)";
  return words.length > letters ? `${words.slice(0, letters - 1)}…` : words;
}

/** Visits, value and score in one line; nothing for a node that nobody rated. */
export function statistics(node) {
  const parts = [];
  if (node.visits) parts.push(`${count(node.visits)}×`);
  if (node.value !== null && node.value !== undefined) parts.push(`value ${number(node.value)}`);
  if (node.score !== null && node.score !== undefined) parts.push(`score ${number(node.score)}`);
  return parts.join(", ");
}

/** Everything from the prompt to a node, made when it is asked for. */
function wholePath(i, trace) {
  const details = h(
    "details",
    {
      class: "more",
      ontoggle: () => {
        if (!details.open || details.childElementCount > 1) return;
        const texts = [];
        for (let at = i; at > 0; at = trace.nodes[at].parent) texts.unshift(trace.nodes[at].text);
        details.append(h("pre", { class: "said" }, texts.join("")));
      },
    },
    h("summary", null, trace.cut ? "The path to here, texts cut" : "All that was said up to here"),
  );
  return details;
}

/** The panel of a node.  `whole` fetches a node whose text was cut. */
export function nodePanel(node, i, trace, whole, coloured = false) {
  const body = h("div", { class: "node-text" });
  const onPath = i === trace.answer_node;
  const put = (full, shaded) => body.replaceChildren(nodeText(full, shaded));
  let full = node;
  let shaded = coloured;
  put(node, shaded);
  const shade = h(
    "button",
    {
      type: "button",
      class: "button small",
      "aria-pressed": String(shaded),
      onclick: () => {
        shaded = !shaded;
        shade.setAttribute("aria-pressed", String(shaded));
        put(full, shaded);
      },
    },
    "Colour by log-prob",
  );
  if (whole) {
    whole(i).then(
      (found) => {
        full = found;
        put(found, shaded);
        shade.hidden = !hasLogprobs(found);
      },
      (error) => body.append(failure(error)),
    );
  }
  shade.hidden = !hasLogprobs(node);
  return h(
    "div",
    null,
    h(
      "p",
      { class: "eyebrow" },
      h("b", null, `Node ${i}`),
      h("span", null, node.source),
      onPath ? h("span", { class: "answer-mark" }, "the answer was read here") : null,
    ),
    node.note ? h("p", { class: "note" }, node.note) : null,
    facts([
      ["visits", node.visits ? count(node.visits) : null],
      ["value", node.value === null || node.value === undefined ? null : number(node.value)],
      ["score", node.score === null || node.score === undefined ? null : number(node.score)],
      ["tokens", count(node.tokens)],
      ["tokens with all below", count(node.cost)],
      ["depth", count(node.depth)],
      ["children", count(node.children)],
    ]),
    shade,
    body,
    node.parent > 0 ? wholePath(i, trace) : null,
  );
}
