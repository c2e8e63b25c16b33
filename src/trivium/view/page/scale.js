/** Scales, round ticks and smoothing: arithmetic of charts, without a document. */

/** Round numbers within [low, high], in roughly `about` steps. */
export function ticks(low, high, about = 4) {
  if (!(high > low)) return [low];
  const raw = (high - low) / about;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((m) => m * size >= raw * 0.999) * size;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1)
    found.push(Number((i * step).toPrecision(12)));
  return found;
}

/** Powers of ten within [low, high], with 2 and 5 times them where there is room. */
export function logTicks(low, high) {
  const decades = Math.log10(high / low);
  const times = decades > 4 ? [1] : decades > 1.2 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
  const found = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1) {
    for (const m of times) {
      const value = Number((m * 10 ** power).toPrecision(3));
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  return found;
}

/** Low and high ends that hold all values, rounded to ticks; from zero, unless that would flatten what there is. */
export function extent(values, log = false) {
  const known = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
  if (!known.length) return log ? [0.1, 1] : [0, 1];
  let low = known.reduce((a, b) => Math.min(a, b));
  let high = known.reduce((a, b) => Math.max(a, b));
  if (log) return low === high ? [low / 2, high * 2] : [low / 1.1, high * 1.1];
  if (high - low < 1e-12) [low, high] = low === 0 ? [0, 1] : [Math.min(0, 2 * low), Math.max(0, 2 * low)];
  else if (low > 0 && low < 0.6 * high) low = 0;
  const raw = (high - low) / 4;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((m) => m * size >= raw * 0.999) * size;
  return [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
}

/** A function from [from, to] to [a, b]. */
export function scale(from, to, a, b, log = false) {
  const f = log ? Math.log : (value) => value;
  const start = f(from);
  const span = f(to) - start || 1;
  return (value) => a + ((f(value) - start) / span) * (b - a);
}

/** The way back. */
export function unscale(from, to, a, b, log = false) {
  const f = log ? Math.log : (value) => value;
  const back = log ? Math.exp : (value) => value;
  return (place) => back(f(from) + ((place - a) / (b - a || 1)) * (f(to) - f(from)));
}

/** Centred moving average over up to `window` points; near the ends over those there are. */
export function smooth(points, window) {
  const half = Math.floor(window / 2);
  if (half < 1) return points;
  const sums = [0];
  for (const [, y] of points) sums.push(sums[sums.length - 1] + y);
  return points.map(([x], i) => {
    const from = Math.max(0, i - half);
    const to = Math.min(points.length, i + half + 1);
    return [x, (sums[to] - sums[from]) / (to - from)];
  });
}

/** Index of the point whose x is nearest; -1 where there is none. */
export function nearest(points, x) {
  if (!points.length) return -1;
  let low = 0;
  let high = points.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < x) low = middle + 1;
    else high = middle;
  }
  return low > 0 && x - points[low - 1][0] <= points[low][0] - x ? low - 1 : low;
}
