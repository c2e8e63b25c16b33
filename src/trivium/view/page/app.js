/** The app: a frame with navigation and keys, into which the page of the address is put. */

import { h } from "./dom.js";
import { claimPage, claimsPage } from "./claims.js";
import { comparisonPage, comparisonsPage } from "./comparisons.js";
import { always, listen, onPage, sheet } from "./keys.js";
import { empty, failure } from "./parts.js";
import { go, link, parse } from "./router.js";
import { runPage } from "./run.js";
import { runsPage } from "./runs.js";
import { startTheme, themeButton } from "./theme.js";
import { tracePage } from "./trace.js";
import { tracesPage } from "./traces.js";
import { versusPage } from "./versus.js";

const SECTIONS = [
  ["runs", "Runs"],
  ["comparisons", "Comparisons"],
  ["claims", "Claims"],
];
const SLOW = 250; // milliseconds after which the reader is told that a page is on its way

const main = document.getElementById("main");
const busy = document.getElementById("busy");
let shown = null;
let turn = 0;

/** The page of an address, or `null` where there is none. */
function pageOf({ segments, query }) {
  const [section = "runs", id, part, more] = segments;
  const end = segments.length;
  if (section === "runs" && end <= 1) return () => runsPage();
  if (section === "comparisons" && end === 1) return () => comparisonsPage();
  if (section === "claims" && end === 1) return () => claimsPage();
  if (section === "claims" && end === 2) return () => claimPage(id);
  if (section === "runs" && end === 2) return () => runPage(id);
  if (section === "comparisons" && end === 2) return () => comparisonPage(id);
  if (section === "runs" && part === "with" && end === 4) return () => versusPage(id, more);
  if ((section === "runs" || section === "comparisons") && part === "traces" && end === 3)
    return () => tracesPage([section, id], query);
  if ((section === "runs" || section === "comparisons") && part === "traces" && end === 4)
    return () => tracePage([section, id], more, query);
  return null;
}

/** Show what the address names.  The page before stays until the new one is ready, so that nothing flickers. */
async function route() {
  const now = (turn += 1);
  const place = parse(location.hash);
  const make = pageOf(place);
  const timer = setTimeout(() => (busy.hidden = false), SLOW);
  main.setAttribute("aria-busy", "true");
  let page;
  try {
    page = make
      ? await make()
      : {
          title: "Nothing here",
          node: h(
            "div",
            null,
            h("h1", null, "Nothing here"),
            empty("There is no such page.", h("a", { href: link(["runs"]) }, "All runs")),
          ),
          keys: [],
        };
  } catch (error) {
    page = {
      title: "Error",
      node: h(
        "div",
        null,
        h("h1", null, "That did not work"),
        failure(error, () => route()),
      ),
      keys: [],
    };
    if (!(error instanceof Error) || error.name === "TypeError" || error.name === "ReferenceError")
      console.error(error);
  } finally {
    clearTimeout(timer);
  }
  if (now !== turn) {
    if (page.leave) page.leave();
    return;
  }
  busy.hidden = true;
  main.setAttribute("aria-busy", "false");
  show(page, place.segments[0] || "runs");
}

function show(page, section) {
  if (shown && shown.leave) shown.leave();
  const first = shown === null;
  shown = page;
  main.replaceChildren(page.node);
  main.dataset.section = section;
  document.title = `${page.title} - Trivium`;
  for (const item of document.querySelectorAll("header nav a")) {
    if (item.dataset.section === section) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
  onPage(page.keys || []);
  window.scrollTo(0, 0);
  if (!first) main.focus({ preventScroll: true });
  if (page.shown) page.shown();
}

/** Traces of what is shown, or of the run that was shown last. */
function traces() {
  if (shown && shown.place && shown.place.traces) shown.place.traces();
  else go(["runs"]);
}

startTheme();
document.getElementById("sections").append(
  h(
    "ul",
    null,
    SECTIONS.map(([name, words]) => h("li", null, h("a", { href: link([name]), "data-section": name }, words))),
  ),
);
document
  .getElementById("tools")
  .append(
    h("button", { type: "button", class: "icon", "aria-label": "Keys", title: "Keys (?)", onclick: sheet }, "?"),
    themeButton(),
  );
document.getElementById("skip").addEventListener("click", () => main.focus());
always([
  { keys: "g r", says: "runs", run: () => go(["runs"]) },
  { keys: "g t", says: "traces of this run or comparison", run: traces },
  { keys: "g c", says: "comparisons", run: () => go(["comparisons"]) },
  { keys: "g p", says: "claims of papers", run: () => go(["claims"]) },
  { keys: "?", says: "these keys", run: sheet },
]);
listen();
window.addEventListener("hashchange", route);
route();
