// The service worker: it keeps the pages and their files, and nothing that the service answers about sessions.
//
// RELEASE and KNOWN are written before it by the service: what belongs to this release. A page is HTML that names
// each of its files with the hash of its content, so files of two releases never meet on a page. A new release
// comes with a new service worker, which the browser looks for when a page is opened. Once that has everything, the
// next page that is opened is of the new release. Pages that are open find the files of theirs in its cache, which
// stays until the release after the next.

const PREFIX = "synckairos-";
const NAME = PREFIX + RELEASE;
const BUILT = "/console/built/";

const files = new Set(KNOWN.files);
/** The texts of each language, of which one is kept: that of the pages that are opened. */
const texts = new Map(KNOWN.texts.flatMap((paths) => paths.map((path) => [path, paths])));
const pages = KNOWN.pages.map(([paths, query, at, tag]) => ({ paths: new RegExp(paths), query, at, tag }));

/** An answer of another release, as while one replaces the other: it is kept by nobody. */
const isOther = (answer, tag) => !answer.ok || (tag && !answer.headers.get("etag")?.includes(tag));

async function put(cache, path, tag = "") {
  const answer = await fetch(path, { cache: tag ? "no-cache" : "default", credentials: "omit" });
  const isFleeting = answer.headers.get("cache-control")?.includes("no-store");
  if (isOther(answer, tag) || isFleeting) throw new Error(`${path} is of another release`);
  await cache.put(path, answer);
}

async function install() {
  const cache = await caches.open(NAME);
  const kept = new Set((await cache.keys()).map(({ url }) => new URL(url).pathname));
  await Promise.all([
    ...pages.map(({ at, tag }) => put(cache, at, tag)),
    ...KNOWN.files.filter((path) => !kept.has(path)).map((path) => put(cache, path)),
  ]);
  await self.skipWaiting();
}

async function activate() {
  const ours = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== NAME);
  // The newest but this one is that of the pages that are open.
  await Promise.all(ours.slice(0, -1).map((name) => caches.delete(name)));
}

/** From a cache; else from the service, which does not know files of another release. */
async function file(request, path) {
  const found = await caches.match(path, { ignoreVary: true });
  if (found) return found;
  const answer = await fetch(request);
  if (texts.has(path) && !isOther(answer)) {
    const copy = answer.clone();
    caches.open(NAME).then((cache) => cache.put(path, copy), () => {});
  }
  return answer;
}

async function page(request, { at }) {
  const cache = await caches.open(NAME);
  return (await cache.match(at, { ignoreVary: true })) ?? fetch(request);
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));

self.addEventListener("message", (event) => {
  const keep = event.data?.keep;
  if (!Array.isArray(keep)) return;
  const wanted = [...new Set(keep.flatMap((path) => texts.get(path) ?? []))];
  event.waitUntil(
    caches.open(NAME).then((cache) => Promise.allSettled(wanted.map((path) => put(cache, path)))),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (request.mode === "navigate") {
    const known = pages.find(
      ({ paths, query }) => paths.test(url.pathname) && (!query || url.searchParams.has(query)),
    );
    if (known) event.respondWith(page(request, known));
  } else if (url.pathname.startsWith(BUILT) || files.has(url.pathname)) {
    event.respondWith(file(request, url.pathname));
  }
});
