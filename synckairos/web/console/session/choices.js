// The choice of the view.

import { VIEWS } from "../shared/names.js";
import { h } from "../shared/ui.js";
import { viewsFor } from "./rules.js";

/**
 * The views as radio buttons.
 *
 * @param {import("./session.js").Page} page
 * @param {string} name The name of the radio buttons.
 * @param {() => void} [chosen] Called before the view changes.
 */
export function viewChoices(page, name, chosen = () => {}) {
  const choice = ([value, label]) => {
    const choose = () => {
      chosen();
      page.showView(value);
    };
    const radio = { type: "radio", name, value, checked: value === page.viewName, onchange: choose };
    return h("label", {}, h("input", radio), h("span", {}, label));
  };
  const offered = viewsFor(page.state);
  return Object.entries(VIEWS).filter(([value]) => offered.includes(value)).map(choice);
}
