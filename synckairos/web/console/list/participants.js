// The part of the form with the participants: a list of names, in teams where teams own the clocks.

import { readDuration, textField } from "./fields.js";
import { t } from "../shared/i18n.js";
import { playerName, teamName } from "../shared/names.js";
import { button, fill, h, setText } from "../shared/ui.js";

const MAX_PARTICIPANTS = 1000;

/** Whether a default name says no more than the place. Such a one is not stored. */
const isNoName = (name, place) => name === playerName(place);

/**
 * The list of participants, in teams where teams own the clocks.
 *
 * @param {() => {mode: string, different: "ms" | "text" | null}} settings The form's mode, and how own times
 *   are written: as durations, as time controls, or not at all.
 * @param {string[]} names The default names.
 * @param {() => import("./wording.js").Wording} wording
 */
export function participantsPart(settings, names, wording) {
  let defaults = names;
  let touched = false;
  /** @type {{id: string, name: object, rows: object[]}[]} */
  let teams = [makeTeam(defaults)];
  const element = h("div", { class: "participants stack" });
  const [problems, tooLong] = [
    h("p", { class: "problem", tabindex: "-1" }),
    h("p", { class: "problem", tabindex: "-1" }),
  ];

  function ownTimeField() {
    const label = t("people.ownTime");
    return textField({ label, hideLabel: true, class: "own", placeholder: t("people.ownTimeHere") });
  }

  function makeRow(value = "") {
    const id = newUuid();
    const own = ownTimeField();
    const name = textField({
      label: t("people.name"),
      hideLabel: true,
      value,
      attributes: { autocapitalize: "words", maxlength: "60" },
      oninput: () => {
        touched = true;
      },
      class: "name",
    });
    name.control.addEventListener("paste", (event) => {
      const lines = (event.clipboardData?.getData("text") ?? "")
        .split(/\r?\n/)
        .map((line) => line.trim())
        .filter(Boolean);
      if (lines.length < 2) return;
      event.preventDefault();
      const team = teams.find((each) => each.rows.includes(row));
      const [first, ...others] = lines.slice(0, MAX_PARTICIPANTS - allRows().length + 1);
      name.control.value = first;
      team.rows.splice(team.rows.indexOf(row) + 1, 0, ...others.map(makeRow));
      touched = true;
      show();
      changed();
    });
    const row = { id, name, own };
    return row;
  }

  function makeTeam(members, value = "") {
    return {
      id: newUuid(),
      name: textField({
        label: t("people.team"),
        hideLabel: true,
        value,
        attributes: { autocapitalize: "words", maxlength: "60" },
        class: "name",
      }),
      own: ownTimeField(),
      rows: members.map(() => makeRow()),
    };
  }

  const changed = () => element.dispatchEvent(new Event("change", { bubbles: true }));
  const isTeams = () => settings().mode === "per_group";
  const allRows = () => teams.flatMap((each) => each.rows);

  function add(team) {
    const row = makeRow();
    team.rows.push(row);
    touched = true;
    show();
    changed();
    row.name.control.focus();
  }

  function remove(team, row) {
    const at = team.rows.indexOf(row);
    team.rows.splice(at, 1);
    touched = true;
    show();
    changed();
    (team.rows[Math.min(at, team.rows.length - 1)]?.name.control ?? element.querySelector("button")).focus();
  }

  function setDefaults(next) {
    defaults = next;
    if (!touched) teams = [makeTeam(defaults)];
  }

  function arrangeTeams() {
    if (isTeams() && teams.length === 1) {
      // The participants are dealt out to two teams.
      const rows = allRows();
      const [first, second] = [makeTeam([]), makeTeam([])];
      rows.forEach((each, at) => (at % 2 ? second : first).rows.push(each));
      for (const each of [first, second]) if (each.rows.length === 0) each.rows.push(makeRow());
      teams = [first, second];
    } else if (!isTeams() && teams.length > 1) {
      const rows = allRows();
      teams = [makeTeam([])];
      teams[0].rows = rows;
    }
  }

  const defaultName = (place) =>
    !isTeams() && allRows().length === defaults.length ? defaults[place] : playerName(place);

  function rowElement(team, row, place) {
    const { different } = settings();
    const fallback = defaultName(place);
    row.name.control.placeholder = fallback;
    row.name.element.querySelector("label").textContent = t("people.nameOf", { number: String(place + 1) });
    row.own.element.querySelector("label").textContent = t("people.ownTimeOf", { number: String(place + 1) });
    row.own.element.hidden = different === null || isTeams();
    row.name.paths = [`participants.${place}`];
    row.own.paths = [`participants.${place}.total_time_ms`, `participants.${place}.time_control`];
    const removeButton = button(t("people.remove", { name: row.name.text || fallback }), {
      icon: "cross",
      square: true,
      class: "quiet",
      onclick: () => remove(team, row),
    });
    removeButton.disabled = allRows().length === 1;
    return h(
      "li",
      { class: "person" },
      h("span", { class: "place digits", "aria-hidden": "true" }, place + 1),
      row.name.element,
      row.own.element,
      removeButton,
    );
  }

  function show() {
    arrangeTeams();
    const focused = document.activeElement;
    const full = allRows().length >= MAX_PARTICIPANTS;
    let place = 0;
    const blocks = teams.map((team, at) => {
      const list = h(
        "ol",
        { role: "list", class: "people" },
        team.rows.map((row) => rowElement(team, row, place++)),
      );
      const more = button(t("people.add"), { icon: "plus", class: "quiet", onclick: () => add(team) });
      more.disabled = full;
      if (!isTeams()) return [list, more];
      team.name.control.placeholder = teamName(at);
      team.name.element.querySelector("label").textContent = t("people.nameOfTeam", { number: String(at + 1) });
      team.own.element.querySelector("label").textContent = t("people.ownTimeOfTeam", { number: String(at + 1) });
      team.own.element.hidden = settings().different === null;
      team.name.paths = [`groups.${at}`];
      team.own.paths = [`groups.${at}.total_time_ms`, `groups.${at}.time_control`];
      const removeButton = button(t("people.removeTeam", { number: String(at + 1) }), {
        icon: "trash",
        square: true,
        class: "quiet",
        onclick: () => {
          teams.splice(at, 1);
          touched = true;
          show();
          changed();
          teams[Math.min(at, teams.length - 1)].name.control.focus();
        },
      });
      removeButton.disabled = teams.length <= 2;
      return h(
        "fieldset",
        { class: "team" },
        h("legend", { class: "visually-hidden" }, teamName(at)),
        h("div", { class: "team-head" }, team.name.element, team.own.element, removeButton),
        list,
        more,
      );
    });
    fill(
      element,
      isTeams() ? h("div", { class: "teams" }, blocks) : blocks,
      isTeams() &&
        button(t("people.addTeam"), {
          icon: "people",
          onclick: () => {
            const added = makeTeam([0]);
            teams.push(added);
            touched = true;
            show();
            changed();
            added.name.control.focus();
          },
        }),
      problems,
      tooLong,
      h("p", { class: "hint" }, wording().hint),
    );
    if (focused && focused !== document.activeElement && element.contains(focused)) focused.focus();
  }

  /** participants, groups and names for a config, and whether two owners have names. Throws Unreadable. */
  function configMembers({ bank_ms, own, extra }) {
    const namesById = {};
    const ownTime = (from) => {
      const typed = from.own.text;
      if (own === null || typed === "") return bank_ms === null ? {} : { total_time_ms: bank_ms };
      if (own === "text") return { time_control: extra.overtime_ms ? { notation: typed, ...extra } : typed };
      return { total_time_ms: readDuration(from.own, typed) };
    };
    let place = 0;
    const participants = teams.flatMap((team) =>
      team.rows.map((row) => {
        const name = row.name.text || (isNoName(defaultName(place), place) ? "" : defaultName(place));
        place += 1;
        if (name) namesById[row.id] = name;
        return { participant_id: row.id, ...(isTeams() ? { group_id: team.id } : ownTime(row)) };
      }),
    );
    const owners = isTeams() ? teams : allRows();
    const areTwoWithNames = owners.length === 2 && owners.every((each) => each.name.text !== "");
    if (!isTeams()) return { participants, groups: null, names: namesById, areTwoWithNames };
    const groups = teams.map((team) => {
      if (team.name.text) namesById[team.id] = team.name.text;
      return { group_id: team.id, ...ownTime(team) };
    });
    return { participants, groups, names: namesById, areTwoWithNames };
  }

  return {
    element,
    show,
    configMembers,
    setDefaults,
    /** [id, name] of each participant, in order. */
    get people() {
      return allRows().map((row, place) => [row.id, row.name.text || defaultName(place)]);
    },
    fields: () => [
      {
        element: problems,
        paths: ["participants", "groups"],
        fail: (message) => setText(problems, message && t("people.listFault", { message })),
      },
      {
        element: tooLong,
        paths: ["metadata"],
        fail: (message) =>
          setText(tooLong, message && t("people.tooLong")),
      },
      ...teams.flatMap((team) => [
        ...(isTeams() ? [team.name, team.own] : []),
        ...team.rows.flatMap((row) => [row.name, row.own]),
      ]),
    ],
  };
}

/** A random UUID (version 4). crypto.randomUUID exists on secure origins only, and plain HTTP is none. */
export function newUuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (each) => each.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
