// From what somebody drops or chooses to single films: files, folders, ZIP files, DICOM studies.

import { isZip, zipEntries } from "./zip.js";

/**
 * @typedef {object} Source  A film that can be read when its turn comes.
 * @property {string} name
 * @property {(most: number) => Promise<Blob>} blob  An error if it is larger than `most` bytes.
 */

const HEAD = 140, MOST_FILES = 5000, MOST_UNPACKED = 4 * 2 ** 30;
const PICTURES = [[0x89, 0x50, 0x4e, 0x47], [0xff, 0xd8, 0xff], [0x49, 0x49, 0x2a, 0], [0x4d, 0x4d, 0, 0x2a], [0x49, 0x49, 0x2b, 0], [0x4d, 0x4d, 0, 0x2b]];

/**
 * What is in a drop; must be called while the event is handled.
 * @param {DataTransfer} transfer
 * @returns {(File | FileSystemEntry)[]}
 */
export function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  return items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter(Boolean);
}

/**
 * Films of what was dropped or chosen. A file that was given alone is always taken, so that it gets
 * its reason; of folders and ZIP files only what looks like a film.
 * @param {Iterable<File | FileSystemEntry>} items
 * @param {(source: Source) => void} add
 * @param {(words: string) => void} tell
 */
export async function takeIn(items, add, tell) {
  const left = { others: 0, unread: 0, room: MOST_FILES };
  for (const item of items) {
    try {
      if (item.isDirectory) await folder(item, left, add, tell);
      else if (item.isFile) await given(await fileOf(item), item.name, left, add);
      else await given(item, item.webkitRelativePath || item.name, left, add);
    } catch (error) {
      tell(`${item.name} ${error.message}`);
    }
  }
  if (left.others) tell(`${left.others === 1 ? "1 file was" : `${left.others} files were`} left out: hidden, or not a radiograph.`);
  if (left.unread) tell(`${left.unread === 1 ? "1 file of a ZIP file" : `${left.unread} files of ZIP files`} cannot be read. The worklist says why.`);
  if (left.room < 0) tell(`Only the first ${MOST_FILES} files were taken. Open the rest later.`);
}

/** Whether a file's first bytes are those of a format that the server reads. @param {Uint8Array} head */
export function isFilm(head) {
  if (PICTURES.some((start) => start.every((byte, at) => head[at] === byte))) return true;
  if (String.fromCharCode(...head.subarray(128, 132)) === "DICM") return true;
  // Older archives write the dataset at once: a first element of group 0002 or 0008.
  const group = head[0] | (head[1] << 8), kind = String.fromCharCode(head[4], head[5]);
  const short = head[6] + head[7] === 0 && (head[4] | (head[5] << 8)) <= 256;
  return head.length > 8 && (group === 2 || group === 8) && (/^(AE|CS|DA|DT|IS|LO|OB|PN|SH|SQ|ST|TM|UI|UL|US)$/.test(kind) || short);
}

async function given(file, name, left, add) {
  const head = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  if (isZip(head)) return archive(file, left, add);
  const inFolder = name.includes("/");
  if (inFolder && (ignored(name) || !isFilm(head))) left.others++;
  else if (left.room-- > 0) add({ name, blob: async (most) => bounded(file, most) });
}

async function folder(entry, left, add, tell) {
  const reader = entry.createReader();
  for (let some; (some = await new Promise((done, failed) => reader.readEntries(done, failed))).length && left.room >= 0;) {
    for (const inside of some) {
      try {
        if (inside.isDirectory) await folder(inside, left, add, tell);
        else await given(await fileOf(inside), inside.fullPath.slice(1), left, add);
      } catch (error) {
        // The other files of the folder go on.
        tell(`${inside.name} ${error.message}`);
      }
    }
  }
}

async function archive(file, left, add) {
  let room = MOST_UNPACKED;
  for (const entry of await zipEntries(file)) {
    const inside = cleaned(entry.name) || "unnamed", head = ignored(inside) ? null : await entry.head(HEAD).catch((error) => error);
    if (head instanceof Error) {
      left.unread++;
      if (left.room-- > 0) add({ name: inside, blob: () => Promise.reject(head) });
    } else if (!head || !isFilm(head)) left.others++;
    else if (left.room-- > 0) {
      add({
        name: inside,
        blob: async (most) => {
          if (room <= 0) throw new Error(`is in a ZIP file that unpacks to more than ${MOST_UNPACKED / 2 ** 30} GB. Unpack it first.`);
          const bytes = await entry.bytes(most);
          room -= bytes.length;
          return new Blob([bytes]);
        },
      });
    }
  }
}

function bounded(file, most) {
  if (file.size > most) throw new Error(`is larger than ${most >> 20} MB, the most this server takes.`);
  return file;
}

const fileOf = (entry) => new Promise((done, failed) => entry.file(done, failed));

/** A path of a ZIP file without "." and "..", so that none points out of its folder. */
function cleaned(path) {
  const parts = [];
  for (const part of path.split(/[/\\]/)) {
    if (part === "..") parts.pop();
    else if (part && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

const ignored = (name) => /(^|\/)(\.|__MACOSX\/|DICOMDIR$)/i.test(name);
