// What a person draws on a film: rulers, areas, boxes; in film pixels.

import { onScreen, rectangle } from "./geometry.js";

/**
 * @typedef {{kind: "ruler" | "area" | "box", x0: number, y0: number, x1: number, y1: number}} Mark
 */

const COLOURS = { ruler: "#ffe14d", area: "#ffe14d", box: "#4de1ff" };
export const NAMES = { ruler: "Ruler", area: "Area", box: "Box" };

/** A box in whole pixels within the film. @param {Mark} mark */
export function boxOf({ x0, y0, x1, y1 }, { width, height }) {
  const clamped = (value, most) => Math.min(Math.max(Math.round(value), 0), most);
  const left = clamped(Math.min(x0, x1), width - 1), top = clamped(Math.min(y0, y1), height - 1);
  return {
    x: left, y: top,
    width: Math.max(clamped(Math.max(x0, x1), width) - left, 1),
    height: Math.max(clamped(Math.max(y0, y1), height) - top, 1),
  };
}

/** Cut a box at the film's edges; false if nothing of it is left. Other marks may reach beyond them. @param {Mark} mark */
export function cut(mark, { width, height }) {
  if (mark.kind !== "box") return true;
  for (const [names, most] of [[["x0", "x1"], width], [["y0", "y1"], height]]) {
    for (const name of names) mark[name] = Math.min(Math.max(mark[name], 0), most);
  }
  return mark.x0 !== mark.x1 && mark.y0 !== mark.y1;
}

/** Move a mark by film pixels; a box stays within the film at its size. @param {Mark} mark */
export function shift(mark, x, y, { width, height }) {
  for (const [names, by, most] of [[["x0", "x1"], x, width], [["y0", "y1"], y, height]]) {
    const ends = names.map((name) => mark[name]), low = -Math.min(...ends), high = most - Math.max(...ends);
    for (const name of names) mark[name] += mark.kind === "box" ? Math.min(Math.max(by, low), high) : by;
  }
}

/** @returns {Mark} */
export const markOf = ({ x, y, width, height }) => ({ kind: "box", x0: x, y0: y, x1: x + width, y1: y + height });

/**
 * What a mark measures, in millimetres where the file tells the spacing.
 * @param {Mark} mark
 */
export function measured(mark, film) {
  const [tall, wide] = film.spacing ?? [film.aspect, 1], unit = film.spacing ? "mm" : "px";
  if (mark.kind === "box") {
    // As it is kept and exported.
    const { width, height } = boxOf(mark, film);
    return `${(width * wide).toFixed(0)} × ${(height * tall).toFixed(0)} ${unit}`;
  }
  const across = Math.abs(mark.x1 - mark.x0) * wide, down = Math.abs(mark.y1 - mark.y0) * tall;
  if (mark.kind === "ruler") return `${Math.hypot(across, down).toFixed(1)} ${unit}`;
  const { mean, deviation } = statistics(mark, film);
  return `${((Math.PI / 4) * across * down).toFixed(0)} ${unit}², mean ${mean.toFixed(0)}, SD ${deviation.toFixed(0)}`;
}

/** Mean and standard deviation of the stored values in an ellipse. */
function statistics(mark, { width, height, levels, scale }) {
  const x = (mark.x0 + mark.x1) / 2, y = (mark.y0 + mark.y1) / 2;
  const wide = Math.abs(mark.x1 - mark.x0) / 2 || 0.5, tall = Math.abs(mark.y1 - mark.y0) / 2 || 0.5;
  let count = 0, sum = 0, squares = 0;
  for (let row = Math.max(Math.floor(y - tall), 0); row < Math.min(y + tall, height); row++) {
    const part = 1 - ((row + 0.5 - y) / tall) ** 2;
    if (part < 0) continue;
    const half = wide * Math.sqrt(part);
    for (let column = Math.max(Math.ceil(x - half - 0.5), 0); column <= Math.min(x + half - 0.5, width - 1); column++) {
      const value = levels[row * width + column];
      count++;
      sum += value;
      squares += value * value;
    }
  }
  const mean = count ? sum / count : 0, step = (scale.high - scale.low) / 65535;
  const variance = count ? Math.max(squares / count - mean * mean, 0) : 0;
  return { mean: scale.low + mean * step, deviation: Math.sqrt(variance) * step };
}

/** The corner of a mark at a place of the screen: the names of its coordinates. */
export function corner(marks, place, x, y, reach) {
  for (const mark of [...marks].reverse()) {
    const pairs = mark.kind === "ruler" ? [["x0", "y0"], ["x1", "y1"]] : [["x0", "y0"], ["x0", "y1"], ["x1", "y0"], ["x1", "y1"]];
    for (const [across, down] of pairs) {
      const point = onScreen(place, mark[across], mark[down]);
      if (Math.hypot(point.x - x, point.y - y) <= reach) return { mark, across, down };
    }
  }
  return null;
}

/**
 * @param {CanvasRenderingContext2D} context  In screen pixels.
 * @param {number} line  Width of a line in screen pixels.
 */
export function drawMark(context, mark, film, place, line, chosen) {
  const colour = COLOURS[mark.kind], area = rectangle(place, boxLike(mark));
  context.beginPath();
  if (mark.kind === "ruler") {
    const one = onScreen(place, mark.x0, mark.y0), other = onScreen(place, mark.x1, mark.y1);
    context.moveTo(one.x, one.y);
    context.lineTo(other.x, other.y);
  } else if (mark.kind === "area") {
    context.ellipse(area.x + area.width / 2, area.y + area.height / 2, area.width / 2, area.height / 2, 0, 0, 2 * Math.PI);
  } else {
    context.rect(area.x, area.y, area.width, area.height);
  }
  for (const [style, width] of [["#000a", 4], [colour, chosen ? 3 : 2]]) {
    context.setLineDash(mark.kind === "box" ? [6 * line, 4 * line] : []);
    context.strokeStyle = style;
    context.lineWidth = width * line;
    context.stroke();
  }
  context.setLineDash([]);
  const words = mark.kind === "box" ? "reader" : measured(mark, film);
  label(context, words, area.x, area.y + area.height, line, colour);
}

const boxLike = ({ x0, y0, x1, y1 }) => ({ x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0) });

/** Words on black, their top left at a place. */
export function label(context, words, x, y, line, colour = "#fff") {
  const size = 13 * line;
  context.font = `600 ${size}px sans-serif`;
  context.fillStyle = "#000c";
  context.fillRect(x, y, context.measureText(words).width + size, 1.4 * size);
  context.fillStyle = colour;
  context.textAlign = "left";
  context.fillText(words, x + size / 2, y + 1.05 * size);
}
