/** Addresses within the page: `#/runs/ID/traces?status=wrong`. */

/** The segments and the query of an address. */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const segments = path.split("/").filter(Boolean).map(decoded);
  return { segments, query: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a place; empty parameters are left out. */
export function link(segments, query = {}) {
  const asked = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const tail = asked.length ? `?${new URLSearchParams(asked)}` : "";
  return `#/${segments.map(encodeURIComponent).join("/")}${tail}`;
}

/** Go to a place. */
export function go(segments, query = {}) {
  location.hash = link(segments, query);
}

/** Change the address without going anywhere: a filter was set. */
export function rename(segments, query) {
  history.replaceState(history.state, "", link(segments, query));
}

function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment; // a lone percent sign in an address that someone typed
  }
}
