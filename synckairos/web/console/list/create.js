// The form that creates a session, from a preset or freely. It writes a config, and the service checks it:
// each error that the service reports is shown at the field that caused it.

import { Unreadable, clearErrors, focusFirstError, showErrors, textField } from "./fields.js";
import { MODES, MODE_HINTS, TITLES } from "./modes.js";
import { examPart } from "./exam.js";
import { participantsPart } from "./participants.js";
import { defaultNames, presetTexts } from "./presets.js";
import { faultText } from "../shared/faults.js";
import { t } from "../shared/i18n.js";
import { remember } from "../shared/recent.js";
import { splitsPart } from "./splits.js";
import { settingsPart } from "./settings.js";
import { wordingOf } from "./wording.js";
import { tagFrom } from "../shared/tags.js";
import { timePart } from "./timing.js";
import { askForToken, button, copy, errorText, fill, h, newId, note, setText } from "../shared/ui.js";
import { useButton } from "../shared/uses.js";

/** The members of a config, in the order in which the request shows them. */
const MEMBERS = [
  "preset",
  "sync_mode",
  "participants",
  "groups",
  "active_participant_id",
  "total_time_ms",
  "time_per_cycle_ms",
  "increment_ms",
  "max_time_ms",
  "time_control",
  "lag_compensation",
  "auto_advance",
  "action_on_timeout",
  "warnings_ms",
  "max_pause_ms",
  "max_pauses",
  "max_total_pause_ms",
  "max_cycles",
  "starts_at_ms",
  "ends_at_ms",
  "players_may_pause",
  "players_may_choose_next",
  "metadata",
];

/**
 * The form.
 *
 * @param {import("/synckairos.js").SyncKairos} client
 * @param {object | null} preset A preset as the service lists it; null: the form starts without one.
 * @param {{needsToken?: boolean}} [options] needsToken: whether the service wants a token with the request.
 * @returns {HTMLElement}
 */
export function createForm(client, preset, { needsToken = false } = {}) {
  const given = preset ? preset.config : { sync_mode: "per_participant", warnings_ms: [10_000] };
  let mode = given.sync_mode;

  const wording = () => wordingOf(preset?.name ?? null, mode);

  // Errors that belong to no field, shown above the button.
  const summary = h("div", { class: "form-problems", role: "alert", tabindex: "-1" });

  const title = textField({
    label: t("form.title"),
    attributes: { maxlength: "80", autocapitalize: "sentences" },
  });
  const room = textField({
    label: t("room.field"),
    hint: t("room.fieldHint"),
    attributes: { maxlength: "64" },
  });
  const participants = participantsPart(
    () => ({ mode, different: time.different }),
    defaultNames(preset?.name ?? null, mode),
    wording,
  );
  const time = timePart(given, {
    wording,
    changed: () => {
      participants.show();
      show();
    },
  });
  const more = settingsPart(given, participants, wording);
  const splits = preset?.name === "speedrun" ? splitsPart() : null;
  /** What an exam has beside: extra time for some. */
  const exam = preset?.name === "exam" ? examPart({ totalMs: () => time.totalMs }) : null;

  const modes = h(
    "fieldset",
    { class: "modes" },
    h("legend", {}, t("form.whichClock")),
    h(
      "div",
      { class: "mode-list" },
      Object.keys(MODES).map((each) =>
        h(
          "label",
          { class: "mode" },
          h("input", {
            type: "radio",
            name: "mode",
            value: each,
            checked: each === mode,
            onchange: () => {
              mode = each;
              participants.setDefaults(defaultNames(preset?.name ?? null, mode));
              show();
            },
          }),
          h(
            "span",
            { class: "mode-text" },
            h("strong", {}, MODES[each]),
            h("span", { class: "hint" }, MODE_HINTS[each]),
          ),
        ),
      ),
    ),
  );

  const request = h("pre", { class: "request", tabindex: "0", "aria-label": t("form.request") });
  const asRequest = disclosure(
    t("form.byHttp"),
    t("form.byHttpHint"),
    request,
    preset?.use && [h("p", { class: "hint" }, t("form.hasButton", { button: useButton(preset) })), h("pre", { class: "request", tabindex: "0", "aria-label": t("form.request") }, requestOf(preset.use))],
    h(
      "div",
      { class: "buttons" },
      button(t("word.copy"), { icon: "copy", onclick: () => copy(request.textContent) }),
    ),
  );
  const submit = h("button", { class: "button primary large" }, t("form.create"));

  const form = h(
    "form",
    {
      class: "create",
      novalidate: true,
      autocomplete: "off",
      onsubmit: (event) => {
        event.preventDefault();
        send();
      },
    },
    preset ? null : modes,
    section(t("form.who"), title.element, participants.element, splits?.element, room.element),
    exam && section(t("examForm.heading"), exam.element),
    preset ? disclosure(t("form.time"), time.brief, time.element) : section(t("form.time"), time.element),
    disclosure(t("form.more"), t("form.moreHint"), more.element),
    asRequest,
    summary,
    h("div", { class: "submit" }, submit, h("a", { class: "button quiet large", href: "#new" }, t("word.back"))),
  );

  // While the request is shown, it follows every change of the form.
  const refresh = () => {
    if (asRequest.open) showRequest();
    exam?.explain();
  };
  form.addEventListener("input", refresh);
  form.addEventListener("change", refresh);
  form.addEventListener("click", () => queueMicrotask(refresh));
  asRequest.addEventListener("toggle", refresh);

  function show() {
    title.control.placeholder = preset ? presetTexts(preset).title : TITLES[mode];
    time.show(mode);
    participants.show();
    more.show(mode);
    refresh();
  }

  /** The config of the form, without absent members. Throws Unreadable. */
  function config() {
    const own = { ...given, sync_mode: mode };
    const set = (name, value) => {
      if (value === null || value === undefined) delete own[name];
      else own[name] = value;
    };
    const { names, areTwoWithNames, ...people } = participants.configMembers(time.addToConfig(mode, set));
    more.addToConfig(mode, set);
    for (const [name, value] of Object.entries(people)) set(name, value);
    set("active_participant_id", more.first);
    const metadata = {};
    // A changed preset no longer goes by the preset's name.
    const isPreset = preset && Object.entries(preset.config).every(([name, value]) => same(own[name], value));
    const byNames = areTwoWithNames || (!isPreset && Object.keys(names).length === 2);
    const sessionTitle = title.text || (byNames ? "" : isPreset ? presetTexts(preset).title : exam ? t("exam.view") : TITLES[mode]);
    if (sessionTitle) metadata.title = sessionTitle;
    if (more.view) metadata.view = more.view;
    Object.assign(metadata, more.faces);
    if (preset) metadata.preset = preset.name; // for the button of its use, also where its times were changed
    splits?.addToMetadata(metadata);
    if (room.text) {
      const tag = tagFrom(room.text);
      if (tag === null) throw new Unreadable(room, t("room.fieldBad"));
      metadata.tags = [tag];
    }
    if (Object.keys(names).length > 0) metadata.names = names;
    exam?.addTo(own, metadata);
    set("metadata", Object.keys(metadata).length > 0 ? metadata : null);
    return withoutPresetMembers(own);
  }

  /** The same config, with the preset's name in place of the members that the preset sets. */
  function withoutPresetMembers(own) {
    const members = Object.keys(preset?.config ?? {});
    const whole = preset === null || members.some((name) => !(name in own));
    const left = Object.entries(own).filter(
      ([name, value]) => whole || !members.includes(name) || !same(value, given[name]),
    );
    const found = new Map(whole ? left : [["preset", preset.name], ...left]);
    return Object.fromEntries(
      MEMBERS.filter((name) => found.has(name)).map((name) => [name, found.get(name)]),
    );
  }

  function showRequest() {
    let text;
    try {
      const body = JSON.stringify(config(), null, 2).replaceAll("'", "'\\''");
      const token = needsToken ? `-H "Authorization: Bearer $TOKEN" ` : "";
      text = `curl ${token}--json '${body}' ${location.origin}/v1/sessions`;
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      text = `${error.field.element.querySelector("label").textContent}: ${error.message}`;
    }
    setText(request, text);
  }

  const fields = () => [title, ...(splits?.fields ?? []), ...(exam?.fields ?? []), room, ...time.fields, ...more.fields, ...participants.fields()];

  function showRefusal(details) {
    const left = showErrors(fields(), details.length > 0 ? details : []);
    const isAtField = focusFirstError(form);
    fill(
      summary,
      left.length > 0 &&
        note(
          "danger",
          h("p", {}, h("strong", {}, t("form.notAccepted"))),
          h(
            "ul",
            {},
            left.map((each) => h("li", {}, each.field && h("code", {}, each.field), " ", faultText(each.field, each.message))),
          ),
        ),
    );
    if (!isAtField) summary.focus();
  }

  async function send() {
    if (submit.getAttribute("aria-busy") === "true") return;
    clearErrors(fields());
    fill(summary);
    let sessionConfig;
    try {
      sessionConfig = config();
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      error.field.fail(error.message);
      focusFirstError(form);
      return;
    }
    submit.setAttribute("aria-busy", "true");
    setText(submit, t("form.creating"));
    let hasNewToken = false;
    try {
      const state = await client.create(sessionConfig);
      remember(state.session_id);
      location.assign(`/s/${state.session_id}`);
      return; // the button stays busy until the session's page is loaded
    } catch (error) {
      if (error?.code === "VALIDATION_ERROR") {
        showRefusal(error.details?.length ? error.details : [{ field: "", message: error.message }]);
      } else if (error?.code === "UNAUTHENTICATED") {
        hasNewToken = await askForToken({ reload: false });
      } else {
        fill(summary, note("danger", h("p", {}, errorText(error))));
        summary.focus();
      }
    }
    enableSubmit();
    if (hasNewToken) send();
  }

  function enableSubmit() {
    submit.removeAttribute("aria-busy");
    setText(submit, t("form.create"));
  }
  // When the user goes back from the session's page, the browser may restore this one with a busy button.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) enableSubmit();
  });

  show();
  return form;
}

function disclosure(heading, hint, ...children) {
  return h(
    "details",
    { class: "more" },
    h("summary", {}, h("span", {}, heading), h("span", { class: "hint" }, hint)),
    h("div", { class: "stack" }, ...children),
  );
}

/** The call that a preset's use is, as a backend sends it. */
const requestOf = ({ method, path, body }) => `${method} ${path}\n${JSON.stringify(body, null, 2)}`;

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

function section(heading, ...children) {
  const id = newId("part");
  return h("section", { class: "part", "aria-labelledby": id }, h("h2", { id }, heading), ...children);
}
