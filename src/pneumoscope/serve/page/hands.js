// Pointers on a film: move, window, pinch, swipe, draw and drag marks.

import { onFilm, rectangle } from "./geometry.js";
import { boxOf, corner, cut } from "./marks.js";

const SHORTEST = 3;

export class Hands {
  /** @param {import("./view.js").View} view */
  constructor(view) {
    this.view = view;
    this.pointers = new Map();
    this.listen();
  }

  listen() {
    const { canvas } = this.view, place = (event) => {
      const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
      return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, place(event));
      if (this.pointers.size > 1) this.cancel();
      else if (this.view.film) this.begin(event, place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId), now = place(event);
      if (this.view.lens) {
        this.view.lens = now;
        this.view.draw();
      }
      if (!before || !this.view.film) return;
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
      this.view.zoomTo(this.view.zoom * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), x, y);
    }, { passive: false });
    canvas.addEventListener("dblclick", () => this.view.fit());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  begin(event, point) {
    const windowing = this.view.tool === "window" || event.button === 2 || event.shiftKey;
    this.started = { ...point, time: event.timeStamp, fitted: this.view.zoom <= 1.01 * this.view.fitted };
    this.doing = windowing ? "window" : "move";
    if (windowing) return;
    const reach = (event.pointerType === "touch" ? 22 : 9) * (devicePixelRatio || 1);
    const held = corner(this.view.marks, this.view.placing, point.x, point.y, reach), { x, y } = onFilm(this.view.placing, point.x, point.y);
    if (held) {
      this.doing = "corner";
      this.held = held;
      this.view.choose(held.mark);
    } else if (this.view.tool !== "move") {
      this.doing = "mark";
      this.held = { mark: { kind: this.view.tool, x0: x, y0: y, x1: x, y1: y }, across: "x1", down: "y1" };
      this.view.marks.push(this.held.mark);
      this.view.choose(this.held.mark);
    }
  }

  drag(before, now) {
    const x = now.x - before.x, y = now.y - before.y;
    if (this.doing === "move") this.view.move(x, y);
    else if (this.doing === "window") this.view.windowBy(x, y);
    else if (this.held) {
      const point = onFilm(this.view.placing, now.x, now.y), { mark, across, down } = this.held;
      mark[across] = point.x;
      mark[down] = point.y;
      this.view.draw();
    }
  }

  end(event, point) {
    const { started, held, doing } = this;
    this.forget();
    if (held) {
      const { mark } = held, place = this.view.placing, within = cut(mark, this.view.film), shown = rectangle(place, boxOf(mark, this.view.film));
      const tiny = !within || Math.hypot(shown.width, shown.height) < SHORTEST * 2 || (doing === "mark" && Math.hypot(point.x - started.x, point.y - started.y) < SHORTEST);
      if (tiny) this.view.removeMark(mark);
      else this.view.hooks.marked();
      return;
    }
    if (doing !== "move" || event.pointerType !== "touch" || !started?.fitted) return;
    const scale = devicePixelRatio || 1, x = (point.x - started.x) / scale, y = (point.y - started.y) / scale;
    if (Math.abs(x) < 70 || Math.abs(x) < 2 * Math.abs(y) || event.timeStamp - started.time > 700) return;
    this.view.fit();
    this.view.hooks.swiped(x < 0 ? 1 : -1);
  }

  /** A second finger, the system, or another film ends what a first one began. */
  cancel() {
    if (this.doing === "mark" || (this.doing === "corner" && !cut(this.held.mark, this.view.film))) this.view.removeMark(this.held.mark);
    else if (this.doing === "corner") this.view.hooks.marked();
    this.forget();
  }

  forget() {
    this.held = this.doing = this.started = null;
  }

  pinch(moved, before, now) {
    const [, fixed] = [...this.pointers].find(([id]) => id !== moved);
    const apart = (point) => Math.hypot(point.x - fixed.x, point.y - fixed.y) || 1;
    this.view.zoomTo(this.view.zoom * apart(now) / apart(before), (now.x + fixed.x) / 2, (now.y + fixed.y) / 2);
    this.view.move((now.x - before.x) / 2, (now.y - before.y) / 2);
  }
}
