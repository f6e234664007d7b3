// What a person reads on the film that is open: agreement, boxes, a note; kept on the server too.

import { boxOf, markOf } from "./marks.js";
import { isAssessed, isOutdated, isPositive, OUTDATED, plain } from "./words.js";

/**
 * @typedef {object} Reading  As the server keeps it.
 * @property {boolean | null} agrees
 * @property {{x: number, y: number, width: number, height: number}[]} boxes
 * @property {string} note
 * @property {string} reader  Who read it; empty if nobody said.
 * @property {string | null} label  The reader's; null if the film was not assessed or nothing was said.
 */

const $ = (id) => document.getElementById(id);
const WAIT = 400;

const READER = "pneumoscope-reader";

/** Who reads on this page, until the tab is closed. */
const reader = () => sessionStorage.getItem(READER) ?? "";

/** @returns {Reading} */
export const unread = () => ({ agrees: null, boxes: [], note: "", reader: reader(), label: null });

/** The reader's label: the finding's, or the other one. */
export function labelOf(agrees, finding, model) {
  if (agrees === null || !isAssessed(finding)) return null;
  return model.labels[Number(isPositive(finding) === agrees)];
}

/** A reading beside another finding of the same film: the person's label stays, what it says of the finding may change. */
export function carried(reading, before, finding) {
  if (before.label === finding.label) return reading;
  if (reading.label === null || !isAssessed(finding)) return { ...reading, agrees: null, label: null };
  return { ...reading, agrees: reading.label === finding.label };
}

/** Marks of a film as its reading has them. @param {Reading | null} reading */
export const marksOf = (reading) => (reading?.boxes ?? []).map(markOf);

export class ReadingPanel {
  /**
   * @param {(entry: object) => Promise<void>} keep  Sends an entry's reading to the server.
   * @param {(entry: object) => void} changed
   */
  constructor(keep, changed) {
    this.keep = keep;
    this.changed = changed;
    this.entry = null;
    this.timers = new Map();
    $("agree").onclick = () => this.say(true);
    $("disagree").onclick = () => this.say(false);
    $("note").oninput = () => this.change({ note: plain($("note").value) });
    $("reader").oninput = () => {
      sessionStorage.setItem(READER, plain($("reader").value));
      if (this.entry?.reading) this.change({ reader: reader() });
    };
  }

  show(entry, model) {
    // Text of one patient must not stand beside another one, even in a field that somebody types in.
    const other = entry !== this.entry;
    if (other) {
      this.flush();
      $("reading-state").textContent = "";
    }
    this.entry = entry;
    this.model = model;
    const reading = entry?.reading ?? unread();
    $("reading-controls").disabled = !entry || isOutdated(entry.found, model);
    for (const name of ["note", "reader"]) if (other || document.activeElement !== $(name)) $(name).value = reading[name];
    for (const [id, value] of [["agree", true], ["disagree", false]]) $(id).setAttribute("aria-pressed", String(reading.agrees === value));
    $("reading-label").textContent = entry ? this.words(entry, reading) : "Open a radiograph to read it.";
  }

  words({ found }, reading) {
    const { finding } = found;
    if (isOutdated(found, this.model)) return OUTDATED;
    if (reading.agrees === null) {
      return isAssessed(finding) ? `The model's label is ${finding.label}. Do you agree?` : "Do you agree that this radiograph cannot be assessed?";
    }
    const whose = reading.agrees ? "You agree" : "You disagree";
    if (!reading.label) return `${whose} that this radiograph cannot be assessed.`;
    const against = reading.label === this.model.labels[0] && reading.boxes.length ? " There are boxes on the radiograph: remove them, or change your reading." : "";
    return `${whose}: you read ${reading.label}.${against}`;
  }

  /** agrees: pressed twice, nothing is said. */
  say(agrees) {
    if (!this.entry) return;
    this.change({ agrees: this.entry.reading?.agrees === agrees ? null : agrees });
  }

  /** The boxes on the film are now these marks. */
  boxes(marks, film) {
    const boxes = marks.filter((mark) => mark.kind === "box").map((mark) => boxOf(mark, film));
    if (JSON.stringify(boxes) !== JSON.stringify(this.entry?.reading?.boxes ?? [])) this.change({ boxes });
  }

  change(changes) {
    const { entry, model } = this;
    if (!entry || isOutdated(entry.found, model)) return;
    const reading = { ...(entry.reading ?? unread()), ...changes };
    entry.reading = { ...reading, label: labelOf(reading.agrees, entry.found.finding, model) };
    this.show(entry, model);
    this.changed(entry);
    $("reading-state").textContent = "";
    clearTimeout(this.timers.get(entry));
    this.timers.set(entry, setTimeout(() => this.send(entry), WAIT));
  }

  /** Send at once what waits to be sent of the film that is shown. */
  flush() {
    if (this.timers.has(this.entry)) this.send(this.entry);
  }

  async send(entry) {
    clearTimeout(this.timers.get(entry));
    this.timers.delete(entry);
    try {
      await this.keep(entry);
      if (entry === this.entry) $("reading-state").textContent = "Kept on the server.";
    } catch (error) {
      if (entry === this.entry) $("reading-state").textContent = `Kept on this page only: ${error.message}`;
    }
  }
}
