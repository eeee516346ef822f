// The dialog that offers the same once more, and what else can be done with a session that is over.

import { button, h, openDialog, setText } from "../../shared/ui.js";
import { t } from "../../shared/i18n.js";
import { againLabel, isGame } from "./again.js";
import { againConfig, firstEvents } from "./repeat.js";

/** Whether it matters who is first. */
const hasOrder = (state) => state.participants.length > 1 && state.sync_mode !== "count_up";

/**
 * Opens the dialog that offers the same once more, and what else can be done with a session that is over.
 *
 * @param {import("../session.js").Page} page
 */
export function openAgain(page) {
  const { actions, people, state } = page;
  if (!actions.mayPlayAgain) return;
  const choice = (label, hint, sign, work, more = "") => {
    const id = `again-${sign}`;
    return h(
      "div",
      { class: "again-choice" },
      button(label, {
        icon: sign,
        class: more,
        "aria-describedby": hint ? id : null,
        onclick: () => {
          opened.close();
          work();
        },
      }),
      hint && h("p", { class: "hint", id }, hint),
    );
  };
  const game = isGame(state);
  const hintOf = (events) => {
    const [first] = againConfig(state, events, { swapped: true }).participants;
    return t(game ? "again.swappedHint" : "again.reversedHint", { name: people.name(people.byGroup ? first.group_id : first.participant_id) });
  };
  const opened = openDialog({
    title: againLabel(state),
    class: "again-dialog",
    body: h("div", { class: "again" }, [
      choice(
        t(game ? "again.same" : "again.once"),
        t("again.sameHint"),
        "play",
        () => actions.playAgain(false),
        "primary large",
      ),
      hasOrder(state) &&
        choice(
          t(game ? "again.swapped" : "again.reversed"),
          hintOf([]),
          "swap",
          () => actions.playAgain(true),
          "large",
        ),
      (actions.may("reset") || actions.may("delete")) && h("hr"),
      actions.may("reset") && choice(t("again.reset"), t("again.resetHint"), "reset", () => actions.reset()),
      actions.may("delete") && choice(t("again.delete"), t("again.deleteHint"), "trash", () => actions.delete(), "danger"),
    ]),
  });
  // Who began stands in the events. Mostly it was the first.
  firstEvents(page.session).then((events) => {
    const hint = opened.element.querySelector("#again-swap");
    if (hint) setText(hint, hintOf(events));
  });
}
