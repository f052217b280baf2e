// The page that says what is the matter: shows the feed as soon as there is a sound one.
const source = new EventSource("/api/events");
source.addEventListener("feed", () => { source.close(); location.reload(); });
source.addEventListener("problem", (event) => {
  document.querySelector(".message").textContent = JSON.parse(event.data).message;
});
