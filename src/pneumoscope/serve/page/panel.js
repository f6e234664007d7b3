// What is said about a film, in words and as a scale.

import { isAssessed, isOutdated, isPositive, OUTDATED, regionWords, verdict } from "./words.js";

const $ = (id) => document.getElementById(id);
const percent = (value) => `${100 * value}%`;

/** found: the server's answer, or null. */
export function showFinding(found, model) {
  $("finding").hidden = !found;
  if (!found) return;
  const { finding } = found, { probability, threshold } = finding, assessed = isAssessed(finding);
  $("label").textContent = verdict(finding, model);
  $("gate").hidden = assessed;
  $("gate").textContent = assessed ? "" : finding.summary;
  $("summary").hidden = !assessed;
  $("summary").textContent = finding.summary;
  const outdated = isOutdated(found, model);
  $("outdated").hidden = !outdated;
  $("outdated").textContent = outdated ? OUTDATED : "";
  $("notes-part").hidden = finding.notes.length === 0;
  $("notes").replaceChildren(...finding.notes.map((note) => item(note)));
  $("meter").hidden = $("scale").hidden = !assessed;
  if (!assessed) return;
  // The band of one model says nothing of another one's probability.
  const review = outdated ? null : (model?.review ?? null);
  $("mark").style.left = percent(probability);
  $("tick").style.left = percent(threshold);
  $("band").hidden = review === null;
  if (review) {
    $("band").style.left = percent(review[0]);
    $("band").style.width = percent(review[1] - review[0]);
  }
  const band = review ? `; indeterminate from ${review[0].toFixed(2)} to ${review[1].toFixed(2)} (hatched)` : "";
  const text = `Probability ${probability.toFixed(2)}; threshold ${threshold.toFixed(2)} (line)${band}.`;
  $("scale").textContent = text;
  $("meter").setAttribute("aria-label", text);
}

/** regions: those on the film now. */
export function showRegions(found, regions) {
  $("regions").replaceChildren(...regions.map((region) => item(regionWords(region))));
  $("regions-note").textContent = note(found, regions);
}

function note(found, regions) {
  if (!found) return "";
  const { finding } = found;
  if (!isAssessed(finding)) return "None: the radiograph was not assessed.";
  if (!isPositive(finding)) return "None: a radiograph below the threshold has no regions.";
  if (!regions.length) return "None reaches this heat.";
  return "Heat is the model's evidence on one scale for all radiographs: the strongest place has the radiograph's probability.";
}

function item(words) {
  const line = document.createElement("li");
  line.textContent = words;
  return line;
}

/** Why what cannot be saved cannot. @returns {Record<string, string | null>} null where it can. */
export function reasons(entry, model) {
  const none = entry ? null : "open a radiograph first";
  const outdated = entry && isOutdated(entry.found, model) ? "found by another model or calibration" : null;
  return {
    png: none, json: none, text: none, report: none,
    dicom: none ?? outdated ?? (entry.found.dicom ? null : "this radiograph has no DICOM study to which objects can belong"),
    heat: none ?? (isAssessed(entry.found.finding) ? null : "a radiograph that was not assessed has no heatmap"),
    reading: none ?? outdated ?? (!entry.found.dicom ? "this radiograph has no DICOM study" : entry.reading?.label ? null : "agree or disagree first"),
  };
}
