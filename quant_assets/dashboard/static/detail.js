// The detail panel: one signal in full. The server sends its text as escaped HTML; plotly, which is loaded when the first
// row is opened, draws its charts.
import { defaultTimeframe, drawCharts, purgeCharts } from "./chart.js";
import { windowQuery } from "./live.js";

const NOT_FOUND = "Not in this feed";
const FAILED = "This row cannot be shown";

export class Detail {
  constructor(node, open) {
    this.node = node;
    this.timeframe = ""; // the chosen one; until then each row has its default
    this.request = null;
    node.addEventListener("click", (event) => {
      const link = event.target.closest("[data-open]");
      if (link && !event.ctrlKey && !event.metaKey) { event.preventDefault(); open(link.dataset.open); }
      const frame = event.target.closest("[data-frame]");
      if (frame) { this.timeframe = frame.dataset.frame; this.draw(); }
    });
    addEventListener("themechange", () => { if (!node.hidden) this.draw(); });
  }

  // Show a row; `focus` moves the focus into the panel, `keepPosition` keeps its scroll position.
  async open(row, window, focus = true, keepPosition = false) {
    this.request?.abort();
    this.request = new AbortController();
    this.row = row;
    this.window = window;
    if (!row) return this.replace(this.message(NOT_FOUND, "This row is not in the current feed."), focus);
    const parameters = new URLSearchParams({ strategy: row.strategy, ...(window && { window }) });
    const target = `/detail/${encodeURIComponent(row.exchange)}/${encodeURIComponent(row.symbol)}?${parameters}`;
    const { signal } = this.request;
    let response, html;
    try {
      response = await fetch(target, { signal });
      html = await response.text();
    } catch {
      if (signal.aborted) return;
      return this.replace(this.message(FAILED, "The server does not answer. Close this panel and open the row again."), focus);
    }
    if (signal.aborted) return;
    const parsed = new DOMParser().parseFromString(html, "text/html");
    const found = parsed.querySelector("[data-series]");
    const heading = response.status === 404 ? NOT_FOUND : FAILED;
    this.replace(found ? parsed.body.childNodes : this.message(heading, parsed.querySelector(".message")?.textContent), focus, keepPosition);
    await this.load();
  }

  replace(nodes, focus, keepPosition = false) {
    const top = keepPosition ? this.node.querySelector(".body")?.scrollTop ?? 0 : 0;
    const inside = this.node.contains(document.activeElement);
    purgeCharts(this.node);
    delete this.node.dataset.drawn;
    this.node.replaceChildren(...nodes);
    this.node.hidden = false;
    this.node.querySelector(".body").scrollTop = top;
    if (focus || (inside && !keepPosition)) this.node.querySelector("h2").focus({ preventScroll: true });
    else if (inside) this.node.querySelector(".body").focus({ preventScroll: true });
  }

  // Draw the charts of a row that the server has already put into the panel.
  adopt(row, window) {
    const body = this.node.querySelector("[data-series]");
    if (!row || body?.dataset.id !== row.id) return this.open(row, window, false);
    this.row = row;
    this.window = window;
    return this.load();
  }

  async load() {
    const body = this.node.querySelector("[data-series]");
    this.series = null;
    if (!body) return;
    try {
      const response = await fetch(body.dataset.series + windowQuery(this.window), { signal: this.request?.signal });
      if (!response.ok) return;
      this.series = await response.json();
    } catch (error) {
      if (error.name === "AbortError") return;
      throw error;
    }
    await this.draw();
  }

  async draw() {
    if (!this.series) return;
    const timeframe = this.timeframe || defaultTimeframe(this.series, this.row);
    for (const button of this.node.querySelectorAll("[data-frame]")) {
      button.setAttribute("aria-pressed", button.dataset.frame === timeframe);
    }
    await drawCharts(this.node, this.series, this.row, timeframe);
  }

  message(heading, text) {
    const body = Object.assign(document.createElement("div"), { className: "body", tabIndex: 0 });
    const head = Object.assign(document.createElement("h2"), { id: "detail-title", tabIndex: -1, textContent: heading });
    const close = Object.assign(document.createElement("button"), { type: "button", textContent: "✕", ariaLabel: "Close" });
    close.dataset.do = "close";
    body.textContent = text ?? "The server has no details of this row.";
    const top = document.createElement("header");
    top.append(head, close);
    return [top, body];
  }

  close() {
    this.request?.abort();
    purgeCharts(this.node);
    this.node.hidden = true;
    this.node.replaceChildren();
  }
}
