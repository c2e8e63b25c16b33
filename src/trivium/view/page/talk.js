/** Traces that are read from top to bottom: one sample, a conversation, a debate by rounds, a program and its calls. */

import { h } from "./dom.js";
import { count, number, plural } from "./format.js";
import { empty, facts } from "./parts.js";
import { hasLogprobs, nodeText, surprise } from "./tokens.js";

const LONG = 700; // characters beyond which a prompt is folded
const LABEL = /^([A-Z][\w ]{0,24}):[ \t]?/;
const SOURCES = { prompt: "prompt", model: "model", tool: "tool", environment: "environment" };

/** Node indices from the root to `node`. */
export function pathTo(nodes, node) {
  const path = [];
  for (let i = node; i >= 0; i = nodes[i].parent) path.push(i);
  return path.reverse();
}

/** The node that the answer was read from, or else the last leaf. */
export function endOf(trace) {
  return trace.answer_node ?? trace.nodes.length - 1;
}

/** A prompt and one response. */
export function sampleView(trace, coloured) {
  const path = pathTo(trace.nodes, endOf(trace)).map((i) => trace.nodes[i]);
  return h(
    "div",
    { class: "talk" },
    path.map((node) => block(node, coloured)),
  );
}

/** Thoughts, actions and what came back, in turns. */
export function conversationView(trace, coloured) {
  const path = pathTo(trace.nodes, endOf(trace));
  const rest = trace.nodes.length - path.length;
  const turns = coloured
    ? path.map((i) => block(trace.nodes[i], true))
    : lines(path.map((i) => trace.nodes[i])).map(turn);
  return h(
    "div",
    { class: "talk" },
    turns,
    rest ? h("p", { class: "soft" }, `${plural(rest, "node")} off this path: see them as a tree.`) : null,
  );
}

/** What each speaker said, a row for each round. */
export function debateView(trace, coloured) {
  const { rounds, prompt } = byRound(trace.nodes);
  if (!rounds.length) return empty("Nobody spoke in this debate.");
  const width = Math.max(...rounds.map((round) => round.length));
  return h(
    "div",
    { class: "talk" },
    prompt ? block(prompt, false) : null,
    rounds.map((round, r) =>
      h(
        "section",
        { class: "round" },
        h("h2", null, `Round ${r + 1}`),
        h(
          "div",
          { class: "speakers", vars: { "--speakers": width } },
          round.map((said) => speech(said, coloured, trace)),
        ),
      ),
    ),
  );
}

/** A program as it was written, and the calls it waited for. */
export function programView(trace, coloured) {
  const told = trace.nodes.map((node, i) => ({ node, i })).filter(({ node }) => node.source === "model");
  const calls = told.filter(({ node, i }) => node.note && /\(/.test(node.note) && i !== trace.answer_node);
  const written = told.filter((one) => !calls.includes(one));
  const root = trace.nodes[0];
  return h(
    "div",
    { class: "talk" },
    root && root.source === "prompt" ? block(root, false) : null,
    written.map(({ node }) =>
      h("section", { class: "said-by program" }, label("program", node), nodeText(node, coloured)),
    ),
    calls.length ? h("h3", null, `${plural(calls.length, "call")} that the program waited for`) : null,
    h(
      "ol",
      { class: "calls" },
      calls.map(({ node }) =>
        h(
          "li",
          null,
          h("code", { class: "call" }, node.note),
          h("span", { class: "soft" }, "the model says"),
          nodeText(node, coloured),
        ),
      ),
    ),
  );
}

/** Replies by round and speaker. */
export function byRound(nodes) {
  const rounds = [];
  nodes.forEach((node, i) => Number.isInteger(node.round) && (rounds[node.round] ||= []).push({ node, i }));
  const prompt = nodes.length && nodes[0].source === "prompt" ? nodes[0] : null;
  return {
    rounds: rounds.filter(Boolean).map((round) => round.sort((a, b) => a.node.speaker - b.node.speaker)),
    prompt,
  };
}

/** The text of a path cut into what was thought, done and seen: a told label and what follows it belong together. */
export function lines(nodes) {
  const parts = [];
  for (const node of nodes) {
    if (node.parent === -1) {
      parts.push({ label: "prompt", text: node.text, source: "prompt", node });
      continue;
    }
    for (const line of node.text.split(/(?<=\n)/)) {
      const found = LABEL.exec(line);
      const last = parts[parts.length - 1];
      const told = node.source === "environment" || node.source === "tool";
      if (found) parts.push({ label: found[1], text: line.slice(found[0].length), source: node.source, node });
      else if (last && last.source !== "prompt" && (last.source === node.source || told === fromOutside(last)))
        last.text += line;
      else if (last && last.node.parent !== -1 && last.source === "prompt" && !told) join(last, line, node);
      else if (line.trim())
        parts.push({
          label: node.source === "model" ? "said" : SOURCES[node.source],
          text: line,
          source: node.source,
          node,
        });
    }
  }
  return parts.filter((part) => part.text.trim() || part.source === "model");
}

function fromOutside(part) {
  return part.source === "environment" || part.source === "tool";
}

/** A label was told, such as `Thought:`, and the model goes on behind it: the words are the model's. */
function join(part, line, node) {
  part.text += line;
  part.source = node.source;
  part.node = node;
}

function turn(part) {
  return h(
    "section",
    { class: `turn ${part.source}` },
    h("h3", null, part.label),
    h("pre", { class: "said" }, part.text.trim()),
  );
}

function speech({ node, i }, coloured, trace) {
  const chosen = i === trace.answer_node;
  return h(
    "article",
    { class: `speech${chosen ? " chosen" : ""}` },
    label(`speaker ${node.speaker + 1}${chosen ? ", gives the answer" : ""}`, node),
    nodeText(node, coloured),
  );
}

function block(node, coloured) {
  const said = nodeText(node, coloured && node.source === "model");
  const long = node.source === "prompt" && node.text.length > LONG;
  return h(
    "section",
    { class: `said-by ${node.source}` },
    long
      ? h("details", null, h("summary", null, `prompt, ${count(node.text.length)} characters`), said)
      : [label(SOURCES[node.source] || node.source, node), said],
  );
}

function label(words, node) {
  const told = [
    node.note,
    node.tokens ? plural(node.tokens, "token") : "",
    value("value", node.value),
    value("score", node.score),
    hasLogprobs(node) ? surprise(node) : "",
  ];
  return h("h3", null, words, h("span", { class: "soft" }, told.filter(Boolean).join(", ")));
}

function value(name, number_) {
  return number_ === null || number_ === undefined ? "" : `${name} ${number(number_)}`;
}

/** What an attempt cost. */
export function spent(usage) {
  return facts([
    ["prompt tokens", count(usage.prompt_tokens)],
    ["of them cached", usage.cached_tokens ? count(usage.cached_tokens) : null],
    ["sampled tokens", count(usage.sampled_tokens)],
    ["calls", count(usage.calls)],
    ["tool steps", usage.tool_steps ? count(usage.tool_steps) : null],
    ["judge calls", usage.judge_calls ? count(usage.judge_calls) : null],
    ["asked the verifier", usage.oracle_calls ? count(usage.oracle_calls) : null],
    ["seconds", usage.seconds ? number(usage.seconds) : null],
  ]);
}
