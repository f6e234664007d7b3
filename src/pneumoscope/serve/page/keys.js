// Which key does what, and when it does not: while somebody types, or while a dialog is open.

/**
 * @param {() => boolean} hasFilm
 * @param {Record<string, (event: KeyboardEvent) => void>} anytime  Keys that need no film.
 * @param {Record<string, (event: KeyboardEvent) => void>} withFilm
 */
export function listenToKeys(hasFilm, anytime, withFilm) {
  addEventListener("keydown", (event) => {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const act = anytime[key] ?? (hasFilm() ? withFilm[key] : undefined);
    const busy = document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey;
    // Sliders move and frames scroll by arrows.
    const sliding = event.target.matches?.("input[type=range], #panel, #table") && key.startsWith("Arrow");
    if (!act || busy || sliding || event.target.matches?.("select, textarea, #reader, input[type=password]")) return;
    event.preventDefault();
    act(event);
  });
}
