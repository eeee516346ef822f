// The device's screen: on while a clock runs, full where wanted, and then without controls after a while.

/** In full screen the controls go away when nothing was touched for so long. */
const IDLE_MS = 3000;

export class Screen {
  /**
   * @param {HTMLElement} app
   * @param {(full: boolean) => void} changed called when full screen begins or ends
   */
  constructor(app, changed) {
    this.app = app;
    this.wanted = false;
    /** @type {WakeLockSentinel | null} */
    this.lock = null;
    this.asking = false;
    document.addEventListener("visibilitychange", () => this.#keepAwake());
    document.addEventListener("fullscreenchange", () => {
      changed(this.full);
      this.#touched();
    });
    for (const each of ["pointermove", "pointerdown", "keydown"]) {
      document.addEventListener(each, () => this.#touched(), { passive: true });
    }
  }

  /** Whether this browser can show a page in full screen; phones of one maker cannot. */
  static get possible() {
    return document.fullscreenEnabled === true;
  }

  get full() {
    return document.fullscreenElement !== null;
  }

  toggleFull() {
    if (this.full) document.exitFullscreen();
    else document.documentElement.requestFullscreen?.({ navigationUI: "hide" }).catch(() => {});
  }

  /**
   * Whether the screen is to stay on.
   *
   * @param {boolean} wanted
   */
  stayOn(wanted) {
    this.wanted = wanted;
    this.#keepAwake();
  }

  async #keepAwake() {
    if (!("wakeLock" in navigator) || this.asking) return;
    const wanted = this.wanted && !document.hidden;
    if (!wanted) {
      this.lock?.release().catch(() => {});
      this.lock = null;
      return;
    }
    if (this.lock && !this.lock.released) return;
    this.asking = true;
    try {
      this.lock = await navigator.wakeLock.request("screen");
    } catch {
      this.lock = null; // not allowed, as with an empty battery: then it goes dark as ever
    }
    this.asking = false;
    if (!this.wanted) this.#keepAwake();
  }

  #touched() {
    if (this.app.dataset.idle === "true") this.app.dataset.idle = "false";
    clearTimeout(this.timer);
    if (this.full) this.timer = setTimeout(() => this.#rest(), IDLE_MS);
  }

  #rest() {
    const busy = "dialog:modal, #top :focus-visible, #controls :focus-visible";
    if (!document.querySelector(busy)) this.app.dataset.idle = "true";
  }
}
