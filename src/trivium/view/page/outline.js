/** A search tree as nested lines: for screen readers, and for reading without a drawing. */

import { h } from "./dom.js";
import { plural } from "./format.js";
import { shortly, statistics } from "./nodes.js";

/** Lines of a tree; children of a line are made when it is unfolded.  `chosen(i)` is told what was selected. */
export function outline(trace, children, best, chosen) {
  const onPath = new Set(best);
  const items = new Map();
  const tree = h("ul", { class: "outline", role: "tree", "aria-label": "Search tree", onkeydown: keys });

  function item(i, level, at, of) {
    const node = trace.nodes[i];
    const kids = children[i];
    const open = kids.length && onPath.has(i);
    const line = h(
      "span",
      { class: "line" },
      h("i", { "aria-hidden": "true" }, kids.length ? "▸" : ""),
      h("span", { class: "text" }, shortly(node, 160)),
      h("span", { class: "soft" }, statistics(node)),
      kids.length ? h("span", { class: "soft" }, plural(kids.length, "child").replace("childs", "children")) : null,
    );
    const element = h(
      "li",
      {
        role: "treeitem",
        "aria-level": level,
        "aria-posinset": at,
        "aria-setsize": of,
        "aria-expanded": kids.length ? "false" : null,
        "aria-selected": "false",
        tabindex: -1,
        "data-i": i,
        class: onPath.has(i) ? "best" : "",
      },
      line,
    );
    line.addEventListener("click", () => {
      if (element.getAttribute("aria-selected") === "true" || !kids.length) toggle(i);
      select(i);
    });
    items.set(i, { element, level });
    if (open) unfold(i);
    return element;
  }

  function unfold(i) {
    const { element, level } = items.get(i);
    if (!children[i].length || element.getAttribute("aria-expanded") === "true") return;
    element.setAttribute("aria-expanded", "true");
    if (!element.querySelector(":scope > ul"))
      element.append(
        h(
          "ul",
          { role: "group" },
          children[i].map((kid, k) => item(kid, level + 1, k + 1, children[i].length)),
        ),
      );
  }

  function fold(i) {
    if (children[i].length) items.get(i).element.setAttribute("aria-expanded", "false");
  }

  function toggle(i) {
    if (items.get(i).element.getAttribute("aria-expanded") === "true") fold(i);
    else unfold(i);
  }

  function select(i) {
    for (const { element } of items.values()) {
      if (element.tabIndex === 0) element.tabIndex = -1;
      if (element.getAttribute("aria-selected") === "true") element.setAttribute("aria-selected", "false");
    }
    const { element } = items.get(i);
    element.tabIndex = 0;
    element.setAttribute("aria-selected", "true");
    element.focus();
    chosen(i);
  }

  function keys(event) {
    const at = event.target.closest("[role=treeitem]");
    if (!at) return;
    const i = Number(at.getAttribute("data-i"));
    const seen = [...tree.querySelectorAll("[role=treeitem]")].filter((one) => one.offsetParent !== null);
    const place = seen.indexOf(at);
    const open = at.getAttribute("aria-expanded") === "true";
    const to = (element) => element && select(Number(element.getAttribute("data-i")));
    if (event.key === "ArrowDown") to(seen[place + 1]);
    else if (event.key === "ArrowUp") to(seen[place - 1]);
    else if (event.key === "ArrowRight") open ? to(at.querySelector("[role=treeitem]")) : unfold(i);
    else if (event.key === "ArrowLeft") open ? fold(i) : to(at.parentElement.closest("[role=treeitem]"));
    else if (event.key === "Home") to(seen[0]);
    else if (event.key === "End") to(seen[seen.length - 1]);
    else if (event.key === "Enter" || event.key === " ") toggle(i);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  tree.append(item(0, 1, 1, 1));
  items.get(0).element.tabIndex = 0;
  unfold(0);
  return tree;
}
