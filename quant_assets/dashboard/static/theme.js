// Set the theme before the first paint: the saved choice, or else the system's setting.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const saved = () => {
    try { return localStorage.getItem("theme"); } catch { return null; }
  };
  const show = () => { document.documentElement.dataset.theme = saved() ?? (dark.matches ? "dark" : "light"); };
  document.documentElement.classList.add("scripted");
  dark.addEventListener("change", () => { show(); dispatchEvent(new Event("themechange")); });
  show();
})();
