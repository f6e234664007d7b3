// From stored values to what the screen shows: the file's own curve, or a window in stored values.

/**
 * @typedef {{low: number, high: number, curve: [number, number][], inverted: boolean,
 *   padding: [number, number] | null}} Scale  As the server tells it (`display.scale`).
 * @typedef {{centre: number, width: number}} Window  In stored values.
 */

const LEVELS = 65536;

/** Window presets: shares of the film's pixels, dark to bright, that become black and white. */
export const PRESETS = {
  file: { name: "As in the file", shares: null },
  auto: { name: "Auto (1 to 99 %)", shares: [0.01, 0.99] },
  lungs: { name: "Lungs (0 to 70 %)", shares: [0, 0.7] },
  mediastinum: { name: "Mediastinum (40 to 100 %)", shares: [0.4, 1] },
  full: { name: "All values", shares: [0, 1] },
};

/** @type {(scale: Scale, level: number) => number} */
export const valueOf = (scale, level) => scale.low + (level * (scale.high - scale.low)) / (LEVELS - 1);

/** @type {(scale: Scale, value: number) => number} */
const levelOf = (scale, value) => ((value - scale.low) * (LEVELS - 1)) / (scale.high - scale.low);

/**
 * How many pixels have each level, and the range of values without padding.
 * @param {Uint16Array} levels
 * @param {Scale} scale
 */
export function counted(levels, scale) {
  const counts = new Uint32Array(LEVELS);
  for (let at = 0; at < levels.length; at++) counts[levels[at]]++;
  if (scale.padding) {
    const [from, to] = scale.padding.map((value) => Math.round(levelOf(scale, value)));
    counts.fill(0, Math.max(from, 0), to + 1);
  }
  let first = 0, last = LEVELS - 1, total = 0;
  while (first < last && !counts[first]) first++;
  while (last > first && !counts[last]) last--;
  for (let at = first; at <= last; at++) total += counts[at];
  return { counts, total, low: valueOf(scale, first), high: valueOf(scale, last) };
}

/** The value below which a share of the pixels lies. */
function quantile({ counts, total }, scale, share) {
  let left = share * total, at = 0, last = 0;
  for (; at < LEVELS; at++) {
    if (!counts[at]) continue;
    last = at;
    left -= counts[at];
    if (left <= 0) break;
  }
  return valueOf(scale, last);
}

/**
 * The window of a preset; null for the file's own curve.
 * @returns {Window | null}
 */
export function presetWindow(name, histogram, scale) {
  const { shares } = PRESETS[name];
  if (!shares) return null;
  // Shares go from dark to bright, and values of an inverted film from bright to dark.
  const [dark, bright] = scale.inverted ? [1 - shares[1], 1 - shares[0]] : shares;
  const low = quantile(histogram, scale, dark), high = quantile(histogram, scale, bright);
  return { centre: (low + high) / 2, width: Math.max(high - low, least(scale)) };
}

/** Whether the file's own display gives nearly all of the film less than half of the grays. */
export function isDull({ scale, histogram }) {
  const gray = curved(scale), low = gray(quantile(histogram, scale, 0.01)), high = gray(quantile(histogram, scale, 0.99));
  return Math.abs(high - low) < 0.5;
}

/** The smallest window: one stored value. */
export const least = (scale) => Math.max((scale.high - scale.low) / (LEVELS - 1), 1e-6);

/**
 * Where the file's own curve rises, as a window.
 * @returns {Window}
 */
export function fileWindow({ curve }) {
  let first = 0, last = curve.length - 1;
  while (first < last - 1 && curve[first + 1][1] === curve[first][1]) first++;
  while (last > first + 1 && curve[last - 1][1] === curve[last][1]) last--;
  const low = curve[first][0], high = curve[last][0];
  return { centre: (low + high) / 2, width: Math.max(high - low, 1e-6) };
}

/**
 * What the screen shows of each level, 0 to 255.
 * @param {Scale} scale
 * @param {Window | null} window  null for the file's own curve.
 * @param {boolean} invert
 */
export function shades(scale, window, invert) {
  const table = new Uint8ClampedArray(LEVELS), gray = window ? straight(scale, window) : curved(scale);
  for (let level = 0; level < LEVELS; level++) {
    const shade = gray(valueOf(scale, level));
    table[level] = 255 * (invert ? 1 - shade : shade);
  }
  if (scale.padding) {
    const [from, to] = scale.padding.map((value) => Math.round(levelOf(scale, value)));
    table.fill(0, Math.max(from, 0), to + 1);
  }
  return table;
}

function straight(scale, { centre, width }) {
  return (value) => {
    const share = Math.min(Math.max((value - centre) / width + 0.5, 0), 1);
    return scale.inverted ? 1 - share : share;
  };
}

/** Values are asked for in rising order. */
function curved({ curve }) {
  let at = 0;
  return (value) => {
    while (at < curve.length - 2 && value > curve[at + 1][0]) at++;
    const [[from, dark], [to, bright]] = [curve[at], curve[Math.min(at + 1, curve.length - 1)]];
    const share = to === from ? 0 : Math.min(Math.max((value - from) / (to - from), 0), 1);
    return dark + share * (bright - dark);
  };
}

/**
 * Draw how often values occur, and the window over them.
 * @param {HTMLCanvasElement} canvas
 * @param {Window} window
 */
export function drawHistogram(canvas, histogram, scale, window) {
  const context = canvas.getContext("2d"), { width, height } = canvas, { counts, low, high } = histogram;
  // As many bins as there are values, if these are few.
  const bins = new Float64Array(Math.min(Math.max(Math.round(high - low) + 1, 2), width)), each = width / bins.length;
  for (let at = Math.round(levelOf(scale, low)); at <= Math.round(levelOf(scale, high)); at++) {
    const share = (valueOf(scale, at) - low) / Math.max(high - low, 1e-9);
    bins[Math.min(Math.floor(share * bins.length), bins.length - 1)] += counts[at];
  }
  const most = Math.log1p(Math.max(...bins)), style = getComputedStyle(canvas);
  context.clearRect(0, 0, width, height);
  context.fillStyle = style.color;
  bins.forEach((count, at) => {
    const tall = (Math.log1p(count) / most) * height;
    context.fillRect(at * each, height - tall, Math.ceil(each), tall);
  });
  context.strokeStyle = style.accentColor;
  context.lineWidth = 2;
  const across = (value) => ((value - low) / Math.max(high - low, 1e-9)) * width;
  const [left, right] = [across(window.centre - window.width / 2), across(window.centre + window.width / 2)];
  context.beginPath();
  const [first, last] = scale.inverted ? [0, height] : [height, 0];
  context.moveTo(left, first);
  context.lineTo(right, last);
  context.stroke();
}
