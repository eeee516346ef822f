// The form for an agenda, from pasted lines: each item becomes a participant with a clock of its own, which goes on
// into overtime. Nothing ends by itself; somebody goes on to the next item.

import { MAX_ITEMS, readAgenda } from "./agenda_lines.js";
import { Unreadable, clearErrors, field, focusFirstError, momentField, showErrors, textField } from "./fields.js";
import { newUuid } from "./participants.js";
import { faultsText } from "../shared/faults.js";
import { list as listed, moment, t } from "../shared/i18n.js";
import { timeZone } from "../shared/moments.js";
import { remember } from "../shared/recent.js";
import { formatDuration } from "../shared/time.js";
import { askForToken, errorText, fill, h, note, setText } from "../shared/ui.js";

/** An item may go on for so long over its time. */
const OVERTIME_MS = 86_400_000;
const WARNINGS_MS = [60_000, 0];
const MAX_NAME = 60;

const timeText = (ms) => moment(ms, { hour: "numeric", minute: "2-digit" });

/**
 * The config of a session with these items.
 *
 * @param {{name: string, ms: number}[]} items
 * @param {{title: string, startsAtMs: number | null, newId: () => string}} options
 */
export function agendaConfig(items, { title, startsAtMs, newId }) {
  const made = items.map(({ name, ms }) => ({ id: newId(), name: name.slice(0, MAX_NAME), ms }));
  return {
    sync_mode: "per_participant",
    participants: made.map(({ id, ms }) => ({ participant_id: id, total_time_ms: ms })),
    time_control: { kind: "fischer", overtime_ms: OVERTIME_MS },
    action_on_timeout: { type: "notify" },
    warnings_ms: WARNINGS_MS,
    ...(startsAtMs === null ? {} : { starts_at_ms: startsAtMs }),
    metadata: {
      title,
      view: "agenda",
      names: Object.fromEntries(made.map(({ id, name }) => [id, name])),
      agenda: {
        plan_ms: Object.fromEntries(made.map(({ id, ms }) => [id, ms])),
        ...(startsAtMs === null ? {} : { starts_at_ms: startsAtMs }),
      },
    },
  };
}

/**
 * The form.
 *
 * @param {import("/synckairos.js").SyncKairos} client
 * @returns {HTMLElement}
 */
export function agendaForm(client) {
  const title = textField({
    label: t("agendaForm.title"),
    placeholder: t("agenda.agenda"),
    attributes: { maxlength: "80", autocapitalize: "sentences" },
  });
  const lines = h("textarea", {
    class: "textarea agenda-lines",
    rows: "8",
    spellcheck: "false",
    placeholder: t("agendaForm.example"),
    oninput: () => show(),
  });
  const items = field({ label: t("agendaForm.items"), control: lines, hint: t("agendaForm.hint"), paths: ["participants"] });
  const starts = momentField({ label: t("agendaForm.starts"), hint: t("agendaForm.zone", { zone: timeZone() }), paths: ["starts_at_ms"] });
  starts.control.addEventListener("input", () => show());
  const problems = h("ul", { class: "agenda-problems", role: "status" });
  const rows = h("tbody", {});
  const total = h("p", { class: "meaning" });
  const preview = h(
    "div",
    { class: "agenda-preview", hidden: true },
    h(
      "table",
      {},
      h("caption", { class: "visually-hidden" }, t("agendaForm.preview")),
      h(
        "thead",
        {},
        h("tr", {}, [t("agendaForm.number"), t("agendaForm.item"), t("agendaForm.length"), t("agendaForm.begins")].map((each) =>
          h("th", { scope: "col" }, each),
        )),
      ),
      rows,
    ),
    total,
  );
  const summary = h("div", { class: "form-problems", role: "alert", tabindex: "-1" });
  const submit = h("button", { class: "button primary large" }, t("agendaForm.create"));
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
    h("section", { class: "part" }, title.element, items.element, problems, preview, starts.element),
    summary,
    h("div", { class: "submit" }, submit, h("a", { class: "button quiet large", href: "#new" }, t("agendaForm.back"))),
  );
  const fields = [title, items, starts];

  const problemText = ({ line, text, why }) => {
    const short = text.length > 40 ? `${text.slice(0, 39)}…` : text;
    return t(`agendaForm.wrong_${why}`, { line, text: short, most: MAX_ITEMS });
  };

  /** The planned start, where the field holds one. */
  function startOf() {
    try {
      return starts.ms;
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      return null;
    }
  }

  function show() {
    const read = readAgenda(lines.value);
    fill(problems, read.problems.slice(0, 5).map((each) => h("li", { class: "problem" }, problemText(each))));
    if (read.problems.length === 0) items.fail("");
    preview.hidden = read.items.length === 0;
    let at = startOf();
    fill(
      rows,
      read.items.map(({ name, ms }, place) => {
        const row = h(
          "tr",
          {},
          h("td", { class: "digits muted" }, String(place + 1)),
          h("td", {}, name),
          h("td", { class: "digits" }, formatDuration(ms)),
          h("td", { class: "digits" }, at === null ? "" : timeText(at)),
        );
        if (at !== null) at += ms;
        return row;
      }),
    );
    const sum = read.items.reduce((all, { ms }) => all + ms, 0);
    const words = [t("agendaForm.total", { count: read.items.length, time: formatDuration(sum) })];
    if (at !== null) words.push(t("agendaForm.until", { time: timeText(at) }));
    setText(total, listed(words, { type: "unit", style: "long" }));
    return read;
  }

  function config() {
    const read = show();
    if (read.problems.length > 0) throw new Unreadable(items, problemText(read.problems[0]));
    if (read.items.length === 0) throw new Unreadable(items, t("agendaForm.none"));
    return agendaConfig(read.items, {
      title: title.text || t("agenda.agenda"),
      startsAtMs: starts.ms,
      newId: newUuid,
    });
  }

  async function send() {
    if (submit.getAttribute("aria-busy") === "true") return;
    clearErrors(fields);
    fill(summary);
    let made;
    try {
      made = config();
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      error.field.fail(error.message);
      focusFirstError(form);
      return;
    }
    submit.setAttribute("aria-busy", "true");
    let hasNewToken = false;
    try {
      const state = await client.create(made);
      remember(state.session_id);
      location.assign(`/s/${state.session_id}`);
      return; // the button stays busy until the session's page is loaded
    } catch (error) {
      if (error?.code === "UNAUTHENTICATED") hasNewToken = await askForToken({ reload: false });
      else {
        const details = error?.code === "VALIDATION_ERROR" ? (error.details ?? []) : [];
        const left = showErrors(fields, details);
        const text = left.length > 0 ? faultsText(left) : errorText(error);
        if (details.length === 0 || left.length > 0) fill(summary, note("danger", h("p", {}, text)));
        if (!focusFirstError(form)) summary.focus();
      }
    }
    submit.removeAttribute("aria-busy");
    if (hasNewToken) send();
  }
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) submit.removeAttribute("aria-busy");
  });

  return form;
}
