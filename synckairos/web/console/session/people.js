// The participants and teams of a session, prepared for drawing: order, names, colours, and who is next.

import { t } from "../shared/i18n.js";
import { nameGiven, participantName, teamName } from "../shared/names.js";

/** The number of colours for the owners of clocks, as on the timeline. */
const HUES = 8;
/** An id somewhere in a text. */
const ID = /\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi;

/**
 * A participant or a team.
 *
 * @typedef {object} Person
 * @property {string} id A participant's or a group's id.
 * @property {string} name
 * @property {number} hue 0 to 7; members have the colour of their group.
 * @property {string | null} groupId The group of a participant.
 */

/** Names, order and colours of all participants and groups. Made anew after one joined or left. */
export class People {
  /** @param {object} state A session's state. */
  constructor(state) {
    this.state = state;
    this.byGroup = state.sync_mode === "per_group";
    /** @type {Person[]} In the order of the rotation. */
    this.participants = [];
    /** @type {Person[]} In the order of the config. */
    this.groups = [];
    /** @type {Map<string, Person>} */
    this.byId = new Map();
    state.groups.forEach((group, place) =>
      this.#add(this.groups, {
        id: group.group_id,
        name: nameGiven(state, group.group_id) ?? teamName(place),
        hue: place % HUES,
        groupId: null,
      }),
    );
    state.participants.forEach((participant, place) =>
      this.#add(this.participants, {
        id: participant.participant_id,
        name: participantName(state, place),
        hue: this.byId.get(participant.group_id)?.hue ?? place % HUES,
        groupId: participant.group_id,
      }),
    );
    /** The owners of halves and tiles: teams where they own the clocks, otherwise participants. */
    this.owners = this.byGroup ? this.groups : this.participants;
  }

  #add(list, person) {
    list.push(person);
    this.byId.set(person.id, person);
  }

  /** @param {string | null} id */
  name(id) {
    return this.#known(id) ?? t("name.someone");
  }

  /** The name of an id, also of somebody who left; null: none is known. */
  #known(id) {
    return this.byId.get(id)?.name ?? (id ? nameGiven(this.state, id) : null);
  }

  /** A text with names in place of the ids in it, such as a reason that a program gave. */
  inText(text) {
    return text.replace(ID, (id) => this.#known(id.toLowerCase()) ?? id);
  }

  /**
   * The name of a participant, with the team if there is one: `Ben (Blue)`.
   *
   * @param {string | null} id
   */
  nameWithTeam(id) {
    const person = this.byId.get(id);
    const team = person?.groupId && this.byId.get(person.groupId);
    return team ? t("name.withTeam", { name: person.name, team: team.name }) : this.name(id);
  }

  /**
   * The owner of the half or tile that belongs to a participant: the team where teams own the clocks.
   *
   * @param {string | null} participantId
   * @returns {string | null}
   */
  ownerOf(participantId) {
    if (!participantId) return null;
    return this.byGroup ? (this.byId.get(participantId)?.groupId ?? null) : participantId;
  }
}

/**
 * The entry of a participant or a group in a state.
 *
 * @param {object} state
 * @param {string | null} id
 * @returns {object | null}
 */
export function entryOf(state, id) {
  if (!id) return null;
  return (
    state.participants.find((each) => each.participant_id === id) ??
    state.groups.find((each) => each.group_id === id) ??
    null
  );
}

/**
 * The participant who becomes active after the active one when a switch names none. Null when there is no
 * other one, or it is not known.
 *
 * Participants take turns by their index, without those who are out. With teams the turn goes to the next
 * team, and there to the member after the one who was active last. A state does not say who that was, so only
 * the team is known, unless it has a single member.
 *
 * @param {object} state
 * @returns {string | null} A participant's id, or a group's where only the team is known.
 */
export function nextAfter(state) {
  const active = state.active_participant_id;
  if (!active) return null;
  const cycleClock = state.sync_mode === "per_cycle" || state.time_per_cycle_ms !== null;
  const mayBeOut = !cycleClock && state.action_on_timeout.type !== "notify";
  const isIn = (each) => !(mayBeOut && each.has_expired);
  const after = (list, at) => [...list.slice(at + 1), ...list.slice(0, at)];
  if (state.sync_mode !== "per_group") {
    const rotation = state.participants;
    const at = rotation.findIndex((each) => each.participant_id === active);
    return after(rotation, at).find(isIn)?.participant_id ?? null;
  }
  const groups = [...new Set(state.participants.map((each) => each.group_id))]
    .map((id) => state.groups.find((each) => each.group_id === id))
    .filter(Boolean);
  const at = groups.findIndex((each) => each.group_id === state.active_group_id);
  const next = after(groups, at).find(isIn);
  if (!next) return null;
  const members = state.participants.filter((each) => each.group_id === next.group_id);
  return members.length === 1 ? members[0].participant_id : next.group_id;
}

/** Whether two states have the same participants and groups. */
export function hasSamePeople(before, after) {
  return (
    before !== null &&
    before.participants.length === after.participants.length &&
    before.groups.length === after.groups.length &&
    before.epoch === after.epoch &&
    before.participants.every(
      (each, place) => each.participant_id === after.participants[place].participant_id,
    )
  );
}
