// Keeps the controls below the clocks on one row, however many there are and however long their words: first the
// words of the lesser buttons go, then the space between them. Where even that is too much there are two rows that
// are alike, so that no button ever stands alone.

const STEPS = ["words", "icons", "tight"];

/** How many columns two rows of so many buttons have. With an odd number the main one is as wide as two. */
export const columnsFor = (count, hasMain) => Math.ceil((count + (hasMain && count % 2 ? 1 : 0)) / 2);

export class Bar {
  /** @param {HTMLElement} element A flex container of buttons. */
  constructor(element) {
    this.element = element;
    this.key = null;
    new ResizeObserver(() => this.fit()).observe(element);
    this.buttons = new ResizeObserver(() => this.#again());
  }

  /** Fits again where a button got wider by itself: its font came, or it became the main one. */
  #again() {
    const shown = this.#shown();
    if (this.element.dataset.fit === "rows" || this.#fits(shown)) return;
    this.key = null;
    this.fit();
  }

  #shown() {
    // Those of the view stand in an element of their own, which has no box.
    const all = [...this.element.children].flatMap((each) => (each.matches(".own-controls") ? [...each.children] : [each]));
    return all.filter((each) => !each.hidden && !each.matches(".visually-hidden"));
  }

  /** Makes the buttons as big as there is room for. Cheap as long as neither they nor the room have changed. */
  fit() {
    const { element } = this;
    const shown = this.#shown();
    const key = `${element.clientWidth} ${shown.map((each) => each.textContent).join("|")} ${element.parentElement?.dataset.view}`;
    if (key === this.key) return;
    this.key = key;
    for (const each of shown) this.buttons.observe(each);
    for (const step of STEPS) {
      element.dataset.fit = step;
      if (this.#fits(shown)) return;
    }
    element.dataset.fit = "rows";
    const inRow = shown.filter((each) => each.offsetParent !== null);
    const columns = columnsFor(inRow.length, inRow.some((each) => each.classList.contains("main")));
    element.style.setProperty("--columns", String(columns));
    element.dataset.odd = String(inRow.length % 2 === 1);
  }

  #fits(shown) {
    const style = getComputedStyle(this.element);
    if (style.flexDirection === "column") return true;
    const boxes = shown.map((each) => each.getBoundingClientRect()).filter((each) => each.width > 0);
    if (boxes.length === 0) return true;
    const room = this.element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const left = Math.min(...boxes.map((each) => each.left));
    const right = Math.max(...boxes.map((each) => each.right));
    return right - left <= room + 0.5;
  }
}
