// Films on their way: to the server, back as a finding, and decoded when they are looked at.

import * as api from "./api.js";
import { decodeGray16 } from "./png16.js";
import { carried } from "./reading.js";
import { about } from "./words.js";
import { counted } from "./tone.js";

const DECODED = 4;
const FORGOTTEN = "The server has forgotten this radiograph. Open it again.";

/**
 * @typedef {object} Entry  A film of the worklist.
 * @property {number} number
 * @property {string} name  Stays on this page.
 * @property {string} state  waiting, reading, queued, done, unusable; after a reload also: not sent
 * @property {string | null} reason  Why it is unusable.
 * @property {import("./intake.js").Source | null} source  null after a reload.
 * @property {object | null} found  The server's answer.
 * @property {import("./reading.js").Reading | null} reading
 * @property {import("./marks.js").Mark[]} marks
 */

export class Films {
  /**
   * @param {(entry: Entry) => void} changed
   * @param {(entry: Entry) => void} done  Called with each film that can be shown.
   */
  constructor(changed, done) {
    this.changed = changed;
    this.done = done;
    this.most = Infinity;
    this.atATime = 4;
    this.waiting = [];
    this.running = 0;
    this.decoded = new Map();
  }

  /** Whether films are on their way; they would be lost with the page. */
  get busy() {
    return this.waiting.length + this.running > 0;
  }

  /** @param {Entry} entry */
  send(entry) {
    this.waiting.push(entry);
    this.next();
  }

  async next() {
    if (this.running >= this.atATime || this.waiting.length === 0) return;
    this.running++;
    const entry = this.waiting.shift();
    this.next();
    await this.judge(entry);
    this.running--;
    if (entry.state === "done") this.done(entry);
    this.next();
  }

  async judge(entry) {
    this.say(entry, "reading");
    try {
      entry.found = await api.judge(await entry.source.blob(this.most), () => this.say(entry, "queued"));
      const { error } = entry.found.finding;
      if (error !== null) throw new Error(error);
      this.say(entry, "done");
    } catch (error) {
      entry.reason = `${error.message.slice(0, 1).toUpperCase()}${error.message.slice(1)}`;
      this.say(entry, "unusable");
    }
  }

  say(entry, state) {
    entry.state = state;
    this.changed(entry);
  }

  /**
   * A film's pixels; a film that the server has forgotten is sent again where the page still has it.
   * @returns {Promise<import("./view.js").Film>}
   */
  async pixels(entry) {
    try {
      return await this.kept(entry);
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    if (!entry.source) throw new Error(FORGOTTEN);
    const { reading } = entry, before = entry.found.finding;
    await this.judge(entry);
    if (entry.state !== "done") throw new Error(entry.reason);
    if (reading) {
      // The server may run another model by now.
      entry.reading = carried(reading, before, entry.found.finding);
      this.changed(entry);
      await api.putReading(entry.found.id, entry.reading);
    }
    return this.kept(entry);
  }

  async kept(entry) {
    const { id } = entry.found;
    if (!this.decoded.has(id)) {
      if (!entry.found.display) entry.found = await api.getFinding(id);
      this.decoded.set(id, await film(entry));
      for (const old of this.decoded.keys()) if (this.decoded.size > DECODED && old !== id) this.decoded.delete(old);
    }
    return this.decoded.get(id);
  }

  forget(entry) {
    this.waiting = this.waiting.filter((other) => other !== entry);
    if (!entry.found) return Promise.resolve();
    this.decoded.delete(entry.found.id);
    return api.forget(entry.found.id).catch((error) => {
      if (error.status !== 404) throw error;
    });
  }
}

async function film({ name, found }) {
  const { display, heatmap } = found, { scale, spacing } = display;
  const [shown, heat] = await Promise.all(
    [found.values ?? found.film, heatmap].map(async (path) => path && decodeGray16(await api.getBytes(path))),
  );
  return {
    name, width: shown.width, height: shown.height, levels: shown.levels, heat: heat?.levels ?? null, scale, spacing,
    aspect: spacing ? spacing[0] / spacing[1] : 1, directions: display.directions, about: about(display),
    histogram: counted(shown.levels, scale),
  };
}
