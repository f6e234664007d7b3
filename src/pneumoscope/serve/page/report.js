// One page for the printer, which makes a PDF of it too: the film as it is shown, the finding, who said it.

import { textOf } from "./outputs.js";
import { about } from "./words.js";

/** Fill the page's part that only prints. */
export function fillReport(view, model) {
  const report = document.getElementById("report"), { entry } = view;
  report.replaceChildren();
  if (!entry || !view.film || !model) return;
  const title = document.createElement("h1"), picture = document.createElement("img"), caution = document.createElement("p");
  title.textContent = "Pneumoscope report";
  caution.className = "caution";
  caution.textContent = model.notice;
  picture.alt = `Radiograph ${entry.name}`;
  picture.src = view.picture([]).toDataURL("image/png");
  const [name, ...words] = textOf(entry, view.regions, model).slice(0, -1);
  const lines = [name, about(entry.found.display), ...words, `Printed ${new Date().toLocaleString()}.`];
  report.append(title, caution, picture, ...lines.filter(Boolean).map((text) => {
    const line = document.createElement("p");
    line.textContent = text;
    return line;
  }));
}
