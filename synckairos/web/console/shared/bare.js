// Clocks without anything around them, as large as their box allows. The page that has nothing else uses it, and
// the preview of that page.

import { activeOwner, glanceAt, ownersOf } from "./glance.js";
import { h, setText } from "./dom.js";
import { nameGiven } from "./names.js";
import { clockParts } from "./time.js";

/** The fonts by their short names. Others are given by their own names, and have to be on the device. */
export const FONTS = Object.freeze({
  sans: 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", Arial, sans-serif',
  serif: 'ui-serif, Georgia, "Noto Serif", "Times New Roman", serif',
  mono: 'ui-monospace, "SF Mono", "Cascadia Mono", "Roboto Mono", Menlo, Consolas, monospace',
  rounded: 'ui-rounded, "SF Pro Rounded", "Arial Rounded MT Bold", Nunito, system-ui, sans-serif',
  condensed: '"Roboto Condensed", "Arial Narrow", "Liberation Sans Narrow", "Helvetica Neue", sans-serif',
});
export const SHOWS = Object.freeze(["one", "all", "active"]);

const HEX = /^#?([0-9a-f]{3}|[0-9a-f]{4}|[0-9a-f]{6}|[0-9a-f]{8})$/i;
const FONT_NAME = /^[\p{L}\p{N}][\p{L}\p{N} _-]{0,63}$/u;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A colour of an address as CSS: digits as in #rrggbb with or without the #, or `transparent`. Null: no colour. */
export function colourOf(text) {
  if (text === "transparent") return text;
  const found = HEX.exec(text ?? "");
  return found ? `#${found[1].toLowerCase()}` : null;
}

/** A font of an address as CSS: one of FONTS, or the name of one that the device has. Null: no font. */
export function fontOf(text) {
  if (Object.hasOwn(FONTS, text ?? "")) return FONTS[text];
  // Letters, digits, spaces, - and _ between quotation marks: nothing in it can end the text.
  return FONT_NAME.test(text ?? "") ? `"${text}", ${FONTS.sans}` : null;
}

/**
 * What an address asks for. Whatever is none of these counts as not given.
 *
 * @param {URLSearchParams} query
 * @returns {{bg: string | null, fg: string | null, font: string, show: "one" | "all" | "active",
 *   owner: string | null, names: boolean}}
 */
export function bareOptions(query) {
  const owner = query.get("owner")?.toLowerCase() ?? "";
  const given = UUID.test(owner) ? owner : null;
  const show = query.get("show");
  return {
    bg: colourOf(query.get("bg")),
    fg: colourOf(query.get("fg")),
    font: fontOf(query.get("font")) ?? FONTS.sans,
    show: given !== null ? "one" : SHOWS.includes(show) ? show : "all",
    owner: given,
    names: query.has("names"),
  };
}

/** The owners of the clocks that are shown. */
export function shownOwners(state, { show, owner }) {
  const all = ownersOf(state);
  if (owner !== null) return all.includes(owner) ? [owner] : [];
  const first = activeOwner(state) ?? all[0] ?? null;
  if (show === "one") return [all[0] ?? null];
  return show === "active" ? [first] : all;
}

/** The height of a line of digits, and how much of the box they may have, in parts of the font's size. */
const LINE = 0.82;
const NAME = 0.3;
const FILL = 0.96;

/** The clocks of one session in a box. */
export class BareClocks {
  /** @param {ReturnType<typeof bareOptions>} options */
  constructor(options) {
    this.options = options;
    this.element = h("div", { class: "bare-clocks" });
    Object.assign(this.element.style, {
      display: "grid", height: "100%", placeItems: "center", alignContent: "stretch", overflow: "hidden",
      fontFamily: options.font, fontWeight: "600", lineHeight: "1", direction: "ltr",
      fontVariantNumeric: "tabular-nums lining-nums", whiteSpace: "nowrap",
    });
    /** @type {{owner: string | null, element: HTMLElement, main: HTMLElement, tenths: HTMLElement, name: HTMLElement, text: string}[]} */
    this.faces = [];
    this.key = "";
    // Its text is as wide as a clock's, whatever the font.
    this.ruler = h("span", { "aria-hidden": "true" });
    Object.assign(this.ruler.style, { position: "absolute", visibility: "hidden", fontSize: "100px" });
    this.resized = new ResizeObserver(() => this.fit());
    this.resized.observe(this.element);
    document.fonts?.ready.then(() => this.fit());
  }

  /** Shows a state at a moment of the server's time. */
  show(state, now) {
    const owners = shownOwners(state, this.options);
    const key = owners.join(" ");
    if (key !== this.key || this.faces.length !== owners.length) {
      this.key = key;
      this.faces = owners.map((owner) => this.#face(owner));
      this.element.replaceChildren(this.ruler, ...this.faces.map((each) => each.element));
      this.widths = "";
    }
    const active = activeOwner(state);
    for (const face of this.faces) {
      const glance = glanceAt(state, now, face.owner);
      const { sign, main, tenths } = glance === null || glance.ms === null
        ? { sign: "", main: "–:––", tenths: "" } : clockParts(glance.ms, { countUp: glance.countUp });
      setText(face.main, sign + main);
      setText(face.tenths, tenths);
      face.text = (sign + main).replace(/\d/g, "0") + (tenths && ".0");
      if (this.options.names) setText(face.name, nameGiven(state, face.owner ?? state.active_participant_id) ?? "");
      // Of several clocks the one that is current is the strong one.
      const isBack = this.faces.length > 1 && state.status !== "pending" && face.owner !== active;
      const opacity = isBack ? "0.55" : "1";
      if (face.element.style.opacity !== opacity) face.element.style.opacity = opacity;
    }
    const widths = this.faces.map((each) => each.text).join("|");
    if (widths !== this.widths) {
      this.widths = widths;
      this.fit();
    }
  }

  #face(owner) {
    const name = h("span", {});
    const main = h("span", {});
    const tenths = h("span", {});
    Object.assign(name.style, {
      display: "block", fontSize: `${NAME}em`, lineHeight: "1.2", fontWeight: "500", textAlign: "center",
      overflow: "hidden", textOverflow: "ellipsis",
    });
    tenths.style.fontSize = "0.62em";
    const digits = h("span", {}, main, tenths);
    Object.assign(digits.style, { display: "block", lineHeight: String(LINE), textAlign: "center" });
    const element = h("div", { role: "timer" }, this.options.names && name, digits);
    element.style.minWidth = "0";
    element.style.maxWidth = "100%";
    return { owner, element, main, tenths, name, text: "" };
  }

  /** Gives the digits the largest size with which all clocks fit, in as many columns as that needs. */
  fit() {
    const { faces, element, ruler } = this;
    const { clientWidth: width, clientHeight: height } = element;
    if (faces.length === 0 || width === 0 || height === 0 || !ruler.isConnected) return;
    // Tenths are smaller than the rest. The widest clock says how large all of them may be.
    let widest = 0;
    for (const { text } of faces) {
      const [main, tenths = null] = text.split(".");
      ruler.textContent = main;
      let needed = ruler.getBoundingClientRect().width;
      if (tenths !== null) {
        ruler.textContent = `.${tenths}`;
        needed += 0.62 * ruler.getBoundingClientRect().width;
      }
      widest = Math.max(widest, needed);
    }
    const tall = 100 * (LINE + (this.options.names ? NAME * 1.2 : 0));
    let best = { size: 0, columns: 1 };
    for (let columns = 1; columns <= faces.length; columns += 1) {
      const rows = Math.ceil(faces.length / columns);
      const gap = columns > 1 ? 0.92 : FILL;
      const size = 100 * Math.min((gap * width) / columns / widest, (FILL * height) / rows / tall);
      if (size > best.size) best = { size, columns };
    }
    element.style.fontSize = `${Math.floor(best.size * 10) / 10}px`;
    element.style.gridTemplateColumns = `repeat(${best.columns}, minmax(0, 1fr))`;
    element.style.gridAutoRows = "minmax(0, 1fr)";
  }

  close() {
    this.resized.disconnect();
  }
}
