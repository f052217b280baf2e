// Live updates: ages that count up, and the stream of new feeds.

export const RETRY_MS = 5000;
const HIDDEN_MS = 60000;

function ago(ageMs) {
  const seconds = Math.max(Math.floor(ageMs / 1000), 0);
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86400)} d ago`;
}

export function countAges() {
  const count = () => {
    for (const node of document.querySelectorAll("[data-since]")) {
      const text = ago(Date.now() - Number(node.dataset.since));
      if (node.textContent !== text) node.textContent = text;
    }
    const badge = document.querySelector("[data-stale-after]");
    if (badge && !document.body.dataset.window) {
      badge.hidden = Date.now() - Number(badge.dataset.asOfMs) <= Number(badge.dataset.staleAfter) * 1000;
    }
  };
  setInterval(count, 1000);
  count();
  return count;
}

// Call a handler for each event of the server, e.g. { feed: (event) => … }. A hidden page disconnects, since a browser
// opens only six connections to a server, and calls `whileHidden` once a minute. When it connects again, the server sends
// the present event.
export function connect(handlers, whileHidden = () => {}) {
  let source, timer;
  const close = () => { clearInterval(timer); source?.close(); }; // it clears a timeout too
  const open = () => {
    close();
    if (document.hidden) {
      timer = setInterval(whileHidden, HIDDEN_MS);
      return;
    }
    source = new EventSource("/api/events");
    for (const [name, handler] of Object.entries(handlers)) source.addEventListener(name, handler);
    source.addEventListener("error", () => {
      // A browser retries by itself if the connection fails, but not after an HTTP error.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, RETRY_MS);
    });
  };
  document.addEventListener("visibilitychange", open);
  addEventListener("pagehide", close);
  open();
}

export function listen({ onFeed, onProblem, whileHidden }) {
  const dot = document.querySelector("[data-live]");
  const show = (state, text) => { dot.dataset.live = state; dot.title = dot.ariaLabel = text; };
  connect({
    open: () => show("on", "connected: new feeds appear automatically"),
    error: () => show("off", "not connected, retrying"),
    feed: (event) => onFeed(JSON.parse(event.data)),
    problem: (event) => onProblem(JSON.parse(event.data)),
  }, whileHidden);
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

export function windowQuery(window) { return window ? `?window=${encodeURIComponent(window)}` : ""; }
