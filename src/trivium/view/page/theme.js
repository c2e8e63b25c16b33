/** Light and dark: as the system has it, or as the reader chose; and the palette as numbers, to draw on a canvas. */

import { h } from "./dom.js";
import { choice, choosing } from "./memory.js";

const listeners = new Set();
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Apply the reader's choice, and follow the system where there is none. */
export function startTheme() {
  apply(choice("theme", ""));
  dark.addEventListener("change", tell);
}

/** A button that turns light into dark and back; a choice that agrees with the system is forgotten. */
export function themeButton() {
  const now = () => document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
  const words = () => `${now() === "dark" ? "Light" : "Dark"} colours`;
  const button = h(
    "button",
    {
      type: "button",
      class: "icon",
      "aria-label": words(),
      title: words(),
      onclick: () => {
        const next = now() === "dark" ? "light" : "dark";
        const system = dark.matches ? "dark" : "light";
        choosing("theme", next === system ? null : next);
        apply(next === system ? "" : next);
        button.setAttribute("aria-label", words());
        button.title = words();
      },
    },
    "◐",
  );
  return button;
}

/** Call `changed` when the colours change; returns what ends that. */
export function watchTheme(changed) {
  listeners.add(changed);
  return () => listeners.delete(changed);
}

/** Colours of the palette within `element`, as [red, green, blue] by name. */
export function rgb(element, names) {
  const probe = h("i");
  element.append(probe);
  const found = names.map((name) => {
    probe.style.setProperty("color", `var(--${name})`);
    return [
      name,
      getComputedStyle(probe)
        .color.match(/[\d.]+/g)
        .slice(0, 3)
        .map(Number),
    ];
  });
  probe.remove();
  return Object.fromEntries(found);
}

function apply(theme) {
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  tell();
}

function tell() {
  for (const changed of listeners) changed();
}
