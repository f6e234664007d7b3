// What a finding is called, the same in the worklist, the panel, the report and the tables.

/** Whether the model assessed the film: it could be used, and the input gate did not flag it. */
export const isAssessed = (finding) => finding.error === null && !finding.gate?.flagged;

/** Whether another bundle found it than the one that the server runs now. */
export const isOutdated = (found, model) => Boolean(found && model) && (found.bundle ? found.bundle !== model.bundle : found.finding.model !== model.model);

export const OUTDATED = "Another model or calibration than the server's present one found this. Open the radiograph again to analyse it again.";

/** Text without control characters, which DICOM and the server refuse; tabs and line ends stay. */
// eslint-disable-next-line no-control-regex
export const plain = (text) => text.replace(/[\0-\x08\x0b\x0c\x0e-\x1f]/g, "");

export const isPositive = ({ probability, threshold }) => probability !== null && probability >= threshold;

const name = (model) => ({ PNEUMONIA: "Opacity" })[model?.labels[1]] ?? model?.labels[1] ?? "Finding";

/** The headline, by the band that the probability is in. */
export function verdict(finding, model) {
  if (!isAssessed(finding)) return "Not assessed";
  if (finding.uncertain) return "Indeterminate: please review";
  if (finding.uncertain === null) return `Score ${isPositive(finding) ? "at or above" : "below"} the threshold`;
  return `${name(model)} likely ${isPositive(finding) ? "present" : "absent"}`;
}

/** The same in a word or two behind the probability, for a table. */
export function state(finding) {
  if (!isAssessed(finding)) return "not assessed";
  const value = finding.probability.toFixed(2);
  if (finding.uncertain) return `${value} review`;
  if (finding.uncertain === null) return `${value} ${isPositive(finding) ? "at or above" : "below"}`;
  return `${value} ${isPositive(finding) ? "likely" : "unlikely"}`;
}

export const zone = (region) => (region.zone ? region.zone.replace("_", " ").replace("outside lungs", "outside the lungs") : null);

/** A region in words; its heat is labelled, since it is no probability of that place. */
export function regionWords(region) {
  const where = zone(region);
  return `${where ? `${where}, ` : ""}heat ${region.score.toFixed(2)}, ${region.width} × ${region.height} px`;
}

/** Who said it, with what. */
export const source = (finding, model) =>
  `Model ${finding.model}, Pneumoscope ${model.version}${finding.threshold === null ? "" : `, threshold ${finding.threshold.toFixed(2)}`}.`;

/** Lines that go with a film wherever it is taken: its name, the finding, the model, the caution. */
export function lines(entry, model) {
  const { finding } = entry.found, probability = finding.probability === null ? "" : ` Probability ${finding.probability.toFixed(2)}.`;
  return [`${entry.name}: ${finding.summary ?? verdict(finding, model)}${probability}`, `${source(finding, model)} ${model.notice}`];
}

/** What the file says of patient and study, where it does. */
export function about(display) {
  if (!display) return "";
  const { sex, age, view, date, study, series } = display;
  const years = age === null ? null : age < 2 ? `${Math.round(12 * age)} months` : `${Math.floor(age)} years`;
  return [sex, years, view, date, study, series].filter(Boolean).join(" · ");
}
