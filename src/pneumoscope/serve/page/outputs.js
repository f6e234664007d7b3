// What leaves the page as text: tables of the worklist and of readings, COCO, a film's finding.

import { regionWords, source, verdict } from "./words.js";

const WORKLIST = [
  "image", "state", "label", "probability", "threshold", "indeterminate", "gate", "regions", "summary",
  "reader_agrees", "reader_label", "reader", "note", "model", "version", "error",
];
const READINGS = [
  "image", "label", "reader_agrees", "model_label", "probability", "threshold", "indeterminate", "boxes", "reader", "note", "model", "version",
];

/** Entries that a person gave a label. */
const read = (entries) => entries.filter((entry) => entry.reading?.label);

/** The boxes of a reading; a film that was read as negative has no lesion, whatever was drawn before. */
const lesions = ({ label, boxes }, model) => (label === model.labels[0] ? [] : boxes);

/** The worklist as CSV, a line for each film. */
export function worklistTable(entries, model) {
  return table(WORKLIST, entries.map(({ name, state, reason, found, reading }) => {
    const finding = found?.finding;
    return [
      words(name), state, finding?.label, finding?.probability, finding?.threshold, finding?.uncertain, finding?.gate?.reason,
      finding?.regions.length, words(finding?.summary), reading?.agrees, reading?.label, words(reading?.reader), words(reading?.note),
      finding?.model, model?.version, words(finding?.error ?? reason),
    ];
  }));
}

/** Readings as CSV: `image,label` as a cohort has them, and what the model said. */
export function readingsTable(entries, model) {
  return table(READINGS, read(entries).map(({ name, found: { finding }, reading }) => [
    name, reading.label, reading.agrees, finding.label, finding.probability, finding.threshold, finding.uncertain,
    lesions(reading, model).length, words(reading.reader), words(reading.note), finding.model, model.version,
  ]));
}

/** The reader's boxes as CSV; a line without numbers says that the film has no lesion. */
export function boxesTable(entries, model) {
  const lines = read(entries).flatMap(({ name, reading }) => {
    const boxes = lesions(reading, model);
    if (boxes.length) return boxes.map((box) => [name, box.x, box.y, box.width, box.height]);
    return reading.label === model.labels[0] ? [[name, null, null, null, null]] : [];
  });
  return table(["image", "x", "y", "width", "height"], lines);
}

/** The reader's boxes as COCO. */
export function coco(entries, model) {
  const images = [], annotations = [];
  for (const { name, found, reading } of read(entries)) {
    const image = images.length + 1;
    images.push({ id: image, file_name: name, width: found.width, height: found.height, label: reading.label, agrees: reading.agrees, reader: reading.reader, note: reading.note });
    for (const { x, y, width, height } of lesions(reading, model)) {
      annotations.push({ id: annotations.length + 1, image_id: image, category_id: 1, bbox: [x, y, width, height], area: width * height, iscrowd: 0 });
    }
  }
  const info = { description: `Readings beside ${model.model}. ${model.notice}`, version: model.version };
  return JSON.stringify({ info, images, annotations, categories: [{ id: 1, name: model.labels[1] }] }, null, 2);
}

/** A film's finding and reading as lines of text. */
export function textOf({ name, found, reading }, regions, model) {
  const { finding } = found;
  return [
    name,
    `${verdict(finding, model)}. ${finding.summary ?? ""}`,
    ...(finding.probability === null ? [] : [`Probability ${finding.probability.toFixed(2)}.`]),
    ...regions.map((region, index) => `Region ${index + 1}: ${regionWords(region)}.`),
    ...finding.notes,
    ...(reading?.label ? [`Reader${reading.reader ? ` ${reading.reader}` : ""} ${reading.agrees ? "agrees" : "disagrees"}: ${reading.label}.`] : []),
    ...(reading?.note ? [`Note: ${reading.note}`] : []),
    source(finding, model),
    model.notice,
  ];
}

function table(columns, lines) {
  return [columns, ...lines].map((line) => `${line.map(cell).join(",")}\r\n`).join("");
}

function cell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Free text that a spreadsheet would take for a formula. */
const words = (text) => (/^[=+\-@\t\r]/.test(text ?? "") ? `'${text}` : text);
