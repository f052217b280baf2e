// Light or dark before the first paint: what was chosen here, or else what the system says.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try { return localStorage.getItem("theme"); } catch { return null; }
  };
  const show = () => { document.documentElement.dataset.theme = chosen() ?? (dark.matches ? "dark" : "light"); };
  document.documentElement.classList.add("scripted");
  dark.addEventListener("change", () => { show(); dispatchEvent(new Event("themechange")); });
  show();
})();
