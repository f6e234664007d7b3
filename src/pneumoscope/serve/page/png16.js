// 16-bit gray PNG to its levels: a browser's own decoder keeps 8 bits only.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

/** Levels of a 16-bit gray PNG that is not interlaced: {width, height, levels: Uint16Array}. */
export async function decodeGray16(bytes) {
  const { width, height, parts } = chunks(bytes);
  const inflating = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const rows = new Uint8Array(await new Response(inflating).arrayBuffer());
  if (rows.length !== height * (2 * width + 1)) throw new Error("The picture is damaged.");
  return { width, height, levels: unfiltered(rows, width, height) };
}

function chunks(bytes) {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (SIGNATURE.some((value, at) => bytes[at] !== value)) throw new Error("The picture is no PNG.");
  const parts = [];
  let width = 0, height = 0;
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = data.getUint32(at), kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === "IHDR") {
      width = data.getUint32(at + 8);
      height = data.getUint32(at + 12);
      const [depth, colour, , , interlace] = bytes.subarray(at + 16, at + 21);
      if (depth !== 16 || colour !== 0 || interlace !== 0) throw new Error("The picture is no 16-bit gray PNG.");
    } else if (kind === "IDAT") {
      parts.push(bytes.subarray(at + 8, at + 8 + length));
    }
    at += 12 + length;
  }
  return { width, height, parts };
}

function unfiltered(rows, width, height) {
  const stride = 2 * width, levels = new Uint16Array(width * height);
  let above = new Uint8Array(stride), row = new Uint8Array(stride);
  for (let y = 0; y < height; y++) {
    const at = y * (stride + 1);
    row.set(rows.subarray(at + 1, at + 1 + stride));
    unfilter(rows[at], row, above);
    const line = y * width;
    for (let x = 0; x < width; x++) levels[line + x] = (row[2 * x] << 8) | row[2 * x + 1];
    [above, row] = [row, above];
  }
  return levels;
}

function unfilter(filter, row, above) {
  const count = row.length;
  if (filter === 1) {
    for (let at = 2; at < count; at++) row[at] += row[at - 2];
  } else if (filter === 2) {
    for (let at = 0; at < count; at++) row[at] += above[at];
  } else if (filter === 3) {
    for (let at = 0; at < count; at++) row[at] += ((at < 2 ? 0 : row[at - 2]) + above[at]) >> 1;
  } else if (filter === 4) {
    for (let at = 0; at < count; at++) {
      row[at] += paeth(at < 2 ? 0 : row[at - 2], above[at], at < 2 ? 0 : above[at - 2]);
    }
  }
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const byLeft = Math.abs(guess - left), byUp = Math.abs(guess - up), byCorner = Math.abs(guess - corner);
  if (byLeft <= byUp && byLeft <= byCorner) return left;
  return byUp <= byCorner ? up : corner;
}
