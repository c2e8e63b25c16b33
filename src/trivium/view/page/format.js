/** Numbers, sizes and times as people read them. */

const WHOLE = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const SIZES = ["bytes", "KB", "MB", "GB", "TB"];
/** By the number of digits behind the point; ties go to the even digit as in Python, which writes the documentation. */
const FIXED = [0, 1, 2].map(
  (digits) =>
    new Intl.NumberFormat("en-GB", {
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
      roundingMode: "halfEven",
      useGrouping: false,
    }),
);

/** `12,345`; a dash where there is none. */
export function count(value) {
  return value === null || value === undefined ? "–" : WHOLE.format(value);
}

/** Up to four significant digits, without trailing zeros. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e12) return minus(value.toExponential(1).replace("e+", "e"));
  if (size >= 10000) return WHOLE.format(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1).replace("e-", "e−").replace(/^-/, "−");
  return minus(String(Number(value.toPrecision(4))));
}

/** `12.3%` of a share in [0, 1]. */
export function percent(share, digits = 1) {
  return share === null || share === undefined ? "–" : `${fixed(100 * share, digits)}%`;
}

/** A difference with its sign: `+0.052`. */
export function signed(value) {
  return value === null || value === undefined ? "–" : (value > 0 ? "+" : "") + number(value);
}

/** A difference of shares in points: `+5.2`; less than half a tenth either way is `+0.0`. */
export function points(share) {
  if (share === null || share === undefined) return "–";
  const text = fixed(100 * share, 1);
  return (text.startsWith("−") ? "" : "+") + text;
}

/** With so many digits behind the point; there is no negative zero. */
function fixed(value, digits) {
  const text = FIXED[digits].format(value);
  return Number(text) === 0 ? text.replace("-", "") : minus(text);
}

/** How the numbers of a claim are written: shares as percent and points, all else as it was measured. */
export function writtenIn(unit) {
  const shares = unit === "points";
  const word = unit ? ` ${unit}` : "";
  return {
    score: shares ? percent : number,
    difference: shares ? points : signed,
    margin: (value) => `${number(shares ? 100 * value : value)}${word}`,
    word,
  };
}

/** A value of a curve in its unit. */
export function inUnit(value, unit) {
  if (unit === "%") return percent(value, Math.abs(value) < 0.1 ? 2 : 1);
  return unit && value !== null && value !== undefined ? `${number(value)} ${unit}` : number(value);
}

/** `1.2 GB`. */
export function bytes(size) {
  if (size === null || size === undefined) return "–";
  const power = size < 1 ? 0 : Math.min(SIZES.length - 1, Math.floor(Math.log10(size) / 3));
  const scaled = size / 1000 ** power;
  return `${power && scaled < 10 ? scaled.toFixed(1) : WHOLE.format(scaled)} ${SIZES[power]}`;
}

/** `2026-07-01 10:20`, of the time at the place where it was written. */
export function when(iso) {
  return String(iso || "")
    .slice(0, 16)
    .replace("T", " ");
}

/** `1 trace`, `2 traces`. */
export function plural(n, word) {
  return `${count(n)} ${word}${n === 1 ? "" : "s"}`;
}

/** Any setting as text. */
export function plain(value) {
  if (value === null || value === undefined) return "none";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function minus(text) {
  return text.replace(/^-/, "−");
}
