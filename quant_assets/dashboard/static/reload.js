// The page that says why the newest feed cannot be shown: shows the feed as soon as there is a valid one.
const source = new EventSource("/api/events");
source.addEventListener("feed", () => { source.close(); location.reload(); });
source.addEventListener("problem", (event) => {
  document.querySelector(".message").textContent = JSON.parse(event.data).message;
});
