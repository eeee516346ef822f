// The service's presets in groups, and the names of the participants that the form begins with for each.

import { readControl } from "./controls.js";

/** The groups, in the order in which they are shown. A preset in none of them is shown under "More". */
const GROUPS = [
  [
    "Chess",
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
  ["Go and shogi", ["ogs-live", "canadian", "igs", "shogi", "lishogi", "ten-second-shogi"]],
  ["Other games", ["team", "scrabble", "backgammon", "poker"]],
  ["Beyond games", ["quiz", "exam", "contest", "meeting", "speech", "debate", "auction", "speedrun"]],
];

const COLOURS = ["White", "Black"];
const STONES = ["Black", "White"];

/** The default names of the participants, by preset. */
const NAMES = {
  scrabble: ["Player 1", "Player 2"],
  backgammon: COLOURS,
  poker: ["Player 1", "Player 2", "Player 3"],
  quiz: ["Everybody"],
  exam: ["Everybody"],
  contest: ["Everybody"],
  debate: ["First proposition", "First opposition", "Second proposition", "Second opposition"],
  meeting: ["Speaker 1", "Speaker 2", "Speaker 3"],
  speech: ["Speaker"],
  auction: ["Everybody"],
  speedrun: ["Runner"],
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
    ["More", presets.filter((preset) => !known.has(preset.name))],
  ].filter(([, found]) => found.length > 0);
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
  if (group === "Chess") return COLOURS;
  if (group === "Go and shogi") return STONES;
  if (mode === "global" || mode === "count_up") return ["Everybody"];
  return ["Player 1", "Player 2"];
}
