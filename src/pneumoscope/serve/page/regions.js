// The rule of findings/regions.py, so that a slider moves regions without asking the server.

/**
 * Boxes around the 8-connected parts of a heatmap that reach a threshold.
 * heat: Uint16Array of height x width, 65535 is 1. rule: {threshold, min_area, max_regions}.
 */
export function findRegions(heat, width, height, rule) {
  const least = Math.ceil(rule.threshold * 65535), parts = new Parts();
  let lowest = 65535, highest = 0, above = [];
  for (let y = 0; y < height; y++) {
    const runs = [], line = y * width;
    for (let x = 0; x < width; x++) {
      let value = heat[line + x];
      if (value < lowest) lowest = value;
      if (value > highest) highest = value;
      if (value < least) continue;
      const start = x;
      let peak = value;
      while (++x < width && (value = heat[line + x]) >= least) if (value > peak) peak = value;
      if (peak > highest) highest = peak;
      if (x < width && value < lowest) lowest = value;
      runs.push({ start, end: x, part: parts.add(start, x, y, peak) });
    }
    join(parts, above, runs);
    above = runs;
  }
  if (lowest === highest) return [];
  return parts.roots()
    .filter((part) => part.area >= rule.min_area * width * height)
    .sort((a, b) => b.peak - a.peak || b.area - a.area || a.top - b.top || a.left - b.left)
    .slice(0, rule.max_regions)
    .map((part) => ({
      x: part.left, y: part.top, width: part.right - part.left, height: part.bottom - part.top,
      score: part.peak / 65535,
    }));
}

// Runs of two neighbouring rows that touch, at a corner too, are one part.
function join(parts, above, runs) {
  let first = 0;
  for (const run of runs) {
    while (first < above.length && above[first].end < run.start) first++;
    for (let at = first; at < above.length && above[at].start <= run.end; at++) {
      parts.union(above[at].part, run.part);
    }
  }
}

class Parts {
  constructor() { this.all = []; }

  add(left, right, y, peak) {
    this.all.push({ parent: this.all.length, left, right, top: y, bottom: y + 1, area: right - left, peak });
    return this.all.length - 1;
  }

  find(index) {
    while (this.all[index].parent !== index) {
      index = this.all[index].parent = this.all[this.all[index].parent].parent;
    }
    return index;
  }

  union(one, other) {
    one = this.find(one);
    other = this.find(other);
    if (one === other) return;
    const kept = this.all[one], gone = this.all[other];
    gone.parent = one;
    kept.left = Math.min(kept.left, gone.left);
    kept.right = Math.max(kept.right, gone.right);
    kept.top = Math.min(kept.top, gone.top);
    kept.bottom = Math.max(kept.bottom, gone.bottom);
    kept.peak = Math.max(kept.peak, gone.peak);
    kept.area += gone.area;
  }

  roots() { return this.all.filter((part, index) => part.parent === index); }
}
