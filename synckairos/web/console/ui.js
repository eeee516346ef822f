// The parts that the console's pages are made of. Elements are built, never written as HTML text, so that what
// people name things cannot become markup.

import { icon } from "./icons.js";
import { STATUSES } from "./names.js";
import { SyncKairos } from "/synckairos.js";

export { icon };

// Elements

const PROPERTIES = new Set(["value", "checked", "selected", "indeterminate", "disabled", "open", "htmlFor", "textContent"]);

/**
 * An element.
 *
 * @param {string} tag
 * @param {object} [attributes] `class`, `aria-label` and so on as attributes: true is present without a value,
 *   null, undefined and false are absent. `onclick` and the like are listeners, `dataset` and `style` (custom
 *   properties too) objects, `value`, `checked`, `disabled` and `textContent` properties.
 * @param {...(Node | string | number | null | undefined | false | Array)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else if (PROPERTIES.has(name)) element[name] = value;
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...flat(children));
  return element;
}

const flat = (children) => children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false);

/** Gives an element these children in place of those that it has. */
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

/** Sets an element's text, and touches nothing when it is that already. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let ids = 0;

/** An id that no other element of the page has. */
export function newId(prefix = "id") {
  ids += 1;
  return `${prefix}-${ids}`;
}

/** A random UUID (version 4). crypto.randomUUID is for secure origins only, and a network address is none. */
export function newUuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (each) => each.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/**
 * A button.
 *
 * @param {string} label What it does. With `square` it is there for screen readers and as a tooltip only.
 * @param {{icon?: string, square?: boolean, class?: string, onclick?: (event: Event) => void}} [options] And
 *   further attributes of the element.
 * @returns {HTMLButtonElement}
 */
export function button(label, { icon: sign, square = false, class: more = "", ...rest } = {}) {
  const names = ["button", square && "square", more].filter(Boolean).join(" ");
  const labels = square ? { "aria-label": label, title: label } : {};
  return h("button", { type: "button", class: names, ...labels, ...rest }, sign && icon(sign), !square && h("span", {}, label));
}

/**
 * Runs what a button started; it takes no second press meanwhile, and a failure is shown.
 *
 * @param {HTMLButtonElement} control
 * @param {() => Promise<T>} work
 * @returns {Promise<T | undefined>} undefined after a failure
 * @template T
 */
export async function whileBusy(control, work) {
  if (control.getAttribute("aria-busy") === "true") return undefined;
  control.setAttribute("aria-busy", "true");
  try {
    return await work();
  } catch (error) {
    showError(error);
    return undefined;
  } finally {
    control.removeAttribute("aria-busy");
  }
}

const SIGNS = { pending: "clock", running: "play", paused: "pause", expired: "flag", completed: "check", cancelled: "cross" };

/** What a session is doing, as a small label. */
export function statusPill(status) {
  return h("span", { class: `pill ${status}` }, icon(SIGNS[status] ?? "info"), STATUSES[status] ?? status);
}

/** Something to know, in a box. kind: "", "warn" or "danger". */
export function note(kind, ...children) {
  return h("div", { class: `note ${kind}` }, icon(kind === "" ? "info" : "warning"), h("div", {}, ...children));
}

// Errors and messages

const SENTENCES = {
  UNAUTHENTICATED: "The service wants to know who you are: enter a token.",
  FORBIDDEN: "Your token does not allow this.",
  SESSION_NOT_FOUND: "There is no such session: it ended long ago, was deleted, or the link is not complete.",
  CONCURRENT_MODIFICATION: "Somebody else was faster. What you see is up to date.",
  RATE_LIMIT_EXCEEDED: "That was too often. Wait a moment, then try again.",
  STORAGE_UNAVAILABLE: "The service cannot reach its storage at the moment.",
  MESSAGE_BROKER_ERROR: "The service cannot reach its storage at the moment.",
  CIRCUIT_OPEN: "The service cannot reach its storage at the moment.",
  NETWORK_TIMEOUT: "The service took too long to answer.",
  INTERNAL_ERROR: "Something went wrong in the service. Its log says what.",
};

/** What an error means, in a sentence for people. */
export function errorText(error) {
  if (error?.code in SENTENCES) return SENTENCES[error.code];
  const message = error?.message ? String(error.message) : "Something went wrong";
  const sentence = message[0].toUpperCase() + message.slice(1);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}

let toasts = null;

/**
 * A message at the lower edge. Errors stay until they are dismissed, others go after a while.
 *
 * @param {string} message
 * @param {{kind?: "info" | "error", seconds?: number, action?: {label: string, onclick: () => void}}} [options]
 * @returns {() => void} takes it away
 */
export function toast(message, { kind = "info", seconds = kind === "error" ? 0 : 5, action = null } = {}) {
  toasts ??= h("div", { class: "toasts" });
  // What is outside an open modal dialog can neither be pressed nor heard.
  const host = [...document.querySelectorAll("dialog:modal")].pop() ?? document.body;
  if (toasts.parentNode !== host) host.append(toasts);
  for (const same of toasts.children) if (same.dataset.message === message) same.remove();
  while (toasts.children.length >= 3) toasts.firstChild.remove();
  const dismiss = () => element.remove();
  const element = h("div", { class: `toast ${kind}`, role: kind === "error" ? "alert" : "status", dataset: { message } },
    icon(kind === "error" ? "warning" : "info"),
    h("p", {}, message),
    action && button(action.label, { class: "quiet", onclick: () => { dismiss(); action.onclick(); } }),
    button("Dismiss", { icon: "cross", square: true, class: "quiet", onclick: dismiss }));
  toasts.append(element);
  if (seconds) setTimeout(dismiss, seconds * 1000);
  return dismiss;
}

/** Shows that something failed; without a token where one is wanted, asks for it. */
export function showError(error) {
  if (error?.code === "UNAUTHENTICATED") askForToken();
  else toast(errorText(error), { kind: "error" });
}

// Dialogs

/**
 * Opens a modal dialog. Escape, the cross and a press beside it close it.
 *
 * @param {{title: string, body: Node | string | Array, actions?: Array, class?: string}} content
 * @returns {{element: HTMLDialogElement, close: (value?: string) => void, closed: Promise<string>}} closed: what
 *   it was closed with, "" when it was dismissed
 */
export function openDialog({ title, body, actions = [], class: more = "" }) {
  const heading = newId("dialog");
  const close = (value = "") => { if (element.open) element.close(value); };
  const element = h("dialog", { class: `dialog ${more}`, "aria-labelledby": heading },
    h("div", { class: "inside" },
      h("div", { class: "head" },
        h("h2", { id: heading, tabindex: "-1", autofocus: true }, title),
        button("Close", { icon: "cross", square: true, class: "quiet", onclick: () => close() })),
      body,
      actions.length > 0 && h("div", { class: "actions" }, actions)));
  let pressed = null;
  element.addEventListener("pointerdown", (event) => { pressed = event.target; });
  element.addEventListener("click", (event) => { if (event.target === element && pressed === element) close(); });
  const closed = new Promise((resolve) => {
    element.addEventListener("close", () => {
      if (toasts && element.contains(toasts)) document.body.append(toasts);
      element.remove();
      resolve(element.returnValue);
    });
  });
  document.body.append(element);
  element.showModal();
  return { element, close, closed };
}

/**
 * Asks before something that cannot be undone.
 *
 * @param {{title: string, text: string, yes: string, no?: string, danger?: boolean}} question
 * @returns {Promise<boolean>}
 */
export async function confirmDialog({ title, text, yes, no = "Keep", danger = false }) {
  const asked = openDialog({
    title,
    body: h("p", {}, text),
    actions: [
      button(no, { onclick: () => asked.close() }),
      button(yes, { class: danger ? "danger primary" : "primary", onclick: () => asked.close("yes") }),
    ],
  });
  return (await asked.closed) === "yes";
}

// A link to here, for other devices

/** Whether an address means the device itself, so that no other one can open it. */
export function isLoopback(hostname = location.hostname) {
  const name = hostname.toLowerCase().replace(/^\[|\]$/g, "");
  return name === "localhost" || name.endsWith(".localhost") || name === "::1" || /^127\./.test(name);
}

/**
 * Puts a text on the clipboard, and says so.
 *
 * @param {string} text
 * @param {string | null} [message] null where the caller says it.
 * @returns {Promise<boolean>} whether it is there
 */
export async function copy(text, message = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // The clipboard API is for secure origins only; over plain HTTP the old way still works.
    const area = h("textarea", { class: "visually-hidden", value: text });
    ([...document.querySelectorAll("dialog:modal")].pop() ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) {
      toast("The browser does not allow copying: select the link and copy it by hand.", { kind: "error" });
      return false;
    }
  }
  if (message) toast(message);
  return true;
}

/**
 * Shows a link and its QR code.
 *
 * @param {string} [url] Of this service; the page's own when left out.
 * @param {{title?: string}} [options]
 */
export function shareDialog(url = location.href, { title = "Open on another device" } = {}) {
  const link = new URL(url, location.href).href;
  const label = newId("link");
  const field = h("input", { class: "input", id: label, readonly: true, value: link, onfocus: () => field.select() });
  const canShare = typeof navigator.share === "function";
  const said = h("span", { class: "visually-hidden", role: "status" });
  const control = button("Copy", { icon: "copy", class: "primary", onclick: async () => {
    if (!await copy(link, null)) return;
    setText(said, "Link copied");
    fill(control, icon("check"), h("span", {}, "Copied"));
    setTimeout(() => { setText(said, ""); fill(control, icon("copy"), h("span", {}, "Copy")); }, 2500);
  } });
  openDialog({
    title,
    body: [
      isLoopback() && note("warn",
        h("p", {}, h("strong", {}, "Other devices cannot open this link: "), `${location.hostname} is always the device itself.`),
        h("p", {}, "Start the service with ", h("code", {}, "HOST=0.0.0.0 synckairos dev"),
          " and open this page by this machine’s name or address in the network. Whoever is in that network can then change its sessions.")),
      h("div", { class: "share-code" },
        h("img", { src: `/qr.svg?url=${encodeURIComponent(link)}`, alt: "QR code of the link", width: "256", height: "256" })),
      h("div", { class: "field" },
        h("label", { htmlFor: label }, "Link"),
        h("div", { class: "share-link" }, field, control), said),
      canShare && button("Share…", { icon: "share", onclick: () => navigator.share({ title: document.title, url: link }).catch(() => {}) }),
    ],
  });
}

// Light and dark

const SCHEMES = { "": ["Colours: as the system", "contrast"], light: ["Colours: light", "sun"], dark: ["Colours: dark", "moon"] };

/** The button that goes round: as the system has it, light, dark. Kept in local storage (see scheme.js). */
export function schemeSwitch() {
  const control = button("Colours", { square: true, class: "quiet", onclick: () => {
    const order = Object.keys(SCHEMES);
    const next = order[(order.indexOf(document.documentElement.dataset.scheme ?? "") + 1) % order.length];
    if (next) document.documentElement.dataset.scheme = next;
    else delete document.documentElement.dataset.scheme;
    try {
      if (next) localStorage.setItem("synckairos.scheme", next);
      else localStorage.removeItem("synckairos.scheme");
    } catch {
      // Storage may be forbidden; then the choice holds for this page.
    }
    show();
  } });
  const show = () => {
    const [label, sign] = SCHEMES[document.documentElement.dataset.scheme ?? ""];
    control.setAttribute("aria-label", label);
    control.title = label;
    fill(control, icon(sign));
  };
  show();
  return control;
}

// Who is asking: a token, kept for this tab only

const TOKEN = "synckairos.token";

/** The token that was entered, or undefined. */
export function storedToken() {
  try {
    return sessionStorage.getItem(TOKEN) ?? undefined;
  } catch {
    return undefined;
  }
}

/**
 * The field for a token, which is kept for this tab.
 *
 * @param {() => void} done Called when one was entered.
 * @returns {HTMLFormElement}
 */
export function tokenForm(done) {
  const id = newId("token");
  const control = h("input", { class: "input mono", id, type: "password", autocomplete: "off", spellcheck: "false", required: true,
    "aria-describedby": `${id}-hint` });
  return h("form", { class: "token-form", onsubmit: (event) => {
    event.preventDefault();
    sessionStorage.setItem(TOKEN, control.value.trim());
    done();
  } },
  h("div", { class: "field" },
    h("label", { htmlFor: id }, "Token"),
    control,
    h("p", { class: "hint", id: `${id}-hint` }, storedToken() ? "The service did not accept the last one. " : "",
      "A JWT. It is kept in this tab until that is closed, and sent to this service only.")),
  h("div", { class: "actions" }, h("button", { class: "button primary" }, "Continue")));
}

let asking = null;

/**
 * Asks for a token in a dialog.
 *
 * @param {{reload?: boolean}} [options] reload: whether the page is loaded again with it, or goes on by itself
 * @returns {Promise<boolean>} whether one was entered
 */
export function askForToken({ reload = true } = {}) {
  asking ??= (async () => {
    const form = tokenForm(() => asked.close("entered"));
    const asked = openDialog({ title: "The service wants a token", body: form });
    form.querySelector("input").focus();
    const entered = (await asked.closed) === "entered";
    asking = null;
    if (entered && reload) location.reload();
    return entered;
  })();
  return asking;
}

/** A client of the service that this page came from, with the token that was entered, if any. */
export function createClient(options = {}) {
  return new SyncKairos({ url: location.origin, token: () => storedToken() ?? null, ...options });
}

// Connection, and how well the server's time is known

const CONNECTIONS = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", closed: "Not connected", refused: "Clock refused" };

/** An uncertainty in ms as text: `±4 ms`, `±0.3 s`; "" while it is not known. */
export function uncertaintyText(ms) {
  if (!Number.isFinite(ms)) return "";
  return ms < 995 ? `±${Math.max(1, Math.round(ms))} ms` : `±${(ms / 1000).toFixed(1)} s`;
}

function deviceClockText(skewMs) {
  if (!Number.isFinite(skewMs)) return "not known yet";
  const off = Math.abs(skewMs);
  if (off < 1000) return "right, within a second";
  const size = off < 120_000 ? `${Math.round(off / 1000)} s` : `${Math.round(off / 60_000)} min`;
  return skewMs > 0 ? `${size} slow` : `${size} fast`;
}

/**
 * The connection's state and the clock's uncertainty, as a button that opens the numbers.
 *
 * Screen readers hear of a lost and a regained connection, and of nothing else.
 *
 * @param {SyncKairos} client
 * @param {object | null} [session] A client session; without one the page says how it is, by `set`.
 * @returns {{element: HTMLElement, set: (state: string) => void, stop: () => void}}
 */
export function connectionIndicator(client, session = null) {
  let state = session?.connection ?? "connecting";
  let wasLive = false;
  let facts = null;
  const text = h("span", { class: "connection-text digits" });
  const spoken = h("span", { class: "visually-hidden", role: "status" });
  const control = h("button", { type: "button", class: "button quiet connection", "aria-haspopup": "dialog", onclick: openFacts }, h("span", { class: "dot" }), text);
  const element = h("span", { class: "connection-place" }, control, spoken);

  function show() {
    const known = uncertaintyText(client.time.uncertaintyMs);
    setText(text, state === "live" && known ? known : state === "connecting" ? "…" : CONNECTIONS[state]);
    control.dataset.state = state;
    const label = `Connection: ${CONNECTIONS[state].toLowerCase()}${known ? `, server time known to ${known}` : ""}`;
    if (control.getAttribute("aria-label") !== label) control.setAttribute("aria-label", label);
    if (facts) showFacts();
  }
  function set(next) {
    if (next === state) return;
    state = next;
    if (state === "live") {
      setText(spoken, wasLive ? "Connected again" : "");
      wasLive = true;
    } else if (wasLive) setText(spoken, state === "closed" ? "Connection closed" : "Connection lost, reconnecting");
    show();
  }
  function openFacts() {
    facts = h("dl", { class: "facts" });
    const opened = openDialog({ title: "Connection and clock", body: [facts,
      h("p", { class: "hint" }, "Clocks are shown by the server’s time, not by this device’s. The uncertainty is how far the shown time may be off.")] });
    showFacts();
    opened.closed.then(() => { facts = null; });
  }
  function showFacts() {
    const time = client.time;
    const rows = [
      ["Connection", CONNECTIONS[state]],
      ["Uncertainty", uncertaintyText(time.uncertaintyMs) || "not known yet"],
      ["Round trip", Number.isFinite(time.rttMs) ? `${time.rttMs.toFixed(1)} ms` : "not known yet"],
      ["This device’s clock", deviceClockText(time.skewMs)],
    ];
    if (facts.childElementCount === rows.length * 2) rows.forEach(([, value], row) => setText(facts.children[row * 2 + 1], value));
    else fill(facts, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  }

  const unsubscribe = [client.time.onChange(show)];
  if (session) unsubscribe.push(session.onConnection(set));
  wasLive = state === "live";
  show();
  return { element, set, stop: () => unsubscribe.forEach((each) => each()) };
}

/**
 * The bar at the top of a page: the way home, what the page puts there, and the switch of colours. A page that
 * has a bar with the way home in its HTML gets the rest put into that.
 */
export function pageBar(...children) {
  const there = document.querySelector("header.bar");
  const bar = there ?? h("header", { class: "bar" },
    h("a", { class: "brand", href: "/" }, h("img", { src: "/console/icon.svg", alt: "", width: "28", height: "28" }), h("span", {}, "SyncKairos")));
  bar.append(h("span", { class: "grow" }), ...flat(children), schemeSwitch());
  return bar;
}
