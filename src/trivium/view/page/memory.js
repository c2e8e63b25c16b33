/** What outlives a page: where a list was, and the choices of the reader, kept in the browser where it allows that. */

const places = new Map();

/** What was kept under a key in this visit. */
export function recall(key) {
  return places.get(key);
}

/** Keep something for this visit. */
export function keep(key, value) {
  places.set(key, value);
}

/** A choice of the reader that outlives the visit; `fallback` where there is none, or storage is refused. */
export function choice(name, fallback) {
  try {
    return localStorage.getItem(`trivium.${name}`) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Keep a choice; `null` forgets it. */
export function choosing(name, value) {
  try {
    if (value === null) localStorage.removeItem(`trivium.${name}`);
    else localStorage.setItem(`trivium.${name}`, value);
  } catch {
    // Files and private windows may have no storage: the choice then lasts as long as the page.
  }
}
