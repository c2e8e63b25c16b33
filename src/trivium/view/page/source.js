/** The only place that data comes from: the server, or what an exported file carries. */

import { choose } from "./choose.js";

const element = document.getElementById("trivium-data");
const embedded = element ? JSON.parse(element.textContent) : null;

/** Whether a server answers, so that there is more than what the file carries. */
export const live = embedded === null;

/** The address of an answer: segments are encoded, parameters sorted, empty ones left out. */
export function address(segments, params = {}) {
  const asked = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = asked.sort(([a], [b]) => (a < b ? -1 : 1)).map((pair) => pair.map(encodeURIComponent).join("="));
  return `/api/${segments.map(encodeURIComponent).join("/")}${query.length ? `?${query.join("&")}` : ""}`;
}

/** An answer as an object.  Throws an Error whose message is a sentence for the reader. */
export async function get(segments, params = {}, signal = undefined) {
  if (!live) return carried(segments, params);
  const response = await fetch(address(segments, params), { signal, headers: { accept: "application/json" } }).catch(
    (error) => {
      if (error.name === "AbortError") throw error;
      throw new Error("The server does not answer. Is `trivium view` still running?");
    },
  );
  const answer = await response.json().catch(() => null);
  if (!response.ok || answer === null) {
    throw new Error((answer && answer.error) || `The server answered with status ${response.status}.`);
  }
  return answer;
}

/** Call `changed` whenever a run grows; returns what ends that. */
export function follow(id, changed) {
  if (!live) return () => {};
  const events = new EventSource(address(["runs", id, "live"]));
  events.addEventListener("changed", () => changed());
  return () => events.close();
}

function carried(segments, params) {
  const whole = address(segments, params);
  if (whole in embedded) return embedded[whole];
  const list = embedded[address(segments)];
  if (list && list.rows) return choose(list.rows, params, (row) => embedded[address([...segments, row.n])]);
  throw new Error("This file does not carry that. Open the run with `trivium view` to see all of it.");
}
