// What covers a page that only shows: a message from whoever leads the session, or nothing but black.

import { h, setText } from "../../shared/dom.js";
import { t } from "../../shared/i18n.js";

export class Cover {
  /** @param {HTMLElement} host What is covered. */
  constructor(host) {
    this.host = host;
    this.text = h("p", { class: "overlay-text" });
    // A new message is read out at once; under a blackout nothing is.
    this.message = h("div", { class: "overlay-message", role: "status", hidden: true }, this.text);
    this.black = h("div", { class: "overlay-black", role: "region", "aria-label": t("screens.isBlack"), hidden: true });
    host.append(this.message, this.black);
    this.sizes = new ResizeObserver(() => this.#fit());
    this.sizes.observe(this.message);
  }

  /** @param {{message: string | null, blackout: boolean}} screens What the session's metadata says. */
  show({ message, blackout }) {
    this.black.hidden = !blackout;
    this.message.hidden = blackout || message === null;
    this.host.dataset.message = String(!this.message.hidden);
    setText(this.text, blackout ? "" : (message ?? ""));
    this.#fit();
  }

  /** Makes the message as large as it fits. */
  #fit() {
    if (!this.message.hidden) fitText(this.text, this.message, 220, 20);
  }
}

/**
 * Makes a text as large as its box lets it be.
 *
 * @param {HTMLElement} text
 * @param {HTMLElement} box
 * @param {number} most In px.
 * @param {number} least
 */
export function fitText(text, box, most, least) {
  let [low, high] = [Math.floor(least), Math.ceil(most)];
  const fits = (size) => {
    text.style.fontSize = `${size}px`;
    return text.scrollHeight <= box.clientHeight && text.scrollWidth <= box.clientWidth;
  };
  if (fits(high)) return;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  fits(low);
}
