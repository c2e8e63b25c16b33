/** A list of any length of which only the rows in sight exist; pages of data are asked for when they are needed. */

import { h, style } from "./dom.js";

const PAGE = 100;
const KEPT = 80; // pages in memory
const BEYOND = 6; // rows drawn above and below what is seen
const SETTLE = 70; // milliseconds of rest before a page is asked for, so that a long scroll asks for none on its way
const TALLEST = 8e6; // pixels: browsers have a limit, so the rows of longer lists pass faster than the thumb moves

/**
 * `fetch(offset, limit, signal)` gives {total, rows}; `draw(row, index)` the content of a row, `href(row, index)` where
 * it leads.  `start` is what `place()` gave before: where the list was, with its pages.
 */
export function virtualList({ rowHeight, fetch, draw, href, label, start = null, told = () => {} }) {
  const pages = start ? start.pages : new Map();
  const asking = new Map();
  const rows = new Map();
  let total = start ? start.total : 0;
  let active = start ? start.active : -1;
  let timer = 0;
  let stopped = false;
  const inside = h("div", { class: "inside", role: "list", "aria-label": label });
  const node = h("div", { class: "virtual", tabindex: -1 }, inside);

  const full = () => total * rowHeight;
  const tall = () => Math.min(full(), TALLEST);
  const view = () => node.clientHeight;
  /** Pixels of the whole list above what is seen. */
  const above = () =>
    full() <= TALLEST ? node.scrollTop : (node.scrollTop / Math.max(1, tall() - view())) * (full() - view());
  const row = (i) => (pages.get(Math.floor(i / PAGE)) || [])[i % PAGE] || null;

  function render() {
    style(inside, { height: `${tall()}px` });
    const from = Math.max(0, Math.floor(above() / rowHeight) - BEYOND);
    const to = Math.min(total, Math.ceil((above() + view()) / rowHeight) + BEYOND);
    const shift = node.scrollTop - above();
    for (const [i, element] of rows) {
      if (i < from || i >= to) {
        element.remove();
        rows.delete(i);
      }
    }
    for (let i = from; i < to; i += 1) {
      if (!rows.has(i)) rows.set(i, place(i));
      style(rows.get(i), { transform: `translateY(${i * rowHeight + shift}px)` }).setAttribute("aria-setsize", total);
    }
    clearTimeout(timer);
    timer = setTimeout(() => need(from, to), pages.size ? SETTLE : 0);
  }

  function place(i) {
    const element = h("div", { class: "item", role: "listitem", "aria-posinset": i + 1 });
    inside.append(element);
    put(element, i);
    return element;
  }

  function put(element, i) {
    const found = row(i);
    const link = found
      ? h(
          "a",
          {
            class: "row",
            href: href(found, i),
            tabindex: i === active ? 0 : -1,
            onfocus: () => (active = i),
            onclick: () => (active = i),
          },
          draw(found, i),
        )
      : h("div", { class: "row wait", "aria-hidden": "true" }, h("i"), h("i"));
    element.replaceChildren(link);
    element.classList.toggle("active", i === active);
  }

  async function need(from, to) {
    const first = Math.floor(from / PAGE);
    const last = Math.floor(Math.max(from, to - 1) / PAGE);
    for (const [page, abort] of asking) if (page < first || page > last) abort.abort();
    for (let page = first; page <= last && !stopped; page += 1) if (!pages.has(page) && !asking.has(page)) ask(page);
  }

  async function ask(page) {
    const abort = new AbortController();
    asking.set(page, abort);
    try {
      const answer = await fetch(page * PAGE, PAGE, abort.signal);
      if (stopped || abort.signal.aborted) return;
      pages.set(page, answer.rows);
      if (pages.size > KEPT) pages.delete(pages.keys().next().value);
      total = answer.total;
      render();
      for (const [i, element] of rows) if (Math.floor(i / PAGE) === page) put(element, i);
      told(answer);
    } catch (error) {
      if (!stopped && error.name !== "AbortError") told({ error });
    } finally {
      if (asking.get(page) === abort) asking.delete(page);
    }
  }

  /** Make a row the active one, in sight, and give it the focus. */
  function move(to) {
    if (!total) return;
    const before = rows.get(active);
    active = Math.min(total - 1, Math.max(0, to));
    const top = active * rowHeight;
    if (top < above()) scrollTo(top);
    else if (top + rowHeight > above() + view()) scrollTo(top + rowHeight - view());
    render();
    if (before) before.classList.remove("active");
    const now = rows.get(active);
    if (now) {
      put(now, active);
      const link = now.querySelector("a");
      if (link) link.focus({ preventScroll: true });
    }
  }

  function scrollTo(top) {
    node.scrollTop = full() <= TALLEST ? top : (top / Math.max(1, full() - view())) * (tall() - view());
  }

  const sizes = new ResizeObserver(() => render());
  sizes.observe(node);
  node.addEventListener("scroll", () => requestAnimationFrame(() => !stopped && render()), { passive: true });
  return {
    node,
    begin() {
      if (start) node.scrollTop = start.top;
      render();
      if (start && active >= 0) move(active);
      if (!pages.size) ask(0);
    },
    move: (by) => move(active < 0 ? Math.floor(above() / rowHeight) + (by > 0 ? 0 : 1) : active + by),
    open() {
      const link = rows.has(active) ? rows.get(active).querySelector("a") : null;
      if (link) link.click();
    },
    /** Where the list is, to come back to. */
    place: () => ({ top: node.scrollTop, active, pages, total }),
    /** Ask again for everything: there is more than before, or another filter. */
    again() {
      pages.clear();
      for (const abort of asking.values()) abort.abort();
      asking.clear();
      active = -1;
      ask(0);
    },
    stop() {
      stopped = true;
      sizes.disconnect();
      clearTimeout(timer);
      for (const abort of asking.values()) abort.abort();
    },
  };
}
