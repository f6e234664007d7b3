// The films that were dropped, in the order somebody chose.

import { isJudged } from "./panel.js";

export class Worklist {
  /** chosen: called with the entry somebody picks. */
  constructor(chosen) {
    this.entries = [];
    this.chosen = chosen;
    this.order = { by: "added", down: false };
    this.body = document.getElementById("rows");
    for (const button of document.querySelectorAll("[data-sort]")) {
      button.addEventListener("click", () => this.sortBy(button.dataset.sort));
    }
  }

  /** entry: {name, state, found: null or the server's answer}. */
  add(entry) {
    this.entries.push(entry);
    this.show();
  }

  remove(entry) {
    this.entries = this.entries.filter((other) => other !== entry);
    this.show();
  }

  sortBy(by) {
    // The most probable first is what one wants first.
    this.order = { by, down: this.order.by === by ? !this.order.down : by === "probability" };
    this.show();
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

  show(current = this.current) {
    this.current = current;
    document.getElementById("empty").hidden = this.entries.length > 0;
    for (const button of document.querySelectorAll("[data-sort]")) {
      const sorted = button.dataset.sort === this.order.by;
      button.parentElement.setAttribute("aria-sort", sorted ? (this.order.down ? "descending" : "ascending") : "none");
    }
    const focused = document.activeElement?.dataset?.entry;
    this.body.replaceChildren(...this.sorted().map((entry) => this.row(entry)));
    if (focused) this.body.querySelector(`[data-entry="${focused}"]`)?.focus();
  }

  row(entry) {
    const row = document.createElement("tr"), name = document.createElement("td"), value = document.createElement("td");
    const button = document.createElement("button"), finding = entry.found?.finding;
    button.type = "button";
    button.textContent = button.title = entry.name;
    button.dataset.entry = String(entry.number);
    button.disabled = !entry.found?.film;
    button.addEventListener("click", () => this.chosen(entry));
    name.append(button);
    const state = document.createElement("span");
    state.className = "state";
    state.textContent = finding && finding.error === null ? word(finding) : entry.state;
    value.append(state);
    row.append(name, value);
    row.setAttribute("aria-current", String(entry === this.current));
    row.classList.toggle("positive", Boolean(finding && isPositive(finding)));
    row.classList.toggle("warned", Boolean(finding?.uncertain));
    row.classList.toggle("failed", entry.state === "unusable");
    return row;
  }
}

const isPositive = ({ probability, threshold }) => probability !== null && probability >= threshold;

function word(finding) {
  if (!isJudged(finding)) return "not judged";
  const value = finding.probability.toFixed(2);
  if (finding.uncertain) return `${value} review`;
  return isPositive(finding) ? `${value} likely` : value;
}
