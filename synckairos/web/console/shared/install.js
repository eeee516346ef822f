// Has the browser keep the pages, so that they open at once, and without a network. Each page runs it beside
// its own modules.

/** The page comes first: what is kept for later is loaded when it has been on for a while. */
const AFTER_MS = 1000;

async function install() {
  const registration = await navigator.serviceWorker.register("/sw.js");
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  // The texts of this language: it keeps no others.
  const loaded = performance.getEntriesByType("resource").map(({ name }) => new URL(name).pathname);
  worker?.postMessage({ keep: loaded.filter((path) => path.startsWith("/console/built/")) });
}

// Where the service is not reached by HTTPS, browsers have no service worker, but for this machine's own.
if (globalThis.navigator?.serviceWorker) {
  const begin = () => setTimeout(() => install().catch(() => {}), AFTER_MS);
  if (document.readyState === "complete") begin();
  else addEventListener("load", begin, { once: true });
}
