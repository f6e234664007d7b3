// Wires films, views, panels and keys together.

import * as api from "./api.js";
import { colours } from "./colours.js";
import { Films } from "./films.js";
import { dropped, takeIn } from "./intake.js";
import { listenToKeys } from "./keys.js";
import { measured, NAMES } from "./marks.js";
import { boxesTable, coco, readingsTable, textOf, worklistTable } from "./outputs.js";
import { reasons, showFinding, showRegions } from "./panel.js";
import { marksOf, ReadingPanel } from "./reading.js";
import { findRegions } from "./regions.js";
import { fillReport } from "./report.js";
import { remember, remembered } from "./session.js";
import { themed } from "./theme.js";
import { drawHistogram, PRESETS } from "./tone.js";
import { View } from "./view.js";
import { isAssessed, isOutdated, isPositive, lines } from "./words.js";
import { Worklist } from "./worklist.js";

const $ = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const views = all(".view").map((figure) => new View(figure, {
  changed: () => showDisplay(), moved: () => lead(), marked: () => marked(), swiped: (steps) => step(steps),
}));
const list = new Worklist((entry) => open(entry));
const films = new Films(changed, (entry) => active.asked || open(entry));
const reading = new ReadingPanel((entry) => api.putReading(entry.found.id, entry.reading), (entry) => {
  changed(entry);
  if (entry === active.entry) showDownloads(entry, reasons(entry, model));
});
let model = null, active = views[0], added = 0, together = true;

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

function changed(entry) {
  list.update(entry);
  remember(() => list.entries, toast);
}

function take(items) {
  return takeIn(items, (source) => {
    const entry = { number: added++, name: source.name, source, state: "waiting", reason: null, found: null, reading: null, marks: [] };
    list.add(entry);
    films.send(entry);
  }, toast);
}

async function example() {
  const name = "example-phantom.png";
  try {
    const blob = new Blob([await api.getBytes(name)]);
    await take([new File([blob], name)]);
  } catch (error) {
    toast(error.message);
  }
}

function restore() {
  for (const kept of remembered()) {
    list.add({ ...kept, number: added++, source: null, marks: marksOf(kept.reading) });
  }
  const first = list.entries.find((entry) => entry.found?.film);
  if (first) open(first);
}

/** Show a film once its pixels are there; until then everything is of the one that is shown. */
async function open(entry, view = active) {
  view.asked = entry;
  try {
    const film = await films.pixels(entry);
    if (isOutdated(entry.found, model)) await learnModel();
    if (view.asked !== entry) return;
    view.entry = entry;
    $("welcome").hidden = true;
    if (entry.reason) {
      entry.reason = null;
      changed(entry);
    }
    view.show(film, regionsOf(view, film), entry.marks);
    join(view);
  } catch (error) {
    if (view.asked === entry) view.asked = view.entry;
    entry.reason = error.message;
    changed(entry);
    toast(`${entry.name}: ${error.message}`);
    return;
  }
  if (view === active) show();
}

/** The server's own regions until the slider is moved, then those of the same rule. */
function regionsOf(view, film = view.film) {
  const { finding } = view.entry.found, { threshold } = view.display;
  if (!isAssessed(finding) || !isPositive(finding)) return [];
  if (threshold === null) return finding.regions;
  return findRegions(film.heat, film.width, film.height, { ...model.regions, threshold });
}

function step(steps) {
  const entry = list.step(active.asked, steps);
  if (entry && entry !== active.asked) open(entry);
}

// ---- what is shown beside the film

function show() {
  const entry = active.entry ?? null, known = reasons(entry, model);
  list.open(entry);
  $("display").disabled = !entry;
  showDownloads(entry, known);
  for (const id of ["opacity", "map", "threshold", "boxes"]) $(id).disabled = known.heat !== null;
  $("heat-note").textContent = entry && known.heat ? `Greyed: ${known.heat}.` : "";
  for (const id of ["previous", "next"]) $(id).disabled = !entry;
  showFinding(entry?.found ?? null, model);
  reading.show(entry, model);
  showMarks();
  showDisplay();
}

function showDownloads(entry, known) {
  const words = [];
  for (const button of all("[data-download]")) {
    const kind = button.dataset.download, reason = known[kind];
    button.hidden = ["dicom", "reading"].includes(kind) && !model?.downloads.includes("dicom");
    button.disabled = reason !== null;
    if (reason && entry && !button.hidden) words.push(`${button.textContent}: ${reason}.`);
  }
  $("download-note").textContent = entry ? words.join(" ") : "Open a radiograph to save it.";
}

function showDisplay() {
  const { display, entry, regions, film } = active;
  const threshold = display.threshold ?? model?.regions.threshold ?? 0.5;
  for (const [id, value, text] of [
    ["opacity", 100 * display.opacity, `${Math.round(100 * display.opacity)} %`],
    ["threshold", 100 * threshold, threshold.toFixed(2)],
  ]) {
    $(id).value = value;
    $(`${id}-value`).textContent = text;
  }
  $("map").value = display.map;
  $("boxes").checked = display.boxes;
  $("preset").value = active.preset;
  $("preset-note").textContent = film && display.preset === null && active.preset === "auto"
    ? "Auto, since the file's own window leaves little contrast. The model saw the radiograph as in the file." : "";
  $("invert").setAttribute("aria-pressed", String(display.invert));
  showColours(display.map);
  showRegions(entry?.found ?? null, entry ? regions ?? [] : []);
  if (film) showWindow(active);
}

function showWindow({ film, window }) {
  const { low, high } = film.histogram, span = high - low || 1, digits = span < 10 ? 2 : 0;
  for (const [id, value, share] of [["level", window.centre, (window.centre - low) / span], ["width", window.width, window.width / span]]) {
    $(id).value = 1000 * share;
    $(`${id}-value`).textContent = value.toFixed(digits);
    $(id).setAttribute("aria-valuetext", value.toFixed(digits));
  }
  drawHistogram($("histogram"), film.histogram, film.scale, window);
}

function showColours(map) {
  const context = $("colours").getContext("2d"), image = context.createImageData(256, 1), table = colours(map);
  for (let at = 0; at < 256; at++) image.data.set([...table.subarray(3 * at, 3 * at + 3), 255], 4 * at);
  context.putImageData(image, 0, 0);
}

function showMarks() {
  const { film, marks, chosen } = active;
  const focused = [...$("marks").querySelectorAll("button")].indexOf(document.activeElement);
  $("marks-part").hidden = !film || !marks.length;
  $("marks").replaceChildren(...(film ? marks : []).map((mark) => {
    const line = document.createElement("li"), choose = document.createElement("button"), remove = document.createElement("button");
    choose.textContent = `${NAMES[mark.kind]}: ${measured(mark, film)}`;
    choose.setAttribute("aria-pressed", String(mark === chosen));
    choose.onclick = () => {
      active.choose(mark === chosen ? null : mark);
      showMarks();
    };
    remove.textContent = "Remove";
    remove.onclick = () => active.removeMark(mark);
    for (const button of [choose, remove]) button.type = "button";
    line.append(choose, remove);
    return line;
  }));
  $("marks").querySelectorAll("button")[focused]?.focus();
  const at = active.entry?.found.display?.spacing_at;
  $("spacing").textContent = !film?.spacing ? "The file has no pixel spacing: lengths are in pixels."
    : at === "detector" ? "Millimetres at the detector, not corrected for magnification." : "";
}

function marked() {
  for (const view of views) if (view !== active && view.entry === active.entry) view.draw();
  reading.boxes(active.marks, active.film);
  showMarks();
}

function change(changes) {
  active.set(changes);
  if ("threshold" in changes && active.film) {
    active.regions = regionsOf(active);
    active.draw();
  }
  showDisplay();
}

function slide(id, share) {
  if (!active.film) return;
  const { low, high } = active.film.histogram, { centre, width } = active.window;
  active.setWindow(id === "level" ? { centre: low + share * (high - low), width } : { centre, width: share * (high - low) });
  showDisplay();
}

function preset(steps) {
  const names = Object.keys(PRESETS), at = names.indexOf(active.preset);
  change({ preset: names[(at + steps + names.length) % names.length] });
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

/** Choose what dragging does; a tool that is chosen already draws a mark in the middle. */
function tool(name, again = false) {
  if (again && active.tool === name && name in NAMES) active.addMark(name);
  for (const view of views) view.tool = name;
  for (const button of all("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  if (name === "move" && active.chosen) {
    active.choose(null);
    showMarks();
  }
}

function magnify() {
  $("magnify").setAttribute("aria-pressed", String(active.film ? active.magnifier() : false));
}

// ---- films out

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Named before anything is waited for: another film may be shown by then.
const named = (suffix) => `film-${active.entry.found.id.slice(0, 8)}.${suffix}`;
const text = (content, type) => new Blob([content], { type });

const downloads = {
  png: () => {
    const name = named("png");
    active.picture(lines(active.entry, model)).toBlob((blob) => save(blob, name));
  },
  json: () => {
    const shown = { regions_from_heat: active.display.threshold ?? model.regions.threshold, regions: active.regions };
    const content = { ...active.entry.found, reading: active.entry.reading, shown, notice: model.notice };
    save(text(JSON.stringify(content, null, 2), "application/json"), named("json"));
  },
  dicom: async () => {
    const name = named("dicom.zip");
    try {
      save(new Blob([await api.getBytes(active.entry.found.dicom)], { type: "application/zip" }), name);
    } catch (error) {
      toast(error.message);
    }
  },
  reading: async () => {
    const name = named("reading.dcm"), { id } = active.entry.found;
    try {
      await api.putReading(id, active.entry.reading);
      save(new Blob([await api.getBytes(`v1/findings/${id}/reading.dcm`)], { type: "application/dicom" }), name);
    } catch (error) {
      toast(error.message);
    }
  },
  report: () => print(),
  text: async () => {
    try {
      await navigator.clipboard.writeText(textOf(active.entry, active.regions, model).join("\n"));
      toast("Copied.");
    } catch {
      toast("The browser does not let this page copy. Save the radiograph as JSON instead.");
    }
  },
};

const lists = {
  worklist: () => save(text(worklistTable(list.entries, model), "text/csv"), "worklist.csv"),
  readings: () => save(text(readingsTable(list.entries, model), "text/csv"), "readings.csv"),
  boxes: () => save(text(boxesTable(list.entries, model), "text/csv"), "boxes.csv"),
  coco: () => save(text(coco(list.entries, model), "application/json"), "readings.coco.json"),
};

async function forgetActive() {
  const { entry } = active;
  if (!entry) return;
  const next = list.step(entry, 1) === entry ? list.step(entry, -1) : list.step(entry, 1);
  list.remove(entry);
  changed();
  films.forget(entry).catch((error) => toast(error.message));
  for (const view of views) {
    const wanted = view.asked === entry;
    if (view.entry === entry) {
      view.entry = null;
      view.clear();
    }
    if (wanted) view.asked = view.entry;
    if (wanted && next && next !== entry) await open(next, view);
  }
  $("welcome").hidden = views.some((view) => view.entry);
  show();
}

function removeChosen() {
  if (active.chosen) active.removeMark(active.chosen);
  else forgetActive();
}

// ---- hands

for (const view of views) {
  for (const kind of ["pointerdown", "focusin", "wheel"]) {
    // Before the view itself hears of it: the one that is not active would be put back where the other one is.
    view.figure.addEventListener(kind, () => activate(view), { capture: true, passive: true });
  }
}
for (const id of ["open", "open-too"]) $(id).onclick = () => $("files").click();
$("open-folder").onclick = () => $("folder").click();
for (const id of ["files", "folder"]) {
  $(id).onchange = async (event) => {
    await take([...event.target.files]);
    event.target.value = "";
  };
}
$("example").onclick = example;
$("previous").onclick = () => step(-1);
$("next").onclick = () => step(1);
for (const button of all("[data-tool]")) button.onclick = () => tool(button.dataset.tool);
$("fit").onclick = () => active.fit();
$("actual").onclick = () => active.zoomTo(1);
$("rotate").onclick = () => active.film && active.rotate();
$("flip").onclick = () => active.film && active.flip();
$("invert").onclick = () => change({ invert: !active.display.invert });
$("magnify").onclick = magnify;
$("reset").onclick = () => { active.reset(); change({ threshold: null }); };
$("compare").onclick = compare;
$("together").onclick = moveTogether;
$("add-box").onclick = () => active.addMark("box");
$("copy-regions").onclick = () => {
  active.marks.push(...marksOf({ boxes: active.regions ?? [] }));
  active.draw();
  marked();
};
$("help").onclick = () => $("help-dialog").showModal();
$("opacity").oninput = (event) => change({ opacity: event.target.value / 100 });
$("threshold").oninput = (event) => change({ threshold: event.target.value / 100 });
for (const id of ["level", "width"]) $(id).oninput = (event) => slide(id, event.target.value / 1000);
$("preset").replaceChildren(...Object.entries(PRESETS).map(([value, { name }]) => new Option(name, value)));
$("preset").onchange = (event) => change({ preset: event.target.value });
$("map").onchange = (event) => change({ map: event.target.value });
$("boxes").onchange = (event) => change({ boxes: event.target.checked });
for (const button of all("[data-download]")) button.onclick = downloads[button.dataset.download];
for (const button of all("[data-list]")) button.onclick = lists[button.dataset.list];
for (const button of all("dialog .close")) button.onclick = () => button.closest("dialog").close();
$("card").onclick = async () => {
  try {
    const card = new DOMParser().parseFromString(await api.getCard(model.card), "text/html");
    $("card-text").replaceChildren(...card.body.childNodes);
    $("card-dialog").showModal();
  } catch (error) {
    toast(error.message);
  }
};
addEventListener("beforeunload", (event) => films.busy && event.preventDefault());
addEventListener("beforeprint", () => fillReport(active, model));

let over = 0;
addEventListener("dragenter", () => document.body.classList.toggle("dropping", ++over > 0));
addEventListener("dragleave", () => document.body.classList.toggle("dropping", --over > 0));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  over = 0;
  document.body.classList.remove("dropping");
  take(dropped(event.dataTransfer));
});

const warmer = (by) => () => {
  const now = active.display.threshold ?? model.regions.threshold;
  change({ threshold: Math.min(Math.max(Math.round(100 * (now + by)) / 100, 0.05), 1) });
};
const arrow = (x, y) => (event) => (active.chosen ? active.nudge(-x / 6, -y / 6, event.shiftKey) : active.move(x, y));
listenToKeys(() => Boolean(active.film), {
  o: () => $("files").click(), "?": () => $("help-dialog").showModal(), c: compare, w: () => tool("window"),
}, {
  j: () => step(1), n: () => step(1), k: () => step(-1), p: () => step(-1), l: () => views[1].figure.hidden || moveTogether(),
  i: () => $("invert").click(), r: () => $("reset").click(), t: () => active.rotate(), f: () => active.flip(), m: magnify,
  a: () => change({ preset: "auto" }), v: () => preset(1), d: () => tool("ruler", true), e: () => tool("area", true), x: () => tool("box", true),
  h: () => change({ opacity: active.display.opacity > 0 ? 0 : 0.45 }), b: () => change({ boxes: !active.display.boxes }),
  "[": warmer(-0.05), "]": warmer(0.05), y: () => reading.say(true), u: () => reading.say(false), s: () => downloads.png(),
  Delete: removeChosen, Escape: () => tool("move"),
  0: () => active.fit(), 1: () => active.zoomTo(1), "+": () => active.zoomTo(1.25 * active.zoom),
  "=": () => active.zoomTo(1.25 * active.zoom), "-": () => active.zoomTo(active.zoom / 1.25),
  ArrowLeft: arrow(60, 0), ArrowRight: arrow(-60, 0), ArrowUp: arrow(0, 60), ArrowDown: arrow(0, -60),
});

/** A server that was started again may run another bundle. */
async function learnModel() {
  model = await api.getModel();
  films.most = model.max_bytes;
  films.atATime = 2 + 2 * model.workers;
  $("notice").textContent = model.notice;
  $("card").hidden = model.card === null;
  $("model").textContent = `${model.model}, ${model.runtime}. Version ${model.version}. Radiographs are forgotten after ${Math.round(model.keep_seconds / 60)} min.`;
}

async function begin() {
  try {
    await learnModel();
  } catch (error) {
    toast(error.message);
  }
  show();
  if (model) restore();
}

themed($("theme"), () => active?.film && showWindow(active));
begin();
