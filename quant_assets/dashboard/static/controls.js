// Controls that the pages share.

function save(name, value) {
  try { localStorage.setItem(name, value); } catch { /* storage may be disabled */ }
}

function saved(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

export function toggleTheme() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  save("theme", theme);
  dispatchEvent(new Event("themechange"));
}

// Keys that print a character can be turned off, since speech input may press them by accident (WCAG 2.1.4).
let letterKeys = saved("letter-keys") !== "off";

export function bindLetterKeys(box) {
  box.checked = letterKeys;
  box.addEventListener("change", () => {
    letterKeys = box.checked;
    save("letter-keys", letterKeys ? "on" : "off");
  });
}

// Whether a page acts on this key: not with a modifier, and on a character only if these are on.
export function isShortcut(event) {
  return !event.ctrlKey && !event.metaKey && !event.altKey && (event.key.length > 1 || letterKeys);
}
