// Wires films, views, sliders and keys together.

import * as api from "./api.js";
import { colours } from "./colours.js";
import { isJudged, showFinding, showRegions } from "./panel.js";
import { decodeGray16 } from "./png16.js";
import { findRegions } from "./regions.js";
import { View } from "./view.js";
import { Worklist } from "./worklist.js";

const AT_A_TIME = 4, DECODED = 4;
const $ = (id) => document.getElementById(id);
const views = [...document.querySelectorAll(".view")].map((figure) => new View(figure, () => showDisplay(), () => lead()));
const list = new Worklist((entry) => open(entry));
const decoded = new Map();
let model = null, active = views[0], added = 0, running = 0, together = true;
const queue = [];

function toast(text) {
  const line = document.createElement("div"), words = document.createElement("span"), close = document.createElement("button");
  words.textContent = text;
  close.textContent = "Close";
  close.type = "button";
  close.onclick = () => line.remove();
  line.append(words, close);
  $("toasts").append(line);
  setTimeout(() => line.remove(), 12000);
}

// ---- films in

function take(files) {
  for (const file of files) {
    const entry = { name: file.name, file, number: added++, state: "waiting", found: null };
    list.add(entry);
    queue.push(entry);
  }
  $("files").value = "";
  judgeNext();
}

async function judgeNext() {
  if (running >= AT_A_TIME || queue.length === 0) return;
  running++;
  const entry = queue.shift();
  judgeNext();
  entry.state = "reading";
  list.show();
  try {
    if (model && entry.file.size > model.max_bytes) {
      throw new Error(`is larger than ${model.max_bytes >> 20} MB, the most this server takes.`);
    }
    entry.found = await api.judge(entry.file, () => { entry.state = "queued"; list.show(); });
    const { error } = entry.found.finding;
    if (error !== null) throw new Error(error);
    entry.state = "done";
  } catch (error) {
    entry.state = "unusable";
    toast(`${entry.name}: ${error.message}`);
  }
  entry.file = null;
  running--;
  list.show();
  if (!active.entry && entry.state === "done") await open(entry);
  judgeNext();
}

async function pixels(entry) {
  const { id, film, heatmap } = entry.found;
  if (!decoded.has(id)) {
    // A film that was not judged has no heatmap.
    const [gray, heat] = await Promise.all(
      [film, heatmap].map(async (path) => path && decodeGray16(await api.getBytes(path))),
    );
    const { width, height, levels } = gray, cold = () => new Uint16Array(width * height);
    decoded.set(id, { name: entry.name, width, height, gray: levels, heat: heat?.levels ?? cold() });
    for (const old of decoded.keys()) if (decoded.size > DECODED && old !== id) decoded.delete(old);
  }
  return decoded.get(id);
}

async function open(entry, view = active) {
  view.entry = entry;
  try {
    const film = await pixels(entry);
    if (view.entry !== entry) return;
    $("welcome").hidden = true;
    view.show(film, regionsOf(view, film));
    join(view);
  } catch (error) {
    toast(`${entry.name}: ${error.status === 404 ? "The server has forgotten this film. Open it again." : error.message}`);
    return;
  }
  if (view === active) show();
}

/** The server's own regions until the slider is moved, then those of the same rule. */
function regionsOf(view, film = view.film) {
  const { finding } = view.entry.found, { threshold } = view.display;
  if (!isJudged(finding) || finding.probability < finding.threshold) return [];
  if (threshold === null) return finding.regions;
  return findRegions(film.heat, film.width, film.height, { ...model.regions, threshold });
}

// ---- what is shown beside the film

function show() {
  const { entry } = active;
  list.show(entry ?? null);
  $("display").disabled = !entry;
  for (const button of document.querySelectorAll("[data-download]")) {
    button.hidden = !model?.downloads.includes(button.dataset.download);
    button.disabled = !entry || (button.dataset.download === "dicom" && entry.found.dicom === null);
  }
  showFinding(entry?.found ?? null, model);
  showDisplay();
}

function showDisplay() {
  const { display, entry, regions } = active;
  const threshold = display.threshold ?? model?.regions.threshold ?? 0.5;
  for (const [id, value, text] of [
    ["opacity", 100 * display.opacity, `${Math.round(100 * display.opacity)} %`],
    ["threshold", 100 * threshold, threshold.toFixed(2)],
    ["level", 1000 * display.level, display.level.toFixed(2)],
    ["width", 1000 * display.width, display.width.toFixed(2)],
  ]) {
    $(id).value = value;
    $(`${id}-value`).textContent = text;
  }
  $("map").value = display.map;
  $("boxes").checked = display.boxes;
  $("invert").setAttribute("aria-pressed", String(display.invert));
  showColours(display.map);
  showRegions(entry?.found ?? null, entry ? regions ?? [] : []);
}

function showColours(map) {
  const context = $("colours").getContext("2d"), image = context.createImageData(256, 1), table = colours(map);
  for (let at = 0; at < 256; at++) image.data.set([...table.subarray(3 * at, 3 * at + 3), 255], 4 * at);
  context.putImageData(image, 0, 0);
}

function change(changes) {
  active.set(changes);
  if ("threshold" in changes && active.film) {
    active.regions = regionsOf(active);
    active.draw();
  }
  showDisplay();
}

function reset() {
  active.reset();
  change({ threshold: null });
}

function activate(view) {
  if (view === active) return;
  active = view;
  for (const other of views) other.figure.classList.toggle("active", other === view);
  show();
}

function compare() {
  const [first, second] = views, on = second.figure.hidden;
  second.figure.hidden = !on;
  $("stage").classList.toggle("two", on);
  $("compare").setAttribute("aria-pressed", String(on));
  $("together").hidden = !on;
  if (on && first.entry) {
    // The same film without what the model says, until another one is chosen.
    second.set({ opacity: 0, boxes: false });
    open(first.entry, second);
  }
  if (!on) activate(first);
}

/** Where compared films move together, a view shows what the other one shows. */
function join(view) {
  if (together && !views[1].figure.hidden) view.follow(views.find((other) => other !== view));
}

/** The active view leads. */
function lead() {
  join(views.find((view) => view !== active));
}

function moveTogether() {
  together = !together;
  $("together").setAttribute("aria-pressed", String(together));
  lead();
}

function dragMode() {
  const windowing = !views[0].windowing;
  for (const view of views) view.windowing = windowing;
  $("mode").textContent = windowing ? "Drag: window" : "Drag: move";
  $("mode").setAttribute("aria-pressed", String(windowing));
}

// ---- films out

function save(blob, suffix) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `film-${active.entry.found.id.slice(0, 8)}.${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const downloads = {
  png: () => active.picture(model.notice).toBlob((blob) => save(blob, "png")),
  json: () => {
    const shown = { regions_from_heat: active.display.threshold ?? model.regions.threshold, regions: active.regions };
    const text = JSON.stringify({ ...active.entry.found, shown, notice: model.notice }, null, 2);
    save(new Blob([text], { type: "application/json" }), "json");
  },
  dicom: async () => {
    try {
      save(new Blob([await api.getBytes(active.entry.found.dicom)], { type: "application/zip" }), "dicom.zip");
    } catch (error) {
      toast(error.message);
    }
  },
};

async function forgetActive() {
  const { entry } = active;
  if (!entry) return;
  const next = list.step(entry, 1) === entry ? list.step(entry, -1) : list.step(entry, 1);
  list.remove(entry);
  decoded.delete(entry.found.id);
  api.forget(entry.found.id).catch((error) => error.status === 404 || toast(error.message));
  for (const view of views.filter((other) => other.entry === entry)) {
    view.entry = null;
    view.clear();
    if (next && next !== entry) await open(next, view);
  }
  $("welcome").hidden = views.some((view) => view.entry);
  show();
}

// ---- hands

for (const view of views) {
  for (const kind of ["pointerdown", "focusin", "wheel"]) {
    // Before the view itself hears of it: the one that is not active would be put back where the other one is.
    view.figure.addEventListener(kind, () => activate(view), { capture: true, passive: true });
  }
}
for (const id of ["open", "open-too"]) $(id).onclick = () => $("files").click();
$("files").onchange = (event) => take(event.target.files);
$("mode").onclick = dragMode;
$("fit").onclick = () => active.fit();
$("actual").onclick = () => active.zoomTo(1);
$("invert").onclick = () => change({ invert: !active.display.invert });
$("reset").onclick = reset;
$("compare").onclick = compare;
$("together").onclick = moveTogether;
$("help").onclick = () => $("help-dialog").showModal();
$("opacity").oninput = (event) => change({ opacity: event.target.value / 100 });
$("threshold").oninput = (event) => change({ threshold: event.target.value / 100 });
$("level").oninput = (event) => change({ level: event.target.value / 1000 });
$("width").oninput = (event) => change({ width: event.target.value / 1000 });
$("map").onchange = (event) => change({ map: event.target.value });
$("boxes").onchange = (event) => change({ boxes: event.target.checked });
for (const button of document.querySelectorAll("[data-download]")) button.onclick = downloads[button.dataset.download];
for (const button of document.querySelectorAll("dialog .close")) button.onclick = () => button.closest("dialog").close();
$("card").onclick = async () => {
  try {
    $("card-text").textContent = await api.getCard(model.card);
    $("card-dialog").showModal();
  } catch (error) {
    toast(error.message);
  }
};

let over = 0;
addEventListener("dragenter", () => document.body.classList.toggle("dropping", ++over > 0));
addEventListener("dragleave", () => document.body.classList.toggle("dropping", --over > 0));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  over = 0;
  document.body.classList.remove("dropping");
  take(event.dataTransfer.files);
});

const step = (steps) => () => {
  const entry = list.step(active.entry, steps);
  if (entry) open(entry);
};
const warmer = (by) => () => {
  const now = active.display.threshold ?? model.regions.threshold;
  change({ threshold: Math.min(Math.max(Math.round(100 * (now + by)) / 100, 0.05), 1) });
};
const keys = {
  o: () => $("files").click(), "?": () => $("help-dialog").showModal(), c: compare, w: dragMode, l: () => views[1].figure.hidden || moveTogether(),
  j: step(1), n: step(1), k: step(-1), p: step(-1), i: () => $("invert").click(), r: reset,
  h: () => change({ opacity: active.display.opacity > 0 ? 0 : 0.45 }), b: () => change({ boxes: !active.display.boxes }),
  "[": warmer(-0.05), "]": warmer(0.05), s: () => downloads.png(), Delete: forgetActive,
  0: () => active.fit(), 1: () => active.zoomTo(1), "+": () => active.zoomTo(1.25 * active.zoom),
  "=": () => active.zoomTo(1.25 * active.zoom), "-": () => active.zoomTo(active.zoom / 1.25),
  ArrowLeft: () => active.move(60, 0), ArrowRight: () => active.move(-60, 0),
  ArrowUp: () => active.move(0, 60), ArrowDown: () => active.move(0, -60),
};
const anytime = new Set(["o", "?", "c", "w"]);
addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, act = keys[key];
  const busy = document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey;
  const typing = event.target.matches("select, input[type=password]") || (event.target.matches("input[type=range]") && key.startsWith("Arrow"));
  if (!act || busy || typing || (!active.film && !anytime.has(key))) return;
  event.preventDefault();
  act();
});

async function begin() {
  try {
    model = await api.getModel();
    $("notice").textContent = model.notice;
    $("card").hidden = model.card === null;
    $("model").textContent = `${model.model}, ${model.runtime}. Version ${model.version}. Films are forgotten after ${Math.round(model.keep_seconds / 60)} min.`;
  } catch (error) {
    toast(error.message);
  }
  show();
}

begin();
