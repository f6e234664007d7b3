// What is said about a film, in words and as a scale.

const $ = (id) => document.getElementById(id);
const percent = (value) => `${100 * value}%`;

/** found: the server's answer, or null. */
export function showFinding(found, model) {
  $("finding").hidden = !found;
  if (!found) return;
  const { finding } = found, { probability, threshold } = finding, judged = isJudged(finding);
  $("label").textContent = verdict(finding);
  $("gate").hidden = judged;
  $("gate").textContent = judged ? "" : finding.summary;
  $("summary").hidden = !judged;
  $("summary").textContent = [finding.summary, ...finding.notes].join(" ");
  $("meter").hidden = $("scale").hidden = !judged;
  if (!judged) return;
  const review = model?.review ?? null;
  $("mark").style.left = percent(probability);
  $("tick").style.left = percent(threshold);
  $("band").hidden = review === null;
  if (review) {
    $("band").style.left = percent(review[0]);
    $("band").style.width = percent(review[1] - review[0]);
  }
  const band = review ? `; indeterminate from ${review[0].toFixed(2)} to ${review[1].toFixed(2)} (hatched)` : "";
  const text = `Probability ${probability.toFixed(2)}; threshold ${threshold.toFixed(2)} (white line)${band}.`;
  $("scale").textContent = text;
  $("meter").setAttribute("aria-label", text);
}

/** Whether the model judged the film: the input gate did not flag it. */
export const isJudged = (finding) => !finding.gate?.flagged;

function verdict(finding) {
  if (!isJudged(finding)) return "Not judged";
  return finding.uncertain ? "Indeterminate: please review" : finding.label;
}

/** regions: those on the film now. */
export function showRegions(found, regions) {
  $("regions").replaceChildren(...regions.map((region) => {
    const line = document.createElement("li"), zone = region.zone ? `${region.zone.replace("_", " ")}, ` : "";
    line.textContent = `${zone}heat ${region.score.toFixed(2)}, ${region.width} × ${region.height} px`;
    return line;
  }));
  $("regions-note").textContent = note(found, regions);
}

function note(found, regions) {
  if (!found) return "";
  const { finding } = found;
  if (!isJudged(finding)) return "None: the film was not judged.";
  if (finding.probability < finding.threshold) return "None: a film below the threshold has no regions.";
  return regions.length ? "" : "None reaches this heat.";
}
