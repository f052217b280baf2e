// The page of the record: filters that apply at once, plots, and fresh numbers with each new feed.
import { loadPlotly, colours, purgeCharts } from "./chart.js";
import { RETRY_MS, listen } from "./live.js";
import { isShortcut, toggleTheme } from "./controls.js";

const form = document.getElementById("filters");
const place = () => location.pathname + location.search;
let shown = place();
let figures = null;
let request = new AbortController();
let retry = 0;

function address() {
  const given = [...new FormData(form)].filter(([, value]) => value);
  return given.length ? `/record?${new URLSearchParams(given)}` : "/record";
}

// Show the record of the address without leaving the page, so that the filter keeps the focus.
async function show() {
  shown = place();
  request.abort();
  clearTimeout(retry);
  request = new AbortController();
  await update(request.signal).catch(ignoreAbort);
}

function ignoreAbort(error) { if (error.name !== "AbortError") throw error; }

async function update(signal) {
  const response = await fetch(shown, { signal });
  if (response.status === 503) { // what is shown stays until the record can be read again
    retry = setTimeout(show, RETRY_MS);
    return;
  }
  const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
  if (signal.aborted) return;
  const found = parsed.getElementById("record");
  if (!found) return location.assign(shown);
  replaceMain(found);
  await draw(signal);
}

// Replace the record, keep what the reader has opened and focused, and announce the number of trades.
function replaceMain(found) {
  const main = document.getElementById("record");
  const name = (node) => node.ariaLabel ?? node.textContent;
  const opened = [...main.querySelectorAll("[open] > summary")].map(name);
  const focused = main.contains(document.activeElement) && name(document.activeElement);
  purgeCharts(main);
  figures = null;
  main.replaceWith(found);
  for (const summary of found.querySelectorAll("summary")) summary.parentElement.open = opened.includes(name(summary));
  if (focused) {
    const same = [...found.querySelectorAll("a, summary, [tabindex]")].find((node) => name(node) === focused);
    (same ?? found).focus({ preventScroll: true });
  }
  const [count] = found.querySelector(".intro").textContent.trim().split(/[;.,] /);
  document.querySelector("[data-announcement]").textContent = count;
}

async function draw(signal) {
  const main = document.getElementById("record");
  if (!main.querySelector("[data-figure]")) return finish();
  const response = await fetch(main.dataset.figures, { signal });
  if (!response.ok) return finish();
  const answer = await response.json();
  if (signal.aborted) return;
  figures = answer;
  await paint();
}

async function paint() {
  const main = document.getElementById("record");
  const drawn = figures;
  const Plotly = drawn && Object.keys(drawn).length ? await loadPlotly() : null;
  if (!main.isConnected) return;
  const c = colours();
  for (const node of Plotly ? main.querySelectorAll("[data-figure]") : []) {
    const { data, layout } = drawn[node.dataset.figure];
    const axis = { gridcolor: c.grid, zerolinecolor: c["strong-line"], linecolor: c.line, automargin: true };
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", `Plot: ${layout.title.text}; the tables have its numbers`);
    await Plotly.react(node, data, {
      ...layout, template: undefined, height: undefined, autosize: true, font: { color: c.ink, size: 12 },
      title: { ...layout.title, font: { size: 14 } }, margin: { l: 56, r: 16, t: 40, b: 84 },
      paper_bgcolor: "rgba(0, 0, 0, 0)", plot_bgcolor: "rgba(0, 0, 0, 0)", dragmode: false,
      legend: { orientation: "h", yref: "container", y: 0.01, yanchor: "bottom" },
      xaxis: { ...layout.xaxis, ...axis, title: { ...layout.xaxis?.title, standoff: 4, font: { size: 12 } } }, yaxis: { ...layout.yaxis, ...axis },
    }, { displayModeBar: false, responsive: true });
  }
  finish();
}

function finish() { document.documentElement.dataset.ready = "yes"; }

form.addEventListener("change", () => { history.pushState(null, "", address()); show(); });
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("popstate", () => { if (place() !== shown) location.reload(); }); // not for the skip link
addEventListener("themechange", paint);
document.querySelector("[data-do=theme]").addEventListener("click", toggleTheme);
document.addEventListener("keydown", (event) => {
  if (event.key === "t" && isShortcut(event) && !event.target.matches("select, input")) toggleTheme();
});

let etag;
listen({
  onFeed: (event) => {
    // The first event tells nothing new, unless the page was loaded long before, e.g. in a hidden tab.
    const isNew = etag === undefined ? performance.now() > RETRY_MS : event.etag !== etag;
    etag = event.etag;
    if (isNew) show();
  },
  onProblem: () => {},
});
await draw(request.signal).catch(ignoreAbort);
