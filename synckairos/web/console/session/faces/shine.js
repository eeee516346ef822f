// Shows a light on an element: in its colour, with texts that can be read on it.

/**
 * @param {HTMLElement} element
 * @param {import("../../shared/lights.js").Light | null} light null: none.
 */
export function showLight(element, light) {
  const color = light?.color ?? "";
  if ((element.dataset.light ?? "") === color) return;
  if (light === null) {
    delete element.dataset.light;
    element.style.removeProperty("--light");
    element.style.removeProperty("--on-light");
    return;
  }
  element.dataset.light = color;
  element.style.setProperty("--light", color);
  element.style.setProperty("--on-light", light.ink);
}
