/** The keyboard: what each key does on this page, and a sheet that says so. */

import { h } from "./dom.js";

const everywhere = [];
let here = [];
let waiting = "";
let timer = 0;

/** Keys of every page: `{keys: "g r", says: "...", run}`. */
export function always(bindings) {
  everywhere.push(...bindings);
}

/** Keys of the page that is shown; those of the page before are gone. */
export function onPage(bindings) {
  here = bindings;
}

/** Begin to listen. */
export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const pressed = waiting ? `${waiting} ${event.key}` : event.key;
    const all = [...here, ...everywhere];
    const found = all.find((binding) => binding.keys.split(", ").includes(pressed));
    clearTimeout(timer);
    waiting = "";
    if (found) {
      event.preventDefault();
      found.run();
    } else if (all.some((binding) => binding.keys.startsWith(`${pressed} `))) {
      waiting = pressed;
      timer = setTimeout(() => (waiting = ""), 1200);
    }
  });
}

/** Show the keys of this page. */
export function sheet() {
  const rows = [...here, ...everywhere].filter((binding) => binding.says);
  const dialog = h(
    "dialog",
    { class: "sheet", "aria-labelledby": "keys-title", onclose: () => dialog.remove() },
    h("h2", { id: "keys-title" }, "Keys"),
    h(
      "dl",
      null,
      rows.map((row) => h("div", null, h("dt", null, caps(row.keys)), h("dd", null, row.says))),
    ),
    h("button", { class: "button", onclick: () => dialog.close() }, "Close"),
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

function caps(keys) {
  return keys.split(", ").map((one) =>
    h(
      "span",
      null,
      one.split(" ").map((key) => h("kbd", null, name(key))),
    ),
  );
}

function name(key) {
  const names = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "Space", Escape: "Esc" };
  return names[key] || key;
}

function typing(target) {
  return target instanceof Element && target.matches("input:not([type=checkbox]):not([type=range]), textarea, select");
}
