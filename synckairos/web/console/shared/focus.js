// What has the focus may go: the button that starts a session is not there any more once it was pressed. Then the
// keyboard would begin at the top of the page again. Browsers differ: some leave the focus on what nobody sees.

/**
 * @param {HTMLElement} part The part of the page that is looked after.
 * @param {() => HTMLElement} place Gives where the focus goes instead: an element that can have it and is no control.
 * @returns {() => void} To be called after what may have taken something away. It looks at the next frame.
 */
export function keepFocus(part, place) {
  /** @type {HTMLElement | null} */
  let last = null;
  let isAsked = false;
  part.addEventListener("focusin", ({ target }) => {
    last = target;
  });

  function look() {
    isAsked = false;
    const { activeElement } = document;
    if (last === null || document.querySelector("dialog:modal")) return;
    if (activeElement !== null && activeElement !== document.body && activeElement !== last) return;
    if (last.isConnected && !last.matches(":disabled") && last.checkVisibility()) return;
    last = null;
    place().focus({ preventScroll: true });
  }

  return () => {
    if (isAsked || last === null) return;
    isAsked = true;
    requestAnimationFrame(look);
  };
}
