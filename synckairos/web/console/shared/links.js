// Links for people without an account: they watch a session, play in it or moderate it. A link's token is shown
// once, when it is made. What was made can be taken back.

import { errorText, openDialog, toast } from "./dialogs.js";
import { button, fill, h, newId, note, setText } from "./dom.js";
import { participantName } from "./names.js";
import { linkParts } from "./share.js";
import { moment, t } from "./i18n.js";

const HOUR_S = 3600;
const PERIODS = [
  [HOUR_S, t("links.hour")],
  [24 * HOUR_S, t("links.day")],
  [7 * 24 * HOUR_S, t("links.week")],
  [30 * 24 * HOUR_S, t("links.month")],
];
const DEFAULT_S = 24 * HOUR_S;
const UNTIL = { dateStyle: "medium", timeStyle: "short" };

const ROLES = {
  viewer: [t("role.viewer"), t("role.viewerHint")],
  player: [t("role.player"), t("role.playerHint")],
  moderator: [t("role.moderator"), t("role.moderatorHint")],
};

const untilText = (link) =>
  link.expires_at ? t("links.until", { moment: moment(new Date(link.expires_at), UNTIL) }) : "";

/** What a link is for: `Watch`, `Play as Anna`, `Moderate`. */
function purposeOf({ role, participant_id: id }, state) {
  if (role !== "player") return ROLES[role]?.[0] ?? role;
  const place = state.participants.findIndex((each) => each.participant_id === id);
  return place < 0 ? t("role.playsGone") : t("role.plays", { name: participantName(state, place) });
}

/**
 * Opens the dialog that makes links to a session, lists them, and takes them back.
 *
 * @param {import("/synckairos.js").SyncKairos} client
 * @param {object} state The session's state, with its participants.
 * @param {{view?: string, screen?: boolean}} [options] view: the view that a link opens; default: the session's.
 *   screen: whether its page has nothing to press.
 */
export async function linksDialog(client, state, { view = "", screen = false } = {}) {
  const path = `/v1/sessions/${state.session_id}/links`;
  const made = h("div", { class: "links-made", role: "group", "aria-label": t("links.new"), hidden: true });
  const list = h("div", { class: "links-list" });
  const said = h("p", { class: "visually-hidden", role: "status" });
  const form = linkForm(state, make);
  const opened = openDialog({
    title: t("share.session"),
    class: "links-dialog",
    body: [form.element, made, list, said],
  });
  /** The link that is shown, so that it goes when it is taken back. */
  let shown = null;
  await refresh();

  async function make(wanted) {
    form.busy(true);
    try {
      const link = await client.request("POST", path, wanted);
      showLink(link);
      await refresh();
    } catch (error) {
      toast(errorText(error), { kind: "error" });
    } finally {
      form.busy(false);
    }
  }

  function showLink(link) {
    const address = new URL(link.url, location.origin);
    if (view) address.searchParams.set("view", view);
    if (screen) address.searchParams.set("screen", "");
    shown = link.link_id;
    const heading = h("h3", { tabindex: "-1" }, purposeOf(link, state));
    fill(
      made,
      heading,
      linkParts(address.href, { needsToken: true, mayBeBare: link.role === "viewer" }),
      h(
        "p",
        { class: "hint" },
        t("links.goodUntil", { until: untilText(link) }),
        " ",
        t("links.secret"),
      ),
      h("div", { class: "buttons" }, button(t("links.another"), { icon: "plus", onclick: hideLink })),
    );
    made.hidden = false;
    form.element.hidden = true;
    opened.element.scrollTo(0, 0);
    heading.focus();
  }

  /** Shows the form again in place of the new link. */
  function hideLink() {
    shown = null;
    fill(made);
    made.hidden = true;
    form.element.hidden = false;
    opened.element.querySelector("h2").focus();
  }

  async function refresh() {
    try {
      const { links } = await client.request("GET", path);
      drawList(links);
    } catch (error) {
      fill(list, note("warn", h("p", {}, t("links.unlisted"), " ", errorText(error))));
    }
  }

  function drawList(links) {
    const headingId = newId("links");
    fill(
      list,
      links.length > 0 && [
        h("h3", { id: headingId }, t("links.made")),
        h("ul", { role: "list", "aria-labelledby": headingId }, links.map(item)),
        links.length > 1 &&
          button(t("links.takeAllBack"), {
            class: "danger",
            onclick: () => takeBack(path, t("links.allTakenBack")),
          }),
      ],
    );
  }

  function item(link) {
    const purpose = purposeOf(link, state);
    const text = h(
      "span",
      { class: "links-text" },
      h("span", {}, purpose),
      h("span", { class: "hint" }, untilText(link)),
    );
    const control = button(t("word.takeBack"), {
      onclick: () => takeBack(`${path}/${link.link_id}`, t("links.takenBack", { purpose }), link.link_id),
    });
    control.setAttribute("aria-label", t("links.takeBackOne", { purpose, until: untilText(link) }));
    return h("li", {}, text, control);
  }

  async function takeBack(address, message, id = null) {
    try {
      await client.request("DELETE", address);
    } catch (error) {
      toast(errorText(error), { kind: "error" });
      return;
    }
    if (shown !== null && (id === null || id === shown)) hideLink();
    await refresh();
    setText(said, message);
    // The button that was pressed is gone.
    opened.element.querySelector("h2").focus();
  }
}

/** The form: what the link is for, and how long it is good. */
function linkForm(state, make) {
  const name = newId("role");
  const period = h(
    "select",
    { class: "select", id: newId("period") },
    PERIODS.map(([seconds, label]) => h("option", { value: seconds, selected: seconds === DEFAULT_S }, label)),
  );
  const who = h(
    "select",
    { class: "select", id: newId("who") },
    state.participants.map((each, place) =>
      h("option", { value: each.participant_id }, participantName(state, place)),
    ),
  );
  const whoField = h(
    "div",
    { class: "field", hidden: true },
    h("label", { htmlFor: who.id }, t("word.participant")),
    who,
  );
  const roles = Object.entries(ROLES)
    .filter(([role]) => role !== "player" || state.participants.length > 0)
    .map(([role, [label, hint]]) =>
      h(
        "label",
        { class: "check" },
        h("input", {
          type: "radio",
          name,
          value: role,
          checked: role === "viewer",
          onchange: () => {
            whoField.hidden = role !== "player";
          },
        }),
        h("span", {}, label, h("span", { class: "hint" }, hint)),
      ),
    );
  const submit = h("button", { class: "button primary" }, t("links.make"));
  const element = h(
    "form",
    {
      class: "links-form",
      onsubmit: (event) => {
        event.preventDefault();
        if (submit.getAttribute("aria-busy") === "true") return;
        const role = element.elements[name].value;
        make({
          role,
          ...(role === "player" && { participant_id: who.value }),
          expires_in_s: Number(period.value),
        });
      },
    },
    h("fieldset", {}, h("legend", {}, t("links.mayWhat")), roles),
    whoField,
    h(
      "div",
      { class: "links-submit" },
      h("div", { class: "field" }, h("label", { htmlFor: period.id }, t("links.goodFor")), period),
      submit,
    ),
  );
  return {
    element,
    busy: (is) => (is ? submit.setAttribute("aria-busy", "true") : submit.removeAttribute("aria-busy")),
  };
}
