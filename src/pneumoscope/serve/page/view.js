// One film on a canvas: moved, zoomed, turned, windowed, with heatmap, regions and marks on it.

import { colours } from "./colours.js";
import { AS_STORED, clockwise, edges, hung, mirrored, onFilm, placed, rectangle, turnedSize } from "./geometry.js";
import { boxOf, corner, drawMark, label } from "./marks.js";
import { fileWindow, least, presetWindow, shades } from "./tone.js";

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

const LARGEST = 16, LENS = 2.5, SHORTEST = 3;
const START = { preset: "file", window: null, invert: false, opacity: 0.45, map: "cividis", threshold: null, boxes: true };

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
    this.turn = AS_STORED;
    this.pointers = new Map();
    this.listen();
    new ResizeObserver(() => this.resized()).observe(this.canvas);
  }

  /** @param {Film} film  @param {object[]} regions @param {import("./marks.js").Mark[]} marks */
  show(film, regions, marks) {
    this.film = film;
    this.regions = regions;
    this.marks = marks;
    this.chosen = null;
    this.turn = hung(film.directions);
    this.display.window = presetWindow(this.display.preset, film.histogram, film.scale);
    this.gray = surface(film.width, film.height);
    this.heat = surface(film.width, film.height);
    this.paintGray();
    this.paintHeat();
    this.place();
    this.about.textContent = film.about;
    this.canvas.setAttribute("aria-label", `Film ${film.name}`);
  }

  clear() {
    this.film = null;
    this.about.textContent = "";
    this.canvas.setAttribute("aria-label", "No film");
    this.draw();
  }

  set(changes) {
    Object.assign(this.display, changes);
    if (!this.film) return;
    if ("preset" in changes) this.display.window = presetWindow(changes.preset, this.film.histogram, this.film.scale);
    if ("preset" in changes || "window" in changes || "invert" in changes) this.paintGray();
    if ("map" in changes) this.paintHeat();
    this.draw();
  }

  /** Window by hand, in stored values. */
  setWindow({ centre, width }) {
    const { low, high } = this.film.histogram, smallest = least(this.film.scale);
    this.set({
      window: { centre: Math.min(Math.max(centre, low), high), width: Math.min(Math.max(width, smallest), 2 * (high - low) || smallest) },
    });
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

  paintGray() {
    const table = shades(this.film.scale, this.display.window, this.display.invert);
    paint(this.gray, this.film.levels, (pixels, at, value) => {
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
    paint(this.heat, this.film.heat, (pixels, at, value) => { pixels[at] = table[value >> 8]; });
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
      this.sides(context, line);
      if (this.film.heat && this.display.opacity > 0) bar(context, this.display.map, this.canvas, line);
      if (this.lens) this.magnify(context, line);
      const sides = this.film.directions ? "" : " · R and L not in the file";
      const size = `${this.film.width} × ${this.film.height}`;
      this.caption.textContent = `${this.film.name} · ${size} · ${Math.round(100 * this.zoom)} %${sides}`;
    });
  }

  /** Film, heatmap, regions and marks; a line is `line` screen pixels wide. */
  compose(context, place, line, marks = true) {
    const zoom = Math.hypot(place[0], place[1]);
    context.setTransform(...place);
    context.imageSmoothingEnabled = zoom < 2;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.gray, 0, 0);
    if (this.film.heat) {
      context.globalAlpha = this.display.opacity;
      context.drawImage(this.heat, 0, 0);
      context.globalAlpha = 1;
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (this.display.boxes) this.regions.forEach((region, index) => box(context, region, index, place, line));
    if (marks) for (const mark of this.marks) drawMark(context, mark, this.film, place, line, mark === this.chosen);
  }

  /** R and L of the patient at the film's edges, as the file's tags say. */
  sides(context, line) {
    if (!this.film.directions) return;
    const { width, height } = this.canvas, names = edges(this.turn, this.film.directions);
    const film = rectangle(this.placing, { x: 0, y: 0, width: this.film.width, height: this.film.height });
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
    const [wide, tall] = turnedSize(this.turn, this.film), size = Math.max(11, Math.round(wide / 70));
    const canvas = surface(Math.round(wide), Math.round(tall)), context = canvas.getContext("2d");
    const rows = wrapped(context, lines, size, wide - size), heat = this.film.heat && this.display.opacity > 0;
    canvas.height = Math.round(tall) + Math.ceil((rows.length + 0.6 + (heat ? 2.4 : 0)) * 1.4 * size);
    this.compose(context, placed(this.turn, this.film, 1, 0, 0), Math.max(size / 12, 1));
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
    this.keep({ kind, x0: one.x, y0: one.y, x1: other.x, y1: other.y });
  }

  keep(mark) {
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
    for (const name of resize ? ["1"] : ["0", "1"]) {
      chosen[`x${name}`] += to.x - from.x;
      chosen[`y${name}`] += to.y - from.y;
    }
    this.draw();
    this.hooks.marked();
  }

  removeMark(mark) {
    this.marks.splice(this.marks.indexOf(mark), 1);
    if (this.chosen === mark) this.chosen = null;
    this.draw();
    this.hooks.marked();
  }

  // ---- hands

  listen() {
    const { canvas } = this, place = (event) => {
      const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
      return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, place(event));
      if (this.pointers.size > 1) this.cancel();
      else if (this.film) this.begin(event, place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId), now = place(event);
      if (this.lens) {
        this.lens = now;
        this.draw();
      }
      if (!before || !this.film) return;
      if (this.pointers.size === 2) this.pinch(event.pointerId, before, now);
      else this.drag(before, now);
      this.pointers.set(event.pointerId, now);
    });
    canvas.addEventListener("pointerup", (event) => {
      this.pointers.delete(event.pointerId);
      this.end(event, place(event));
    });
    canvas.addEventListener("pointercancel", (event) => {
      this.pointers.delete(event.pointerId);
      this.cancel();
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const { x, y } = place(event);
      this.zoomTo(this.zoom * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), x, y);
    }, { passive: false });
    canvas.addEventListener("dblclick", () => this.fit());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  begin(event, point) {
    const windowing = this.tool === "window" || event.button === 2 || event.shiftKey;
    this.started = { ...point, time: event.timeStamp, fitted: this.zoom <= 1.01 * this.fitted };
    this.doing = windowing ? "window" : "move";
    if (windowing) return;
    const reach = (event.pointerType === "touch" ? 22 : 9) * (devicePixelRatio || 1);
    const held = corner(this.marks, this.placing, point.x, point.y, reach), { x, y } = onFilm(this.placing, point.x, point.y);
    if (held) {
      this.doing = "corner";
      this.held = held;
      this.choose(held.mark);
    } else if (this.tool !== "move") {
      this.doing = "mark";
      this.held = { mark: { kind: this.tool, x0: x, y0: y, x1: x, y1: y }, across: "x1", down: "y1" };
      this.marks.push(this.held.mark);
      this.choose(this.held.mark);
    }
  }

  drag(before, now) {
    const x = now.x - before.x, y = now.y - before.y;
    if (this.doing === "move") this.move(x, y);
    else if (this.doing === "window") this.windowBy(x, y);
    else if (this.held) {
      const point = onFilm(this.placing, now.x, now.y), { mark, across, down } = this.held;
      mark[across] = point.x;
      mark[down] = point.y;
      this.draw();
    }
  }

  end(event, point) {
    const { started, held, doing } = this;
    this.held = this.doing = this.started = null;
    if (held) {
      const { mark } = held, place = this.placing, shown = rectangle(place, boxOf(mark, this.film));
      const tiny = Math.hypot(shown.width, shown.height) < SHORTEST * 2 || (doing === "mark" && Math.hypot(point.x - started.x, point.y - started.y) < SHORTEST);
      if (tiny) this.removeMark(mark);
      else this.hooks.marked();
      return;
    }
    if (doing !== "move" || event.pointerType !== "touch" || !started?.fitted) return;
    const scale = devicePixelRatio || 1, x = (point.x - started.x) / scale, y = (point.y - started.y) / scale;
    if (Math.abs(x) < 70 || Math.abs(x) < 2 * Math.abs(y) || event.timeStamp - started.time > 700) return;
    this.fit();
    this.hooks.swiped(x < 0 ? 1 : -1);
  }

  /** A second finger, or the system, ends what a first one began. */
  cancel() {
    if (this.doing === "mark") this.removeMark(this.held.mark);
    this.held = this.doing = this.started = null;
  }

  pinch(moved, before, now) {
    const [, fixed] = [...this.pointers].find(([id]) => id !== moved);
    const apart = (point) => Math.hypot(point.x - fixed.x, point.y - fixed.y) || 1;
    this.zoomTo(this.zoom * apart(now) / apart(before), (now.x + fixed.x) / 2, (now.y + fixed.y) / 2);
    this.move((now.x - before.x) / 2, (now.y - before.y) / 2);
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

function box(context, region, index, place, line) {
  const { x, y, width, height } = rectangle(place, region);
  for (const [style, wide] of [["#000a", 4], ["#fff", 2]]) {
    context.strokeStyle = style;
    context.lineWidth = wide * line;
    context.strokeRect(x, y, width, height);
  }
  label(context, `${index + 1}: heat ${region.score.toFixed(2)}`, x, Math.max(y - 18.2 * line, 0), line);
}

/** The colours of heat from 0 to 1 at the right edge of a canvas. */
function bar(context, map, canvas, line) {
  const table = colours(map), tall = Math.min(160 * line, 0.4 * canvas.height), wide = 10 * line;
  const x = canvas.width - wide - 8 * line, y = canvas.height - tall - 34 * line;
  for (let at = 0; at < 256; at++) {
    context.fillStyle = `rgb(${table.subarray(3 * at, 3 * at + 3).join(" ")})`;
    context.fillRect(x, y + ((255 - at) * tall) / 256, wide, tall / 256 + 1);
  }
  context.font = `${11 * line}px sans-serif`;
  context.textAlign = "right";
  context.lineWidth = 3 * line;
  context.strokeStyle = "#000";
  context.fillStyle = "#fff";
  for (const [heat, words] of [[0, "0"], [0.5, ".5"], [1, "heat 1"]]) {
    const at = y + (1 - heat) * tall + 4 * line;
    context.strokeText(words, x - 4 * line, at);
    context.fillText(words, x - 4 * line, at);
  }
}

/** The same, lying. */
function scaleBar(context, map, x, y, width, size) {
  const table = colours(map);
  for (let at = 0; at < 256; at++) {
    context.fillStyle = `rgb(${table.subarray(3 * at, 3 * at + 3).join(" ")})`;
    context.fillRect(x + (at * width) / 256, y, width / 256 + 1, 0.8 * size);
  }
  context.fillStyle = "#fff";
  context.font = `${0.9 * size}px sans-serif`;
  for (const [heat, words, side] of [[0, "heat 0", "left"], [0.5, ".5", "center"], [1, "1", "right"]]) {
    context.textAlign = side;
    context.fillText(words, x + heat * width, y + 2 * size);
  }
}

/** Lines cut between words to a width. */
function wrapped(context, lines, size, width) {
  context.font = `${size}px sans-serif`;
  const rows = [];
  for (const line of lines) {
    let row = "";
    for (const word of line.split(" ")) {
      const longer = row ? `${row} ${word}` : word;
      if (row && context.measureText(longer).width > width) {
        rows.push(row);
        row = word;
      } else row = longer;
    }
    rows.push(row);
  }
  return rows;
}

function surface(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

function paint(canvas, values, put) {
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let at = 0; at < pixels.length; at++) put(pixels, at, values[at]);
  context.putImageData(image, 0, 0);
}
