// A ZIP file's entries, read one at a time and never beyond a bound.

const END = 0x06054b50, CENTRAL = 0x02014b50, LOCAL = 0x04034b50;
const LONGEST_END = 65557, MOST_DIRECTORY = 1 << 24, MOST_ENTRIES = 5000;
const DAMAGED = "is a damaged ZIP file, or one of a kind that this page does not read (ZIP64).";

/**
 * @typedef {object} ZipEntry
 * @property {string} name
 * @property {(most: number) => Promise<Uint8Array>} bytes  All of it; an error beyond `most` bytes.
 * @property {(count: number) => Promise<Uint8Array>} head  Its first bytes.
 */

/** Whether a file begins as a ZIP file does. @param {Uint8Array} head */
export const isZip = (head) => head[0] === 0x50 && head[1] === 0x4b && head[2] === 3 && head[3] === 4;

/**
 * The entries of a ZIP file, folders left out; only its directory is read.
 * @param {Blob} file
 * @returns {Promise<ZipEntry[]>}
 */
export async function zipEntries(file) {
  const start = Math.max(file.size - LONGEST_END, 0), tail = await view(file, start, file.size);
  let at = tail.byteLength - 22;
  while (at >= 0 && tail.getUint32(at, true) !== END) at--;
  if (at < 0) throw new Error(DAMAGED);
  const count = tail.getUint16(at + 10, true), size = tail.getUint32(at + 12, true), offset = tail.getUint32(at + 16, true);
  if (count === 0xffff || offset === 0xffffffff || offset + size > file.size) throw new Error(DAMAGED);
  if (count > MOST_ENTRIES || size > MOST_DIRECTORY) throw new Error(`holds more than ${MOST_ENTRIES} files. Send parts of it.`);
  return directory(file, await view(file, offset, offset + size), count);
}

function directory(file, data, count) {
  const entries = [], text = new TextDecoder();
  for (let at = 0; entries.length < count && at + 46 <= data.byteLength;) {
    if (data.getUint32(at, true) !== CENTRAL) throw new Error(DAMAGED);
    const flags = data.getUint16(at + 8, true), method = data.getUint16(at + 10, true), packed = data.getUint32(at + 20, true);
    const [named, extra, comment] = [28, 30, 32].map((place) => data.getUint16(at + place, true));
    const offset = data.getUint32(at + 42, true);
    if (at + 46 + named > data.byteLength) throw new Error(DAMAGED);
    const name = text.decode(new Uint8Array(data.buffer, data.byteOffset + at + 46, named));
    entries.push({
      name,
      bytes: (most) => inflated(file, { flags, method, packed, offset }, most, false),
      head: (bytes) => inflated(file, { flags, method, packed, offset }, bytes, true),
    });
    at += 46 + named + extra + comment;
  }
  return entries.filter((entry) => !entry.name.endsWith("/"));
}

async function inflated(file, { flags, method, packed, offset }, most, cut) {
  if (flags & 1) throw new Error("is encrypted. Unpack the ZIP file first.");
  if (method !== 0 && method !== 8) throw new Error("is packed in a way that this page does not read. Unpack the ZIP file first.");
  const local = await view(file, offset, offset + 30);
  if (local.byteLength < 30 || local.getUint32(0, true) !== LOCAL) throw new Error(DAMAGED);
  const start = offset + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  const stored = file.slice(start, start + packed).stream();
  const reader = (method === 8 ? stored.pipeThrough(new DecompressionStream("deflate-raw")) : stored).getReader();
  const parts = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      size += value.length;
      if (size > most) break;
    }
  } catch {
    throw new Error("is damaged in the ZIP file.");
  }
  // What is not read is not unpacked either.
  await reader.cancel().catch(() => undefined);
  if (size > most && !cut) throw new Error(`is larger than ${most >> 20} MB, the most this server takes.`);
  return new Uint8Array(await new Blob(parts).slice(0, most).arrayBuffer());
}

const view = async (file, from, to) => new DataView(await file.slice(from, to).arrayBuffer());
