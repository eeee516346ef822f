// The room's page without a browser: pairings as people paste them, tags, and what a card shows.

import assert from "node:assert/strict";
import { register } from "node:module";
import { test } from "node:test";

// The console's modules name the client as browsers do.
const client = new URL("../../synckairos/web/synckairos.js", import.meta.url).href;
register(`data:text/javascript,${encodeURIComponent(`export const resolve = (name, context, next) =>
  name === "/synckairos.js" ? { url: ${JSON.stringify(client)}, shortCircuit: true } : next(name, context);`)}`);

const web = "../../synckairos/web/console";
const { LANGUAGES } = await import(`${web}/shared/i18n.js`);
const { readPairings, MOST_BOARDS } = await import(`${web}/room/pairings.js`);
const { foldTag, tagFrom, tagsOf, roomPath } = await import(`${web}/shared/tags.js`);
const { boardOf, cardGlance, countsOf, kindsOf, matches, sorted, withoutFollowed } = await import(`${web}/room/boards.js`);

const read = (text, options) => readPairings(text, options);
const boards = (text, options) => {
  const { pairings, problems } = read(text, options);
  assert.deepEqual(problems, []);
  return pairings.map(({ board, names, time }) => [board, ...names, ...(time ? [time] : [])]);
};
const problems = (text, options) => {
  const found = read(text, options);
  assert.deepEqual(found.pairings, [], "nothing is to be made of a text with a problem");
  return found.problems.map(({ line, what }) => `${line} ${what}`);
};

test("two names of a line are separated in every way in which people write them", () => {
  for (const between of ["\t", " - ", " – ", ",", ", ", ";", " ; ", " vs ", " vs. ", " VS "]) {
    assert.deepEqual(boards(`Anna${between}Ben`), [[1, "Anna", "Ben"]], between);
  }
  // What is looked for first separates; hyphens and commas in names stay.
  assert.deepEqual(boards("Doe, John - Roe, Jane"), [[1, "Doe, John", "Roe, Jane"]]);
  assert.deepEqual(boards("Anna-Lena Vs-Meyer, Ben"), [[1, "Anna-Lena Vs-Meyer", "Ben"]]);
  assert.deepEqual(boards("\ufeffAnna\tBen\r\n\r\n  Cleo\tDan  \n"), [[1, "Anna", "Ben"], [2, "Cleo", "Dan"]]);
});

test("a line may begin with the number of its board, and the others go on from there", () => {
  assert.deepEqual(boards("7. Anna - Ben\nCleo - Dan\n12) Eva - Finn", { from: 3 }),
    [[7, "Anna", "Ben"], [8, "Cleo", "Dan"], [12, "Eva", "Finn"]]);
  assert.deepEqual(boards("4\tAnna\tBen\n5\tCleo\tDan"), [[4, "Anna", "Ben"], [5, "Cleo", "Dan"]]);
  assert.deepEqual(boards("Anna - Ben", { from: 31 }), [[31, "Anna", "Ben"]]);
});

test("a table has a heading, quotes, and a time where it says so", () => {
  const table = 'Board,White,Black,Time\n3,"Doe, John","Roe ""R"" Jane",5+3\n,Cleo,Dan,\n';
  assert.deepEqual(boards(table), [[3, "Doe, John", 'Roe "R" Jane', "5+3"], [4, "Cleo", "Dan"]]);
  assert.deepEqual(boards("white;black\nAnna;Ben"), [[1, "Anna", "Ben"]]);
  assert.deepEqual(boards("White\tBlack\tRating\nAnna\tBen\t1800"), [[1, "Anna", "Ben"]]);
});

test("a heading is one in each language of the console", async () => {
  for (const code of Object.keys(LANGUAGES)) {
    const { default: texts } = await import(`${web}/texts/${code}.js`);
    const heading = (...keys) => keys.map((key) => texts[key]).join(";");
    const players = `${heading("make.time", "name.black", "name.white", "make.board")}\n;Ben;Anna;7`;
    assert.deepEqual(boards(players), [[7, "Anna", "Ben"]], code);
    assert.deepEqual(boards(`${heading("make.first", "make.second")}\nAnna;Ben`), [[1, "Anna", "Ben"]], code);
    assert.deepEqual(boards(`${heading("make.name", "make.board")}\nHall A;3`, { names: 1 }), [[3, "Hall A"]], code);
  }
  assert.deepEqual(boards("Weiß,Schwarz\nAnna,Ben"), [[1, "Anna", "Ben"]]);
  assert.deepEqual(boards("NR.\tWEISS\tSCHWARZ\n4\tAnna\tBen"), [[4, "Anna", "Ben"]]);
  assert.deepEqual(boards("Echiquier;Blancs;Noirs\n2;Anna;Ben"), [[2, "Anna", "Ben"]]);
});

test("who has a bye gets no board, and is named", () => {
  for (const bye of ["bye", "BYE", "(bye)", "spielfrei", "Exempt", "descansa", "轮空"]) {
    const { pairings, problems: wrong, byes } = read(`Cleo - ${bye}\nAnna - Ben\n${bye}, Dan`);
    assert.deepEqual([pairings.map(({ board, names }) => [board, ...names]), wrong, byes], [[[1, "Anna", "Ben"]], [], ["Cleo", "Dan"]], bye);
  }
  assert.deepEqual(read("Board;White;Black\n1;Cleo;bye\n1;Anna;Ben").byes, ["Cleo"]);
  assert.deepEqual(read("Cleo - bye"), { pairings: [], problems: [], byes: ["Cleo"] });
  assert.deepEqual(boards("Byers - Exemptov\nbye-bye - Ben"), [[1, "Byers", "Exemptov"], [2, "bye-bye", "Ben"]]);
  assert.deepEqual(boards("bye", { names: 1 }), [[1, "bye"]]);
});

test("where a session has no players of its own, a line is its name", () => {
  assert.deepEqual(boards("Hall A, left\nRoom 101 - upstairs", { names: 1 }), [[1, "Hall A, left"], [2, "Room 101 - upstairs"]]);
  assert.deepEqual(boards("Board,Name,Time\n2,Hall A,90\n", { names: 1 }), [[2, "Hall A", "90"]]);
});

test("each problem names its line, and nothing is read of such a text", () => {
  assert.deepEqual(problems("Anna - Ben\nCleo\nDan - Eva - Finn\n - Gus"), ["2 names", "3 names", "4 names"]);
  assert.deepEqual(problems("Anna,\n;Ben"), ["1 secondMissing", "2 firstMissing"]);
  assert.deepEqual(problems("1. Anna - Ben\n1. Cleo - Dan"), ["2 twice"]);
  assert.deepEqual(problems("Anna - Anna"), ["1 same"]);
  assert.deepEqual(problems(`${"x".repeat(61)} - Ben`), ["1 long"]);
  assert.deepEqual(problems("board,white,black\nseven,Anna,Ben\n0,Cleo,Dan"), ["2 board", "3 board"]);
  assert.deepEqual(problems('white,black\n"Anna,Ben\nCleo,Dan,Eva'), ["2 quote", "3 cells"]);
  assert.deepEqual(problems("white,black"), ["1 empty"]);
  const many = Array.from({ length: MOST_BOARDS + 1 }, (_, place) => `A${place} - B${place}`).join("\n");
  assert.deepEqual(problems(many), [`${MOST_BOARDS + 1} most`]);
  assert.deepEqual(read(" \n\n"), { pairings: [], problems: [], byes: [] });
});

test("tags are what the service takes for tags", () => {
  assert.equal(foldTag("Club-Night_1.a"), "club-night_1.a");
  assert.equal(foldTag("\u212b"), "\u00e5");
  for (const odd of ["", " ", "club night", "a/b", "..", "-", "x".repeat(65), 7, null, "<b>"]) assert.equal(foldTag(odd), null);
  assert.equal(tagFrom("  Club   Night "), "club-night");
  assert.deepEqual(tagsOf({ metadata: { tags: ["A", "a", 7, "b c"] } }), ["a"]);
  for (const tags of [undefined, "a", { a: 1 }, Array(17).fill("a")]) assert.deepEqual(tagsOf({ metadata: { tags } }), []);
  assert.deepEqual(tagsOf({}), []);
  assert.equal(roomPath("ñ.1"), "/room/%C3%B1.1");
});

const T = 1_800_000_000_000;
const ids = ["a0000000-0000-4000-8000-000000000001", "a0000000-0000-4000-8000-000000000002"];
const clock = { kind: "fischer", budget_ms: 60_000 };
function state(number, status, left, { names = ["Zoë", "Ben"], out = false } = {}) {
  const started = status !== "pending";
  return {
    session_id: `5e551000-0000-4000-8000-${String(number).padStart(12, "0")}`,
    status, version: 1, epoch: "1", sync_mode: "per_participant", cycle_count: 0, server_time_ms: T,
    active_participant_id: started ? ids[0] : null, active_group_id: null, groups: [],
    cycle_started_at: status === "running" ? new Date(T).toISOString() : null, cycle_elapsed_ms: 0,
    time_remaining_ms: status === "running" || status === "paused" ? left : null,
    deadline_ms: status === "running" ? T + left : null, time_per_cycle_ms: null, total_time_ms: null,
    total_remaining_ms: null, max_time_ms: null, warnings_ms: [], auto_advance: false, lag_compensation: false,
    action_on_timeout: { type: "end_session" }, time_used_ms: 0, increment_ms: 0, time_control: { kind: "fischer", increment_ms: 0 },
    starts_at_ms: null, ends_at_ms: null, resumes_at_ms: null, pause_remaining_ms: null,
    metadata: { names: { [ids[0]]: names[0], [ids[1]]: names[1] }, board: number },
    participants: ids.map((id, place) => ({
      participant_id: id, participant_index: place, group_id: null, total_time_ms: left, time_used_ms: 0, cycle_count: 0,
      time_remaining_ms: left, is_active: place === 0, has_expired: out && place === 0, clock: { ...clock },
    })),
  };
}

test("boards are found by number or name, filtered and sorted", () => {
  const made = [
    boardOf(state(3, "running", 50_000)), boardOf(state(1, "pending", 60_000, { names: ["Anna", "Cleo 12"] })),
    boardOf(state(2, "running", 9_000)), boardOf(state(12, "paused", 1_000)), boardOf(state(5, "completed", 1_000)),
    boardOf(state(4, "expired", 0, { out: true })),
  ];
  const numbers = (found) => found.map((each) => each.number);
  assert.deepEqual(numbers(sorted(made, "board", T)), [1, 2, 3, 4, 5, 12]);
  assert.deepEqual(numbers(sorted(made, "time", T)), [2, 3, 12, 1, 4, 5]);
  assert.deepEqual(numbers(sorted(made, "state", T)), [4, 2, 3, 12, 1, 5]);
  assert.deepEqual(countsOf(made, T), { running: 2, pending: 1, paused: 1, out: 1, over: 2 });
  assert.deepEqual(kindsOf(made[5], T), ["over", "out"]);
  assert.deepEqual(numbers(made.filter((each) => matches(each, "12"))), [1, 12]);
  assert.deepEqual(numbers(made.filter((each) => matches(each, "zoe ben"))), [3, 2, 12, 5, 4]);
  assert.deepEqual(numbers(made.filter((each) => matches(each, "#2"))), [2]);
  assert.equal(made.filter((each) => matches(each, "  ")).length, 6);
});

test("a game that is over and has its rematch in the room has no card of its own", () => {
  const one = (number, status, next) => {
    const made = state(number, status, 60_000);
    return { ...made, metadata: { ...made.metadata, ...(next ? { next_session: state(next, "pending", 0).session_id } : {}) } };
  };
  const left = (...states) => withoutFollowed(states).map((each) => each.metadata.board);
  assert.deepEqual(left(one(2, "running"), one(1, "completed", 2), one(3, "expired")), [2, 3]);
  assert.deepEqual(left(one(3, "pending"), one(2, "expired", 3), one(1, "completed", 2)), [3]);
  // One that goes on all the same stays, and so does one whose rematch is not here.
  assert.deepEqual(left(one(2, "running"), one(1, "paused", 2), one(3, "completed", 9)), [2, 1, 3]);
  // A circle of sessions hides none of them.
  assert.deepEqual(left(one(1, "completed", 2), one(2, "completed", 1)), [1, 2]);
});

test("an exam's card shows the row that finishes next, and its boards are sorted by that", () => {
  const MIN = 60_000;
  const exam = (number, status, left, metadata = { exam: { base_ms: 60 * MIN, extra: [25] } }) => boardOf({
    ...state(number, status, left), sync_mode: "global", participants: [], active_participant_id: null, time_control: null,
    total_time_ms: left, total_remaining_ms: left, time_used_ms: status === "pending" ? 0 : 75 * MIN - left, warnings_ms: [15 * MIN],
    metadata: { ...metadata, board: number },
  });
  const shown = (board, now = T) => {
    const { ms, level, row } = cardGlance(board.state, now, null);
    return [ms / MIN, level, row?.percent];
  };
  assert.deepEqual(shown(exam(1, "pending", 75 * MIN)), [60, "calm", 0]);
  const running = exam(1, "running", 75 * MIN);
  assert.deepEqual(shown(running, T + MIN), [59, "calm", 0]);
  assert.deepEqual(shown(running, T + 58 * MIN), [2, "urgent", 0]);
  assert.deepEqual(shown(running, T + 60 * MIN), [15, "calm", 25]);
  assert.deepEqual(shown(exam(1, "paused", 20 * MIN)), [5, "urgent", 0]);
  // Without the normal time it follows from the session's; and a clock that is no exam's has no row.
  assert.deepEqual(shown(exam(1, "paused", 20 * MIN, { exam: { extra: [25] } })), [5, "urgent", 0]);
  assert.deepEqual(shown(exam(1, "paused", 20 * MIN, {})), [20, "calm", undefined]);
  const other = exam(2, "running", 70 * MIN, {});
  assert.deepEqual(sorted([other, running], "time", T).map((each) => each.number), [1, 2]);
});

test("a state without participants or with odd metadata has a card all the same", () => {
  const { participants, ...listed } = state(1, "running", 5000);
  const board = boardOf({ ...listed, metadata: { board: "<b>", names: 7, title: ["x"] } });
  assert.equal(board.number, null);
  assert.match(board.title, /5e551000/);
  assert.deepEqual(kindsOf(board, T), ["running"]);
});
