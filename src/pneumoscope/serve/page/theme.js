// Light, dark, or as the system has it.

const KEY = "pneumoscope-theme", THEMES = ["auto", "light", "dark"];

/** @param {HTMLButtonElement} button  Goes to the next theme. */
export function themed(button, changed) {
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    changed();
  };
  button.onclick = () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    try {
      localStorage.setItem(KEY, next);
    } catch { /* Then it is asked for again next time. */ }
    show(next);
  };
  let kept = null;
  try {
    kept = localStorage.getItem(KEY);
  } catch { /* As above. */ }
  show(THEMES.includes(kept) ? kept : "auto");
}
