// The service's presets in groups, and the names of the participants that the form begins with for each.

import { readControl } from "./controls.js";
import { has, t } from "../shared/i18n.js";
import { playerName } from "../shared/names.js";

/** The groups, in the order in which they are shown. A preset in none of them is shown under `more`. */
const GROUPS = [
  [
    "chess",
    [
      "bullet",
      "blitz",
      "rapid",
      "classical",
      "world-championship",
      "bundesliga",
      "classical-sessions",
      "engines",
      "uscf",
      "uscf-two-stages",
      "bronstein",
      "hourglass",
      "daily",
      "correspondence-3",
      "correspondence-7",
      "correspondence-50",
      "ultrabullet",
      "untimed",
    ],
  ],
  ["go", ["ogs-live", "canadian", "igs", "shogi", "lishogi", "ten-second-shogi"]],
  ["games", ["team", "scrabble", "backgammon", "poker"]],
  ["beyond", ["quiz", "exam", "contest", "meeting", "speech", "debate", "auction", "speedrun"]],
];

const TITLES = {
  chess: t("group.chess"),
  go: t("group.go"),
  games: t("group.games"),
  beyond: t("group.beyond"),
  more: t("group.more"),
};

const COLOURS = [t("name.white"), t("name.black")];
const STONES = [COLOURS[1], COLOURS[0]];
const EVERYBODY = [t("name.everybody")];
const players = (count) => Array.from({ length: count }, (_, place) => playerName(place));

/** The default names of the participants, by preset. */
const NAMES = {
  scrabble: players(2),
  backgammon: COLOURS,
  poker: players(3),
  quiz: EVERYBODY,
  exam: EVERYBODY,
  contest: EVERYBODY,
  debate: [t("name.proposition1"), t("name.opposition1"), t("name.proposition2"), t("name.opposition2")],
  meeting: ["1", "2", "3"].map((number) => t("name.speakerNumber", { number })),
  speech: [t("name.speaker")],
  auction: EVERYBODY,
  speedrun: [t("name.runner")],
};

/**
 * Groups presets.
 *
 * @param {{name: string}[]} presets The service's list.
 * @returns {[string, object[]][]} the title and the presets of each group that has any
 */
export function groupPresets(presets) {
  const byName = new Map(presets.map((preset) => [preset.name, preset]));
  const known = new Set(GROUPS.flatMap(([, names]) => names));
  return [
    ...GROUPS.map(([title, names]) => [
      title,
      names.filter((name) => byName.has(name)).map((name) => byName.get(name)),
    ]),
    ["more", presets.filter((preset) => !known.has(preset.name))],
  ]
    .filter(([, found]) => found.length > 0)
    .map(([group, found]) => [TITLES[group], found]);
}

/** A preset's title and description, and when its use is for. The service has them in English, also those that the console does not know. */
export function presetTexts({ name, title, description, use }) {
  const own = (key, given) => (has(key) ? t(key) : given);
  return {
    title: own(`preset.${name}`, title),
    description: own(`preset.${name}Text`, description),
    when: own(`preset.${name}When`, use?.when ?? ""),
  };
}

const DAY_MS = 86_400_000;
const LONGEST_INCREMENT_MS = 60_000;

/**
 * Whether a config has more time on a clock than a service takes without long clocks: more than a day, or more
 * than a minute after every move.
 *
 * @param {object} config A preset's.
 */
export function needsLongClocks(config) {
  const text = typeof config.time_control === "string" ? config.time_control : config.time_control?.notation;
  const read = text ? readControl(text) : null;
  const control = read?.control ?? (typeof config.time_control === "object" ? config.time_control : null);
  const parts = [config, { time_ms: read?.bank_ms }, control, ...(control?.stages ?? [])];
  return parts.some((each) =>
    Object.entries(each ?? {}).some(
      ([name, value]) =>
        (name === "increment_ms" && value > LONGEST_INCREMENT_MS) ||
        (["total_time_ms", "time_per_cycle_ms", "max_time_ms", "time_ms", "delay_ms", "period_ms", "overtime_ms"].includes(name) &&
          value > DAY_MS),
    ),
  );
}

/** The default names of the participants for a preset, or without one (null) for a mode. */
export function defaultNames(preset, mode) {
  if (preset && Object.hasOwn(NAMES, preset)) return NAMES[preset];
  const group = GROUPS.find(([, names]) => names.includes(preset))?.[0];
  if (group === "chess") return COLOURS;
  if (group === "go") return STONES;
  if (mode === "global" || mode === "count_up") return EVERYBODY;
  return players(2);
}
