// The bar with what is done to many boards at once, and the account of what became of each.

import { list, t } from "../shared/i18n.js";
import { formatClock, parseDuration } from "../shared/time.js";
import { askForToken, button, fill, h, newId, note, openDialog, setText } from "../shared/ui.js";
import { ownersOf, activeOwner } from "../shared/glance.js";
import { CAN } from "./boards.js";
import { forEach, nameOf, newKey, reasonOf } from "./bulk.js";
import { ownerName } from "./card.js";

const MAX_REASON = 200;

/** @param {import("./room.js").Room} room */
export function actionBar(room) {
  const whom = h("p", { class: "acting-for" });
  const clear = button(t("room.selectNone"), { class: "quiet", onclick: () => room.pickAll(false) });
  const all = button(t("room.selectAll"), { class: "quiet", onclick: () => room.pickAll(true) });
  const counts = {};
  const make = (action, iconName, onclick) => {
    const control = button(t(`room.do.${action}`), { icon: iconName, onclick });
    counts[action] = h("span", { class: "count digits" });
    control.append(counts[action]);
    return control;
  };
  const controls = {
    start: make("start", "play", () => confirmStart()),
    pause: make("pause", "pause", () => run("pause", able("pause"), (board) => room.client.handle(board.id).pause())),
    resume: make("resume", "play", () => run("resume", able("resume"), (board) => room.client.handle(board.id).resume())),
    adjust: make("adjust", "hourglass", () => openTime()),
  };
  const account = h("div", { class: "acting-account", role: "status" });
  const bar = h("div", { class: "acting-bar", role: "group", "aria-label": t("room.actions") },
    h("div", { class: "acting-whom" }, whom, all, clear),
    h("div", { class: "buttons" }, Object.values(controls)));
  const element = h("div", { class: "acting", hidden: true }, bar, account);
  let busy = false;

  const able = (action) => room.targets.filter(CAN[action]);

  function show() {
    element.hidden = !room.mayAct || !room.boards?.length;
    if (element.hidden) return;
    const picked = room.picked.size;
    const { targets } = room;
    const isAll = targets.length === room.boards.length;
    setText(whom, picked > 0 ? t("room.forPicked", { count: picked })
      : isAll ? t("room.forAll", { count: targets.length }) : t("room.forShown", { count: targets.length }));
    clear.hidden = picked === 0;
    all.hidden = picked > 0;
    for (const [action, control] of Object.entries(controls)) {
      control.hidden = !room.rights.always(action);
      const count = targets.filter(CAN[action]).length;
      setText(counts[action], String(count));
      control.disabled = busy || count === 0;
    }
    room.keepFocus();
  }

  /** Does something for boards, and gives an account of it. */
  async function run(action, boards, work) {
    if (busy || boards.length === 0) return;
    busy = true;
    show();
    const progress = h("p", {});
    const tell = (done) => setText(progress, t("room.doing", { done, count: boards.length }));
    tell(0);
    fill(account, note("", progress));
    const results = await forEach(boards, work, { onDone: tell });
    busy = false;
    const failed = results.filter(({ error }) => error !== null);
    showAccount(action, results.length, failed, work);
    room.feed.now();
    show();
    if (failed.some(({ error }) => error.code === "UNAUTHENTICATED")) askForToken();
  }

  function showAccount(action, count, failed, work) {
    const worked = count - failed.length;
    const dismiss = () => {
      fill(account);
      room.keepFocus();
    };
    const close = button(t("room.dismiss"), { icon: "cross", square: true, class: "quiet", onclick: dismiss });
    const said = t(`room.done.${action}`, { count: worked, all: count });
    fill(
      account,
      note(
        failed.length > 0 ? "warn" : "",
        h("div", { class: "account-head" }, h("p", {}, h("strong", {}, said)), close),
        failed.length > 0 && [
          h("p", {}, t("room.notFor", { count: failed.length })),
          h("ul", { class: "account-list" }, failed.map(({ item, error }) =>
            h("li", {}, h("a", { href: `/s/${item.id}` }, nameOf(item)), " – ", reasonOf(error)))),
          button(t("room.again", { count: failed.length }), {
            onclick: () => run(action, failed.map(({ item }) => item), work),
          }),
        ],
      ),
    );
  }

  function confirmStart() {
    const boards = able("start");
    const dialog = openDialog({
      title: t("room.startTitle", { count: boards.length }),
      body: h("p", {}, t("room.startText")),
      actions: [
        button(t("room.back"), { onclick: () => dialog.close() }),
        button(t("room.startNow", { count: boards.length }), {
          icon: "play", class: "primary",
          onclick: () => {
            dialog.close();
            run("start", boards, (board) => room.client.handle(board.id).start());
          },
        }),
      ],
    });
  }

  function openTime() {
    const boards = able("adjust");
    const ids = { time: newId("time"), reason: newId("reason"), whose: newId("whose") };
    const time = h("input", {
      class: "input short", id: ids.time, type: "text", value: "1:00", autocomplete: "off", inputmode: "text",
      "aria-describedby": `${ids.time}-hint ${ids.time}-problem`,
    });
    const problem = h("p", { class: "problem", id: `${ids.time}-problem` });
    const reason = h("input", { class: "input", id: ids.reason, type: "text", maxlength: String(MAX_REASON), autocomplete: "off" });
    // Where every board has two clocks, one side may get time alone, as after the same mistake on all boards.
    const areTwo = boards.every(({ state }) => ownersOf(state).length === 2);
    const areOwned = boards.some(({ state }) => ownersOf(state)[0] !== null);
    const choices = ["all", ...(areOwned ? ["active"] : []), ...(areTwo ? ["first", "second"] : [])];
    const whose = h("select", { class: "select", id: ids.whose },
      choices.map((choice) => h("option", { value: choice }, t(`room.whose.${choice}`))));
    const form = h(
      "form",
      {
        class: "stack",
        onsubmit: (event) => {
          event.preventDefault();
          const ms = parseDuration(time.value);
          if (!ms) {
            setText(problem, t("room.timeUnreadable"));
            time.setAttribute("aria-invalid", "true");
            time.focus();
            return;
          }
          const which = whose.value;
          const because = reason.value.trim();
          dialog.close();
          // Whoever has the time already gets it once, also when the rest is tried again.
          const had = new Set();
          const key = newKey();
          run("adjust", boards, (board) => give(board, which, ms, because, { had, key }));
        },
      },
      h("div", { class: "field" },
        h("label", { htmlFor: ids.time }, t("room.time")), time,
        h("p", { class: "hint", id: `${ids.time}-hint` }, t("room.timeHint")), problem),
      choices.length > 1 && h("div", { class: "field" }, h("label", { htmlFor: ids.whose }, t("room.whose")), whose),
      h("div", { class: "field" }, h("label", { htmlFor: ids.reason }, t("room.reason")), reason),
      h("div", { class: "actions" },
        button(t("room.back"), { onclick: () => dialog.close() }),
        h("button", { class: "button primary" }, t("room.give", { count: boards.length }))),
    );
    const dialog = openDialog({ title: t("room.timeTitle", { count: boards.length }), body: form });
    time.select();
  }

  /** Gives time to clocks of a board. When only a part of that works, the error says which. */
  async function give(board, which, ms, reason, { had, key }) {
    const { state } = board;
    const owners = ownersOf(state);
    const active = activeOwner(state) ?? owners[0];
    const wanted = which === "all" || owners[0] === null ? owners
      : which === "active" ? [active] : [owners[which === "first" ? 0 : 1]];
    for (const owner of wanted) {
      const place = `${key}-${board.id}-${owner ?? "all"}`;
      if (had.has(place)) continue;
      try {
        await room.client.handle(board.id).add(owner, ms, { ...(reason ? { reason } : {}), idempotencyKey: place });
        had.add(place);
      } catch (error) {
        const given = wanted.filter((each) => had.has(`${key}-${board.id}-${each ?? "all"}`));
        if (given.length > 0) {
          error.sentence = t("room.half", {
            names: list(given.map((each) => ownerName(state, each))),
            time: formatClock(ms, { plus: true, tenths: false }),
            other: ownerName(state, owner),
            reason: reasonOf(error),
          });
        }
        throw error;
      }
    }
  }

  return { element, show };
}
