// The five modes of a session, in words for the form, and which of them give participants or teams a clock.

import { t } from "../shared/i18n.js";

/** What people call each mode. */
export const MODES = Object.freeze({
  per_participant: t("mode.perParticipant"),
  per_group: t("mode.perGroup"),
  per_cycle: t("mode.perCycle"),
  global: t("mode.global"),
  count_up: t("mode.countUp"),
});

/** The modes in which participants or teams own clocks, and a time control says how these are spent. */
export const OWNERS = new Set(["per_participant", "per_group"]);

/** What each mode is for. The form shows it below the mode's name. */
export const MODE_HINTS = {
  per_participant: t("mode.perParticipantHint"),
  per_group: t("mode.perGroupHint"),
  per_cycle: t("mode.perCycleHint"),
  global: t("mode.globalHint"),
  count_up: t("mode.countUpHint"),
};

/** The title of a session that was given none, unless it has two participants with names. */
export const TITLES = {
  per_participant: t("mode.perParticipantTitle"),
  per_group: t("mode.perGroupTitle"),
  per_cycle: t("mode.perCycleTitle"),
  global: t("mode.globalTitle"),
  count_up: t("mode.countUpTitle"),
};
