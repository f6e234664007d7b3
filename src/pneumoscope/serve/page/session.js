// The worklist survives a reload: it is kept in this tab, and forgotten when the tab is closed.

const KEY = "pneumoscope-worklist";
const WAIT = 300;
const UNSENT = { state: "not sent", reason: "The page was closed or loaded again before this radiograph had an answer. Open it again." };
let timer = null, list = () => [];

/** Keep entries; one that still waits becomes one that was not sent. @param {() => object[]} entriesOf */
export function remember(entriesOf, tell) {
  list = entriesOf;
  clearTimeout(timer);
  timer = setTimeout(() => store(list(), tell), WAIT);
}
addEventListener("pagehide", () => timer && store(list(), () => undefined));

function store(entries, tell) {
  const kept = entries.map((entry) => {
    const { name, state, reason, found, reading } = entry.found || entry.reason ? entry : { ...entry, ...UNSENT };
    // Tables of the display are asked for again.
    return { name, state, reason, reading, found: found && { ...found, display: null } };
  });
  try {
    sessionStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    tell("The worklist is too long to survive a reload of this page. Save it as CSV.");
  }
}

/** @returns {object[]} What was kept, in its order. */
export function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
  } catch {
    return [];
  }
}
