/** Elements made by hand.  Text from outside becomes text nodes and attribute values, and never markup. */

const SVG = "http://www.w3.org/2000/svg";
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\u202a-\u202e\u2066-\u2069]/g;
const SAFE_LINK = /^(#|\?|https:\/\/arxiv\.org\/)/;

/** An HTML element.  `on...` attributes are listeners, `vars` are CSS properties, `null` and `false` are left out. */
export function h(tag, attrs, ...children) {
  return fill(document.createElement(tag), attrs, children);
}

/** The same for SVG. */
export function s(tag, attrs, ...children) {
  return fill(document.createElementNS(SVG, tag), attrs, children);
}

/** Set CSS properties through the object model, which a strict content policy allows. */
export function style(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, String(value));
  return element;
}

/** A text whose control characters can be seen: one that turns the direction of what follows must not hide anything. */
export function seen(text) {
  return text.replace(HIDDEN, (one) => `⟨U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

function fill(element, attrs, children) {
  for (const [name, value] of Object.entries(attrs || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "vars") style(element, value);
    else if (name === "href") element.setAttribute("href", checked(String(value)));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...flat(children));
  return element;
}

function flat(children) {
  const kept = [];
  for (const child of children) {
    if (Array.isArray(child)) kept.push(...flat(child));
    else if (child !== null && child !== undefined && child !== false) {
      kept.push(child instanceof Node ? child : seen(String(child)));
    }
  }
  return kept;
}

/** Links lead within the page or to a paper: a `javascript:` address in some data is no link. */
function checked(address) {
  if (!SAFE_LINK.test(address)) throw new Error(`not a link of this page: ${address.slice(0, 80)}`);
  return address;
}
