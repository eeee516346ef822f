// The five modes of a session, in words for the form, and which of them give participants or teams a clock.

/** What people call each mode. */
export const MODES = Object.freeze({
  per_participant: "A clock for each participant",
  per_group: "A clock for each team",
  per_cycle: "Fresh time every turn",
  global: "One clock for everybody",
  count_up: "Count up",
});

/** The modes in which participants or teams own clocks, and a time control says how these are spent. */
export const OWNERS = new Set(["per_participant", "per_group"]);

/** What each mode is for. The form shows it below the mode's name. */
export const MODE_HINTS = {
  per_participant: "Everybody has a clock that runs in their own turns: chess, Go, Scrabble.",
  per_group: "Teams share a clock, and their members take turns.",
  per_cycle: "Every turn has the same time, and nothing is carried over: a quiz, a poker hand, a speech.",
  global: "One clock runs for everybody together: an exam, an auction, a meeting.",
  count_up: "A stopwatch with laps: a speedrun, or how long things take.",
};

/** The title of a session that was given none, unless it has two participants with names. */
export const TITLES = {
  per_participant: "Game",
  per_group: "Team game",
  per_cycle: "Turns",
  global: "Countdown",
  count_up: "Stopwatch",
};
