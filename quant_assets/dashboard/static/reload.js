// The page that says why the newest feed cannot be shown: shows the feed as soon as there is a valid one.
import { connect } from "./live.js";

connect({
  feed: () => location.reload(),
  problem: (event) => { document.querySelector(".message").textContent = JSON.parse(event.data).message; },
});
