// One film on a canvas: moved, zoomed, turned, windowed, with heatmap, regions and marks on it.

import { colours } from "./colours.js";
import { AS_STORED, clockwise, edges, hung, isMirrored, mirrored, onFilm, placed, rectangle, turnedSize } from "./geometry.js";
import { Hands } from "./hands.js";
import { cut, drawMark, shift } from "./marks.js";
import { bar, box, scaleBar, wrapped } from "./overlay.js";
import { coarse, drawCoarse, paint, surface } from "./surface.js";
import { fileWindow, isDull, least, presetWindow, shades } from "./tone.js";

/**
 * @typedef {object} Film
 * @property {string} name
 * @property {number} width
 * @property {number} height
 * @property {number} aspect  Height of a pixel over its width.
 * @property {Uint16Array} levels  `scale` says what they stand for.
 * @property {Uint16Array | null} heat  65535 is 1; null if the film was not assessed.
 * @property {import("./tone.js").Scale} scale
 * @property {{counts: Uint32Array, total: number, low: number, high: number}} histogram
 * @property {[number, number] | null} spacing  Millimetres per pixel, down and across.
 * @property {[string, string] | null} directions
 * @property {string} about  What the file says of patient and study.
 */

const LARGEST = 16, LENS = 2.5, STILL = 200;
const START = { preset: null, window: null, invert: false, opacity: 0.45, map: "cividis", threshold: null, boxes: true };

export class View {
  /**
   * @param {HTMLElement} figure  With a canvas, a caption and a line about the film.
   * @param {object} hooks
   * @param {() => void} hooks.changed  Windowing by hand changed the display.
   * @param {() => void} hooks.moved  Another part of the film, or another zoom, is shown.
   * @param {() => void} hooks.marked  A mark was drawn, changed or chosen.
   * @param {(steps: number) => void} hooks.swiped  A finger asks for another film.
   */
  constructor(figure, hooks) {
    this.figure = figure;
    this.canvas = figure.querySelector("canvas");
    this.caption = figure.querySelector("figcaption");
    this.about = figure.querySelector(".about");
    this.hooks = hooks;
    this.tool = "move";
    /** @type {Film | null} */
    this.film = null;
    this.marks = [];
    this.chosen = null;
    this.lens = null;
    this.display = { ...START };
    this.stale = { gray: false, heat: false };
    this.turn = AS_STORED;
    this.hands = new Hands(this);
    new ResizeObserver(() => this.resized()).observe(this.canvas);
  }

  /** @param {Film} film  @param {object[]} regions @param {import("./marks.js").Mark[]} marks */
  show(film, regions, marks) {
    // What is being drawn belongs to the film before.
    if (this.film) this.hands.cancel();
    this.film = film;
    this.regions = regions;
    this.marks = marks;
    this.chosen = null;
    this.turn = hung(film.directions);
    this.display.window = presetWindow(this.preset, film.histogram, film.scale);
    this.gray = surface(film.width, film.height);
    // Heat is smooth: a coarse map, drawn larger, is the same to the eye.
    this.heat = film.heat && coarse(film, film.heat);
    this.coarse = coarse(film, film.levels);
    this.quick = false;
    this.stale = { gray: true, heat: true };
    this.place();
    this.about.textContent = film.about;
    this.canvas.setAttribute("aria-label", `Radiograph ${film.name}`);
  }

  clear() {
    this.hands.forget();
    this.film = null;
    this.about.textContent = "";
    this.canvas.setAttribute("aria-label", "No radiograph");
    this.draw();
  }

  set(changes) {
    Object.assign(this.display, changes);
    if (!this.film) return;
    if ("preset" in changes) this.display.window = presetWindow(this.preset, this.film.histogram, this.film.scale);
    if ("preset" in changes || "window" in changes || "invert" in changes) this.stale.gray = true;
    if ("map" in changes) this.stale.heat = true;
    this.draw();
  }

  /** Window by hand, in stored values. */
  setWindow({ centre, width }) {
    const { low, high } = this.film.histogram, smallest = least(this.film.scale);
    this.quick = true;
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.settle(), STILL);
    this.set({
      window: { centre: Math.min(Math.max(centre, low), high), width: Math.min(Math.max(width, smallest), 2 * (high - low) || smallest) },
    });
  }

  /** What somebody chose; else the file's own display, or auto where that leaves little contrast. */
  get preset() {
    return this.display.preset ?? (this.film && isDull(this.film) ? "auto" : "file");
  }

  /** @returns {import("./tone.js").Window} What is shown, or where the file's own curve rises. */
  get window() {
    return this.display.window ?? fileWindow(this.film.scale);
  }

  reset() {
    this.turn = hung(this.film?.directions ?? null);
    this.set({ ...START });
    this.fit();
  }

  rotate() { this.turned(clockwise(this.turn)); }

  flip() { this.turned(mirrored(this.turn)); }

  turned(turn) {
    this.turn = turn;
    this.fit();
  }

  /** While a hand moves the window, a coarse film follows; now the film itself. */
  settle() {
    if (!this.quick || !this.film) return;
    this.quick = false;
    this.stale.gray = true;
    this.draw();
  }

  /** What changed is painted once a frame, however often a hand moves. */
  paint() {
    if (this.stale.gray) this.paintGray();
    if (this.stale.heat) this.paintHeat();
    this.stale = { gray: false, heat: false };
  }

  paintGray() {
    const table = shades(this.film.scale, this.display.window, this.display.invert);
    const target = this.quick ? this.coarse : { canvas: this.gray, levels: this.film.levels };
    paint(target.canvas, target.levels, (pixels, at, value) => {
      const shown = table[value];
      pixels[at] = 0xff000000 | (shown << 16) | (shown << 8) | shown;
    });
  }

  paintHeat() {
    if (!this.film.heat) return;
    const map = colours(this.display.map), table = new Uint32Array(256);
    for (let heat = 0; heat < 256; heat++) {
      const [red, green, blue] = map.subarray(3 * heat, 3 * heat + 3);
      // No heat hides nothing of the film.
      const opaque = Math.min(255, 2 * heat);
      table[heat] = ((opaque << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    }
    paint(this.heat.canvas, this.heat.levels, (pixels, at, value) => { pixels[at] = table[value >> 8]; });
  }

  resized() {
    const scale = devicePixelRatio || 1, box = this.canvas.getBoundingClientRect();
    const width = Math.round(box.width * scale), height = Math.round(box.height * scale);
    if (!width || !height || (width === this.canvas.width && height === this.canvas.height)) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.fit();
  }

  fit() {
    if (!this.film) return;
    this.place();
    this.hooks.moved();
  }

  /** As fit, but nobody is told. */
  place() {
    const { width, height } = this.canvas, [wide, tall] = turnedSize(this.turn, this.film);
    this.zoom = Math.min(width / wide, height / tall);
    this.fitted = this.zoom;
    this.x = (width - this.zoom * wide) / 2;
    this.y = (height - this.zoom * tall) / 2;
    this.draw();
  }

  /** zoom: screen pixels per film pixel, about a place of the canvas; its middle if not given. */
  zoomTo(zoom, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    if (!this.film) return;
    const next = Math.min(Math.max(zoom, this.fitted / 2), LARGEST), ratio = next / this.zoom;
    this.x = x - (x - this.x) * ratio;
    this.y = y - (y - this.y) * ratio;
    this.zoom = next;
    this.draw();
    this.hooks.moved();
  }

  move(x, y) {
    if (!this.film) return;
    const margin = 40, { width, height } = this.canvas, [wide, tall] = turnedSize(this.turn, this.film);
    this.x = Math.min(Math.max(this.x + x, margin - this.zoom * wide), width - margin);
    this.y = Math.min(Math.max(this.y + y, margin - this.zoom * tall), height - margin);
    this.draw();
    this.hooks.moved();
  }

  /** Show what another view shows: the same place of the film, at the same height of the whole film. */
  follow(other) {
    if (!this.film || !other.film) return;
    const { width, height } = this.canvas;
    const [wide, tall] = turnedSize(this.turn, this.film), [otherWide, otherTall] = turnedSize(other.turn, other.film);
    const across = (other.canvas.width / 2 - other.x) / other.zoom / otherWide;
    const down = (other.canvas.height / 2 - other.y) / other.zoom / otherTall;
    this.zoom = (other.zoom * otherTall) / tall;
    this.x = width / 2 - across * this.zoom * wide;
    this.y = height / 2 - down * this.zoom * tall;
    this.draw();
  }

  /** @returns {import("./geometry.js").Place} */
  get placing() {
    return placed(this.turn, this.film, this.zoom, this.x, this.y);
  }

  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      const context = this.canvas.getContext("2d"), line = devicePixelRatio || 1;
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, this.canvas.width, this.canvas.height);
      this.caption.textContent = "";
      if (!this.film) return;
      this.compose(context, this.placing, line);
      this.sides(context, this.placing, this.canvas, line);
      if (this.film.heat && this.display.opacity > 0) bar(context, this.display.map, this.canvas, line);
      if (this.lens) this.magnify(context, line);
      const size = `${this.film.width} × ${this.film.height}`, zoom = `${Math.round(100 * this.zoom)} %`;
      this.caption.textContent = [this.film.name, size, zoom, ...this.lie()].join(" · ");
    });
  }

  /** What must be known about left and right. @returns {string[]} */
  lie() {
    const { directions } = this.film;
    return [...(isMirrored(this.turn, directions) ? ["mirrored"] : []), ...(directions ? [] : ["R and L not in the file"])];
  }

  /** Film, heatmap, regions and marks; a line is `line` screen pixels wide. */
  compose(context, place, line) {
    this.paint();
    const zoom = Math.hypot(place[0], place[1]);
    context.setTransform(...place);
    context.imageSmoothingEnabled = zoom < 2;
    context.imageSmoothingQuality = "high";
    if (this.quick) drawCoarse(context, this.coarse);
    else context.drawImage(this.gray, 0, 0);
    if (this.film.heat && this.display.opacity > 0) {
      context.globalAlpha = this.display.opacity;
      drawCoarse(context, this.heat);
      context.globalAlpha = 1;
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (this.display.boxes) this.regions.forEach((region, index) => box(context, region, index, place, line));
    for (const mark of this.marks) drawMark(context, mark, this.film, place, line, mark === this.chosen);
  }

  /** R and L of the patient at the film's edges on a canvas of a size, as the file's tags say. */
  sides(context, place, { width, height }, line) {
    if (!this.film.directions) return;
    const names = edges(this.turn, this.film.directions);
    const film = rectangle(place, { x: 0, y: 0, width: this.film.width, height: this.film.height });
    const size = 22 * line, within = (value, most) => Math.min(Math.max(value, size), most - size);
    context.font = `700 ${size}px sans-serif`;
    context.textAlign = "center";
    context.lineWidth = 4 * line;
    context.strokeStyle = "#000";
    context.fillStyle = "#fff";
    const middle = within(film.y + film.height / 2, height), top = within(film.y + 1.5 * size, height);
    for (const [name, x, y] of [
      [names.left, within(film.x + size, width), middle],
      [names.right, within(film.x + film.width - size, width), middle],
      [names.top, within(film.x + film.width / 2, width), top],
    ]) {
      if (y === top && name === "H") continue;
      context.strokeText(name, x, y);
      context.fillText(name, x, y);
    }
  }

  magnify(context, line) {
    const { x, y } = this.lens, radius = 120 * line, [a, b, c, d, e, f] = this.placing;
    context.save();
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.clip();
    context.fillStyle = "#000";
    context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    this.compose(context, [LENS * a, LENS * b, LENS * c, LENS * d, x + LENS * (e - x), y + LENS * (f - y)], line);
    context.restore();
    context.strokeStyle = "#fff";
    context.lineWidth = 2 * line;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }

  /** The magnifier on, in the middle until the pointer moves; or off. */
  magnifier() {
    this.lens = this.lens ? null : { x: this.canvas.width / 2, y: this.canvas.height / 2 };
    this.draw();
    return Boolean(this.lens);
  }

  /**
   * The film as it is shown, about as large as it is, with lines of text below it.
   * @param {string[]} lines
   * @returns {HTMLCanvasElement}
   */
  picture(lines) {
    this.settle();
    const [wide, tall] = turnedSize(this.turn, this.film), size = Math.max(11, Math.round(wide / 70));
    const canvas = surface(Math.round(wide), Math.round(tall)), context = canvas.getContext("2d");
    const place = placed(this.turn, this.film, 1, 0, 0), line = Math.max(size / 12, 1);
    const lie = this.lie().join(", "), about = lie ? [`${lie[0].toUpperCase()}${lie.slice(1)}.`] : [];
    const rows = wrapped(context, [...about, ...lines], size, wide - size), heat = this.film.heat && this.display.opacity > 0;
    canvas.height = Math.round(tall) + Math.ceil((rows.length + 0.6 + (heat ? 2.4 : 0)) * 1.4 * size);
    this.compose(context, place, line);
    this.sides(context, place, { width: wide, height: tall }, line);
    context.fillStyle = "#000";
    context.fillRect(0, Math.round(tall), canvas.width, canvas.height);
    context.fillStyle = "#fff";
    context.font = `${size}px sans-serif`;
    context.textAlign = "left";
    rows.forEach((row, index) => context.fillText(row, size / 2, tall + (index + 1) * 1.4 * size));
    if (heat) scaleBar(context, this.display.map, size, canvas.height - 2.6 * size, Math.min(wide - 2 * size, 20 * size), size);
    return canvas;
  }

  // ---- marks

  /** A mark in the middle of what is shown, for those who draw without a pointer. */
  addMark(kind) {
    if (!this.film) return;
    const { width, height } = this.canvas, place = this.placing;
    const one = onFilm(place, 0.4 * width, 0.4 * height), other = onFilm(place, 0.6 * width, kind === "ruler" ? 0.4 * height : 0.6 * height);
    const mark = { kind, x0: one.x, y0: one.y, x1: other.x, y1: other.y };
    // Where the film was moved out of the middle, there is nothing to mark.
    if (!cut(mark, this.film)) return;
    this.marks.push(mark);
    this.chosen = mark;
    this.draw();
    this.hooks.marked();
  }

  choose(mark) {
    this.chosen = mark;
    this.draw();
  }

  /** Move the chosen mark, or its second corner, by screen pixels. */
  nudge(x, y, resize) {
    const { chosen } = this, place = this.placing, from = onFilm(place, 0, 0), to = onFilm(place, x, y);
    const across = to.x - from.x, down = to.y - from.y;
    if (!resize) shift(chosen, across, down, this.film);
    else {
      chosen.x1 += across;
      chosen.y1 += down;
    }
    if (!cut(chosen, this.film)) {
      this.removeMark(chosen);
      return;
    }
    this.draw();
    this.hooks.marked();
  }

  removeMark(mark) {
    const at = this.marks.indexOf(mark);
    if (at >= 0) this.marks.splice(at, 1);
    if (this.chosen === mark) this.chosen = null;
    this.draw();
    this.hooks.marked();
  }

  windowBy(x, y) {
    const { centre, width } = this.window, { canvas } = this, { low, high } = this.film.histogram;
    const side = this.film.scale.inverted ? -1 : 1;
    this.setWindow({
      width: width + (x / canvas.width) * (high - low),
      centre: centre - side * (y / canvas.height) * (high - low),
    });
    this.hooks.changed();
  }
}
