// The device's screen: keeps it on while a clock runs, switches full screen, and hides the controls there
// after a while.

/** In full screen the controls are hidden after so long without a touch or a key. */
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
    this.isRequesting = false;
    document.addEventListener("visibilitychange", () => this.#keepAwake());
    document.addEventListener("fullscreenchange", () => {
      changed(this.full);
      this.#onActivity();
    });
    for (const each of ["pointermove", "pointerdown", "keydown"]) {
      document.addEventListener(each, () => this.#onActivity(), { passive: true });
    }
  }

  /** Whether this browser can show a page in full screen; the iPhone cannot. */
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
   * Keeps the screen on, or no longer.
   *
   * @param {boolean} wanted
   */
  stayOn(wanted) {
    this.wanted = wanted;
    this.#keepAwake();
  }

  async #keepAwake() {
    if (!("wakeLock" in navigator) || this.isRequesting) return;
    const wanted = this.wanted && !document.hidden;
    if (!wanted) {
      this.lock?.release().catch(() => {});
      this.lock = null;
      return;
    }
    if (this.lock && !this.lock.released) return;
    this.isRequesting = true;
    try {
      this.lock = await navigator.wakeLock.request("screen");
    } catch {
      this.lock = null; // refused, for example on a low battery: then the screen turns off as usual
    }
    this.isRequesting = false;
    if (!this.wanted) this.#keepAwake();
  }

  #onActivity() {
    if (this.app.dataset.idle === "true") this.app.dataset.idle = "false";
    clearTimeout(this.timer);
    if (this.full) this.timer = setTimeout(() => this.#hideControls(), IDLE_MS);
  }

  #hideControls() {
    const busy = "dialog:modal, #top :focus-visible, #controls :focus-visible";
    if (!document.querySelector(busy)) this.app.dataset.idle = "true";
  }
}
