// How a film lies on the screen: turned by quarters, mirrored, with its own pixel shape.

/**
 * @typedef {[number, number, number, number]} Turn  x' = a x + b y, y' = c x + d y; entries -1, 0, 1.
 * @typedef {[number, number, number, number, number, number]} Place  As a canvas takes it.
 * @typedef {{x: number, y: number}} Point
 */

/** @type {Turn} */
export const AS_STORED = [1, 0, 0, 1];
const OPPOSITE = { L: "R", R: "L", H: "F", F: "H", A: "P", P: "A" };

/** One turn after another: first `turn`, then `next`. @type {(turn: Turn, next: Turn) => Turn} */
export const after = ([a, b, c, d], [e, f, g, h]) => [e * a + f * c, e * b + f * d, g * a + h * c, g * b + h * d];

export const clockwise = (turn) => after(turn, [0, -1, 1, 0]);
export const mirrored = (turn) => after(turn, [-1, 0, 0, 1]);

/**
 * The usual hanging: head up, the patient's right on the left.
 * @param {[string, string] | null} directions  Where rows and columns run to in the patient.
 * @returns {Turn}
 */
export function hung(directions) {
  const [row, column] = directions ?? ["L", "F"];
  const lying = "HF".includes(row), turn = lying ? [0, 1, 1, 0] : AS_STORED;
  const [across, down] = lying ? [column, row] : [row, column];
  return after(turn, [across === "R" ? -1 : 1, 0, 0, down === "H" ? -1 : 1]);
}

/** Whether a film is shown as in a mirror, against its usual hanging. @type {(turn: Turn, directions: [string, string] | null) => boolean} */
export const isMirrored = ([a, b, c, d], directions) => {
  const [e, f, g, h] = hung(directions);
  return a * d - b * c !== e * h - f * g;
};

/**
 * What of the patient lies at each edge of the turned film.
 * @param {Turn} turn
 * @param {[string, string]} directions
 */
export function edges([a, b, c, d], [row, column]) {
  const towards = (alongRow, alongColumn) => {
    const [name, sign] = alongRow ? [row, alongRow] : [column, alongColumn];
    return sign > 0 ? name : OPPOSITE[name];
  };
  const right = towards(a, b), bottom = towards(c, d);
  return { right, left: OPPOSITE[right], bottom, top: OPPOSITE[bottom] };
}

/**
 * Size of a turned film, in units of its pixels' width.
 * @param {Turn} turn
 * @param {{width: number, height: number, aspect: number}} film
 */
export function turnedSize([a], { width, height, aspect }) {
  return a ? [width, height * aspect] : [height * aspect, width];
}

/**
 * From film pixels to the screen.
 * @param {Turn} turn
 * @param {{width: number, height: number, aspect: number}} film
 * @returns {Place}
 */
export function placed(turn, film, zoom, x, y) {
  const [a, b, c, d] = turn, { width, height, aspect } = film, tall = height * aspect;
  // What is turned to negative places is moved back.
  const left = -Math.min(0, a * width, b * tall), top = -Math.min(0, c * width, d * tall);
  return [zoom * a, zoom * c, zoom * b * aspect, zoom * d * aspect, x + zoom * left, y + zoom * top];
}

/** @type {(place: Place, x: number, y: number) => Point} */
export const onScreen = ([a, b, c, d, e, f], x, y) => ({ x: a * x + c * y + e, y: b * x + d * y + f });

/** @type {(place: Place, x: number, y: number) => Point} */
export function onFilm([a, b, c, d, e, f], x, y) {
  const area = a * d - b * c;
  return { x: (d * (x - e) - c * (y - f)) / area, y: (a * (y - f) - b * (x - e)) / area };
}

/** A rectangle of film pixels on the screen. */
export function rectangle(place, { x, y, width, height }) {
  const one = onScreen(place, x, y), other = onScreen(place, x + width, y + height);
  return {
    x: Math.min(one.x, other.x), y: Math.min(one.y, other.y),
    width: Math.abs(other.x - one.x), height: Math.abs(other.y - one.y),
  };
}
