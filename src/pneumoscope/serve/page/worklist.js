// The films that were dropped, in the order somebody chose. Rows are changed one by one.

import { isPositive, state } from "./words.js";

const READ = { true: "agreed", false: "disagreed", null: "noted" };

export class Worklist {
  /** @param {(entry: object) => void} chosen  Called with the entry somebody picks. */
  constructor(chosen) {
    this.entries = [];
    this.rows = new Map();
    this.changed = new Set();
    this.chosen = chosen;
    this.current = null;
    this.order = { by: "added", down: false };
    this.body = document.getElementById("rows");
    for (const button of document.querySelectorAll("[data-sort]")) {
      button.addEventListener("click", () => this.sortBy(button.dataset.sort));
    }
  }

  /** entry: {number, name, state, reason, found: null or the server's answer, reading}. */
  add(entry) {
    this.entries.push(entry);
    this.update(entry);
  }

  remove(entry) {
    this.entries = this.entries.filter((other) => other !== entry);
    this.rows.get(entry)?.remove();
    this.rows.delete(entry);
    this.update();
  }

  sortBy(by) {
    // The most probable first is what one wants first.
    this.order = { by, down: this.order.by === by ? !this.order.down : by === "probability" };
    for (const button of document.querySelectorAll("[data-sort]")) {
      const sorted = button.dataset.sort === by;
      button.parentElement.setAttribute("aria-sort", sorted ? (this.order.down ? "descending" : "ascending") : "none");
    }
    this.update();
  }

  sorted() {
    const { by, down } = this.order, sign = down ? -1 : 1;
    if (by === "added") return this.entries;
    const value = (entry) => entry.found?.finding.probability ?? null;
    return [...this.entries].sort((one, other) => {
      if (by === "name") return sign * one.name.localeCompare(other.name, undefined, { numeric: true });
      const [a, b] = [value(one), value(other)];
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (a - b);
    });
  }

  /** The entry some steps after another that has a film to show. */
  step(entry, steps) {
    const usable = this.sorted().filter((other) => other.found?.film);
    const at = usable.indexOf(entry);
    return usable[Math.min(Math.max(at + steps, 0), usable.length - 1)] ?? null;
  }

  /** @param {object} [entry]  Whose row has changed. */
  update(entry) {
    if (entry) this.changed.add(entry);
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.show();
    });
  }

  /** @param {object | null} entry  The film that is open. */
  open(entry) {
    if (entry === this.current) return;
    for (const other of [this.current, entry]) if (other) this.update(other);
    this.current = entry;
    const row = entry && this.rows.get(entry), frame = document.getElementById("table");
    if (!row) return;
    // Not scrollIntoView: on a small screen that would leave the film.
    const { top, bottom } = row.getBoundingClientRect(), shown = frame.getBoundingClientRect(), head = row.offsetHeight;
    if (top < shown.top + head) frame.scrollTop += top - shown.top - head;
    else if (bottom > shown.bottom) frame.scrollTop += bottom - shown.bottom;
  }

  show() {
    for (const entry of this.changed) if (this.entries.includes(entry)) this.fill(entry);
    this.changed.clear();
    const focused = document.activeElement, rows = this.sorted().map((entry) => this.rows.get(entry));
    let place = this.body.firstElementChild;
    for (const row of rows) {
      if (row === place) place = place.nextElementSibling;
      else this.body.insertBefore(row, place);
    }
    if (this.body.contains(focused)) focused.focus();
    this.count();
  }

  count() {
    const { entries } = this, done = entries.filter((entry) => !["waiting", "reading", "queued"].includes(entry.state)).length;
    document.getElementById("empty").hidden = entries.length > 0;
    document.getElementById("count").textContent = entries.length ? `${done} of ${entries.length} done` : "";
    for (const button of document.querySelectorAll("[data-list]")) {
      const read = entries.some((entry) => entry.reading?.label);
      button.disabled = button.dataset.list === "worklist" ? !entries.length : !read;
    }
    document.getElementById("list-note").hidden = !entries.length || entries.some((entry) => entry.reading?.label);
  }

  fill(entry) {
    const row = this.rows.get(entry) ?? this.made(entry), [name, value] = row.children, button = name.firstChild;
    const finding = entry.found?.finding;
    button.disabled = !entry.found?.film;
    name.children[1].textContent = entry.reason ?? "";
    value.firstChild.textContent = finding && finding.error === null ? state(finding) : entry.state;
    const read = entry.reading && (entry.reading.agrees !== null || entry.reading.note || entry.reading.boxes.length);
    value.children[1].textContent = read ? READ[entry.reading.agrees] : "";
    row.setAttribute("aria-current", String(entry === this.current));
    row.classList.toggle("positive", Boolean(finding && isPositive(finding)));
    row.classList.toggle("warned", Boolean(finding?.uncertain));
    row.classList.toggle("failed", ["unusable", "not sent"].includes(entry.state));
  }

  made(entry) {
    const row = document.createElement("tr"), name = document.createElement("td"), value = document.createElement("td");
    const button = document.createElement("button"), reason = document.createElement("small");
    const said = document.createElement("span"), read = document.createElement("small");
    button.type = "button";
    button.textContent = button.title = entry.name;
    button.addEventListener("click", () => this.chosen(entry));
    reason.className = "reason";
    said.className = "state";
    read.className = "read";
    name.append(button, reason);
    value.append(said, read);
    row.append(name, value);
    this.rows.set(entry, row);
    return row;
  }
}
