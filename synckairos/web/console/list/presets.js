// The service's presets in groups, and the names of the participants that the form begins with for each.

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

/** The default names of the participants for a preset, or without one (null) for a mode. */
export function defaultNames(preset, mode) {
  if (preset && Object.hasOwn(NAMES, preset)) return NAMES[preset];
  const group = GROUPS.find(([, names]) => names.includes(preset))?.[0];
  if (group === "Chess") return COLOURS;
  if (group === "Go and shogi") return STONES;
  if (mode === "global" || mode === "count_up") return ["Everybody"];
  return ["Player 1", "Player 2"];
}
