// What is drawn over a film in screen pixels: regions, colour bars, words.

import { colours } from "./colours.js";
import { rectangle } from "./geometry.js";
import { label } from "./marks.js";

export function box(context, region, index, place, line) {
  const { x, y, width, height } = rectangle(place, region);
  for (const [style, wide] of [["#000a", 4], ["#fff", 2]]) {
    context.strokeStyle = style;
    context.lineWidth = wide * line;
    context.strokeRect(x, y, width, height);
  }
  label(context, `${index + 1}: heat ${region.score.toFixed(2)}`, x, Math.max(y - 18.2 * line, 0), line);
}

/** The colours of heat from 0 to 1 at the right edge of a canvas. */
export function bar(context, map, canvas, line) {
  const table = colours(map), tall = Math.min(160 * line, 0.4 * canvas.height), wide = 10 * line;
  const x = canvas.width - wide - 8 * line, y = canvas.height - tall - 34 * line;
  for (let at = 0; at < 256; at++) {
    context.fillStyle = `rgb(${table.subarray(3 * at, 3 * at + 3).join(" ")})`;
    context.fillRect(x, y + ((255 - at) * tall) / 256, wide, tall / 256 + 1);
  }
  context.font = `${11 * line}px sans-serif`;
  context.textAlign = "right";
  context.lineWidth = 3 * line;
  context.strokeStyle = "#000";
  context.fillStyle = "#fff";
  for (const [heat, words] of [[0, "0"], [0.5, ".5"], [1, "heat 1"]]) {
    const at = y + (1 - heat) * tall + 4 * line;
    context.strokeText(words, x - 4 * line, at);
    context.fillText(words, x - 4 * line, at);
  }
}

/** The same, lying. */
export function scaleBar(context, map, x, y, width, size) {
  const table = colours(map);
  for (let at = 0; at < 256; at++) {
    context.fillStyle = `rgb(${table.subarray(3 * at, 3 * at + 3).join(" ")})`;
    context.fillRect(x + (at * width) / 256, y, width / 256 + 1, 0.8 * size);
  }
  context.fillStyle = "#fff";
  context.font = `${0.9 * size}px sans-serif`;
  for (const [heat, words, side] of [[0, "heat 0", "left"], [0.5, ".5", "center"], [1, "1", "right"]]) {
    context.textAlign = side;
    context.fillText(words, x + heat * width, y + 2 * size);
  }
}

/** Lines cut between words to a width. */
export function wrapped(context, lines, size, width) {
  context.font = `${size}px sans-serif`;
  const rows = [];
  for (const line of lines) {
    let row = "";
    for (const word of line.split(" ")) {
      const longer = row ? `${row} ${word}` : word;
      if (row && context.measureText(longer).width > width) {
        rows.push(row);
        row = word;
      } else row = longer;
    }
    rows.push(row);
  }
  return rows;
}
