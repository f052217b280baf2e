// The panel beside the table: one signal in full. Its text comes from the server as escaped HTML; its charts are drawn
// here, by plotly, which is fetched when the first row is opened.
import { drawCharts, firstFrame, forget } from "./chart.js";

export class Detail {
  constructor(node, open) {
    this.node = node;
    this.frame = ""; // what was chosen; until then each row begins with the candles that it is read on
    this.asked = null;
    node.addEventListener("click", (event) => {
      const link = event.target.closest("[data-open]");
      if (link && !event.ctrlKey && !event.metaKey) { event.preventDefault(); open(link.dataset.open); }
      const frame = event.target.closest("[data-frame]");
      if (frame) { this.frame = frame.dataset.frame; this.draw(); }
    });
    addEventListener("themechange", () => { if (!node.hidden) this.draw(); });
  }

  // Open a row; `focus` moves the focus into the panel, `hold` keeps what is read where it is.
  async open(row, window, focus = true, hold = false) {
    this.asked?.abort();
    this.asked = new AbortController();
    this.row = row;
    this.window = window;
    if (!row) return this.put(this.sorry("This row is not in the feed that is shown."), focus);
    const given = new URLSearchParams({ strategy: row.strategy, ...(window && { window }) });
    const target = `/detail/${encodeURIComponent(row.exchange)}/${encodeURIComponent(row.symbol)}?${given}`;
    let html;
    try {
      html = await (await fetch(target, { signal: this.asked.signal })).text();
    } catch (error) {
      if (error.name === "AbortError") return;
      throw error;
    }
    const parsed = new DOMParser().parseFromString(html, "text/html");
    const is = parsed.querySelector("[data-series]");
    this.put(is ? parsed.body.childNodes : this.sorry(parsed.querySelector(".message")?.textContent), focus, hold);
    await this.load();
  }

  put(nodes, focus, hold = false) {
    const top = hold ? this.node.querySelector(".body")?.scrollTop ?? 0 : 0;
    const inside = this.node.contains(document.activeElement);
    forget(this.node);
    delete this.node.dataset.drawn;
    this.node.replaceChildren(...nodes);
    this.node.hidden = false;
    this.node.querySelector(".body").scrollTop = top;
    if (focus || (inside && !hold)) this.node.querySelector("h2").focus({ preventScroll: true });
    else if (inside) this.node.querySelector(".body").focus({ preventScroll: true });
  }

  // The page came with the row open: only the charts are missing.
  adopt(row, window) {
    if (!row || !this.node.querySelector("[data-series]")) return this.open(row, window, false);
    this.row = row;
    this.window = window;
    return this.load();
  }

  async load() {
    const body = this.node.querySelector("[data-series]");
    this.series = null;
    if (!body) return;
    const given = this.window ? `?window=${encodeURIComponent(this.window)}` : "";
    try {
      const answer = await fetch(body.dataset.series + given, { signal: this.asked?.signal });
      if (!answer.ok) return;
      this.series = await answer.json();
    } catch (error) {
      if (error.name === "AbortError") return;
      throw error;
    }
    await this.draw();
  }

  async draw() {
    if (!this.series) return;
    const shown = this.frame || firstFrame(this.series, this.row);
    for (const button of this.node.querySelectorAll("[data-frame]")) {
      button.setAttribute("aria-pressed", button.dataset.frame === shown);
    }
    await drawCharts(this.node, this.series, this.row, shown);
  }

  sorry(text) {
    const body = Object.assign(document.createElement("div"), { className: "body", tabIndex: 0 });
    const head = Object.assign(document.createElement("h2"), { id: "detail-title", tabIndex: -1, textContent: "Not in this feed" });
    const close = Object.assign(document.createElement("button"), { type: "button", textContent: "✕", ariaLabel: "Close" });
    close.dataset.do = "close";
    body.textContent = text ?? "This row cannot be shown.";
    const top = document.createElement("header");
    top.append(head, close);
    return [top, body];
  }

  close() {
    this.asked?.abort();
    forget(this.node);
    this.node.hidden = true;
    this.node.replaceChildren();
  }
}
