// The page of the record: filters that apply at once, plots, and fresh numbers with each new feed.
import { loadPlotly, colours, purgeCharts } from "./chart.js";
import { listen } from "./live.js";
import { toggleTheme } from "./controls.js";

const form = document.getElementById("filters");
let figures = null;

function address() {
  const given = [...new FormData(form)].filter(([, value]) => value);
  return given.length ? `/record?${new URLSearchParams(given)}` : "/record";
}

// Show the record of an address without leaving the page, so that the filter keeps the focus.
async function show(target) {
  const response = await fetch(target);
  const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
  const found = parsed.getElementById("record");
  if (!found) return location.assign(target);
  const main = document.getElementById("record");
  purgeCharts(main);
  main.replaceWith(found);
  await draw();
}

async function draw() {
  const main = document.getElementById("record");
  if (!main.querySelector("[data-figure]")) return finish();
  const response = await fetch(main.dataset.figures);
  if (!response.ok) return finish();
  figures = await response.json();
  await paint();
}

async function paint() {
  const main = document.getElementById("record");
  const Plotly = figures && Object.keys(figures).length ? await loadPlotly() : null;
  const c = colours();
  for (const node of Plotly ? main.querySelectorAll("[data-figure]") : []) {
    const { data, layout } = figures[node.dataset.figure];
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

form.addEventListener("change", () => { history.pushState(null, "", address()); show(address()); });
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("popstate", () => location.reload());
addEventListener("themechange", paint);
document.querySelector("[data-do=theme]").addEventListener("click", toggleTheme);
document.addEventListener("keydown", (event) => {
  if (event.key === "t" && !event.ctrlKey && !event.metaKey && !event.altKey && !event.target.matches("select, input")) toggleTheme();
});

await draw();
let etag;
listen({
  onFeed: (event) => {
    const isNew = etag !== undefined && event.etag !== etag;
    etag = event.etag;
    if (isNew) show(location.pathname + location.search);
  },
  onProblem: () => {},
});
