// One film on a canvas: moved, zoomed, windowed, with its heatmap and regions on it.

import { colours } from "./colours.js";

const LARGEST = 16;
const START = { level: 0.5, width: 1, invert: false, opacity: 0.45, map: "cividis", threshold: null, boxes: true };

export class View {
  /**
   * figure: with a canvas and a caption. changed: called when windowing by hand changes the display.
   * moved: called when another part of its film, or another zoom, is shown.
   */
  constructor(figure, changed, moved) {
    this.figure = figure;
    this.canvas = figure.querySelector("canvas");
    this.caption = figure.querySelector("figcaption");
    this.changed = changed;
    this.moved = moved;
    this.windowing = false;
    this.film = null;
    this.display = { ...START };
    this.pointers = new Map();
    this.listen();
    new ResizeObserver(() => this.resized()).observe(this.canvas);
  }

  /** film: {name, width, height, gray, heat}, gray and heat Uint16Array; regions as of findRegions. */
  show(film, regions) {
    this.film = film;
    this.regions = regions;
    this.gray = surface(film.width, film.height);
    this.heat = surface(film.width, film.height);
    this.paintGray();
    this.paintHeat();
    this.place();
    this.canvas.setAttribute("aria-label", `Film ${film.name}`);
  }

  clear() {
    this.film = null;
    this.canvas.setAttribute("aria-label", "No film");
    this.draw();
  }

  set(changes) {
    Object.assign(this.display, changes);
    if (!this.film) return;
    if ("level" in changes || "width" in changes || "invert" in changes) this.paintGray();
    if ("map" in changes) this.paintHeat();
    this.draw();
  }

  reset() {
    this.set(START);
    this.fit();
  }

  paintGray() {
    const { level, width, invert } = this.display, table = new Uint8Array(65536);
    const low = (level - width / 2) * 65535, span = width * 65535;
    for (let value = 0; value < 65536; value++) {
      const shown = Math.min(Math.max((value - low) / span, 0), 1) * 255;
      table[value] = invert ? 255 - shown : shown;
    }
    paint(this.gray, this.film.gray, (pixels, at, value) => {
      const shown = table[value];
      pixels[at] = 0xff000000 | (shown << 16) | (shown << 8) | shown;
    });
  }

  paintHeat() {
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
    this.moved();
  }

  /** As fit, but nobody is told. */
  place() {
    const { width, height } = this.canvas;
    this.zoom = Math.min(width / this.film.width, height / this.film.height);
    this.fitted = this.zoom;
    this.x = (width - this.zoom * this.film.width) / 2;
    this.y = (height - this.zoom * this.film.height) / 2;
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
    this.moved();
  }

  move(x, y) {
    if (!this.film) return;
    const margin = 40, { width, height } = this.canvas;
    this.x = Math.min(Math.max(this.x + x, margin - this.zoom * this.film.width), width - margin);
    this.y = Math.min(Math.max(this.y + y, margin - this.zoom * this.film.height), height - margin);
    this.draw();
    this.moved();
  }

  /** Show what another view shows: the same place of the film, at the same height of the whole film. */
  follow(other) {
    if (!this.film || !other.film) return;
    const { width, height } = this.canvas;
    const across = (other.canvas.width / 2 - other.x) / other.zoom / other.film.width;
    const down = (other.canvas.height / 2 - other.y) / other.zoom / other.film.height;
    this.zoom = other.zoom * other.film.height / this.film.height;
    this.x = width / 2 - across * this.zoom * this.film.width;
    this.y = height / 2 - down * this.zoom * this.film.height;
    this.draw();
  }

  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      const context = this.canvas.getContext("2d");
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, this.canvas.width, this.canvas.height);
      this.caption.textContent = "";
      if (!this.film) return;
      context.setTransform(this.zoom, 0, 0, this.zoom, this.x, this.y);
      this.compose(context, this.zoom, devicePixelRatio || 1);
      this.caption.textContent = `${this.film.name} · ${this.film.width} × ${this.film.height} · ${Math.round(100 * this.zoom)} %`;
    });
  }

  /** Film, heatmap and regions in film pixels; lines are `line` screen pixels wide times two. */
  compose(context, zoom, line) {
    context.imageSmoothingEnabled = zoom < 2;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.gray, 0, 0);
    context.globalAlpha = this.display.opacity;
    context.drawImage(this.heat, 0, 0);
    context.globalAlpha = 1;
    if (this.display.boxes) this.regions.forEach((region, index) => box(context, region, index, zoom, line));
  }

  /** The film at its own resolution as it is shown, with the notice on it: a canvas. */
  picture(notice) {
    const canvas = surface(this.film.width, this.film.height), context = canvas.getContext("2d");
    const size = Math.max(12, Math.round(this.film.width / 60));
    this.compose(context, 1, size / 12);
    context.font = `${size}px sans-serif`;
    context.fillStyle = "#000c";
    context.fillRect(0, this.film.height - 2 * size, this.film.width, 2 * size);
    context.fillStyle = "#ffcf66";
    context.fillText(notice, size / 2, this.film.height - 0.65 * size);
    if (this.display.opacity > 0) bar(context, this.display.map, this.film, size);
    return canvas;
  }

  listen() {
    const { canvas } = this, place = (event) => {
      const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
      return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, place(event));
      this.byHand = this.windowing || event.button === 2 || event.shiftKey;
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId);
      if (!before || !this.film) return;
      const now = place(event);
      if (this.pointers.size === 2) this.pinch(event.pointerId, before, now);
      else if (this.byHand) this.window(now.x - before.x, now.y - before.y);
      else this.move(now.x - before.x, now.y - before.y);
      this.pointers.set(event.pointerId, now);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(kind, (event) => this.pointers.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const { x, y } = place(event);
      this.zoomTo(this.zoom * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), x, y);
    }, { passive: false });
    canvas.addEventListener("dblclick", () => this.fit());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  pinch(moved, before, now) {
    const [, fixed] = [...this.pointers].find(([id]) => id !== moved);
    const apart = (point) => Math.hypot(point.x - fixed.x, point.y - fixed.y) || 1;
    this.zoomTo(this.zoom * apart(now) / apart(before), (now.x + fixed.x) / 2, (now.y + fixed.y) / 2);
    this.move((now.x - before.x) / 2, (now.y - before.y) / 2);
  }

  window(x, y) {
    const { level, width } = this.display, { canvas } = this;
    this.set({
      width: Math.min(Math.max(width + x / canvas.width, 0.01), 1),
      level: Math.min(Math.max(level - y / canvas.height, 0), 1),
    });
    this.changed();
  }
}

function box(context, region, index, zoom, line) {
  const text = `${index + 1}: ${region.score.toFixed(2)}`, size = 13 * line / zoom;
  context.lineWidth = 4 * line / zoom;
  context.strokeStyle = "#000a";
  context.strokeRect(region.x, region.y, region.width, region.height);
  context.lineWidth = 2 * line / zoom;
  context.strokeStyle = "#fff";
  context.strokeRect(region.x, region.y, region.width, region.height);
  context.font = `600 ${size}px sans-serif`;
  const top = Math.max(region.y - 1.4 * size, 0);
  context.fillStyle = "#000c";
  context.fillRect(region.x, top, context.measureText(text).width + size, 1.4 * size);
  context.fillStyle = "#fff";
  context.fillText(text, region.x + size / 2, top + 1.05 * size);
}

/** The colours of heat from 0 to 1, in the corner where the notice ends. */
function bar(context, map, film, size) {
  const table = colours(map), width = film.width / 6, left = film.width - width - size, top = film.height - 1.9 * size;
  for (let at = 0; at < 256; at++) {
    context.fillStyle = `rgb(${table.subarray(3 * at, 3 * at + 3).join(" ")})`;
    context.fillRect(left + (at * width) / 256, top, width / 256 + 1, 0.7 * size);
  }
  context.fillStyle = "#fff";
  context.font = `${0.9 * size}px sans-serif`;
  context.textAlign = "center";
  for (const [heat, text] of [[0, "heat 0"], [0.5, ".5"], [1, "1"]]) {
    context.fillText(text, left + heat * width, film.height - 0.2 * size);
  }
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
