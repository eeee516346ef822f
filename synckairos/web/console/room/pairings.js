// Reads pairings as people paste them: a line for each board, or a table with a heading. All functions are pure.

/** A longer name is refused: the form for a single session takes no longer one either. */
const LONGEST_NAME = 60;
/** The most boards that are made at once. */
export const MOST_BOARDS = 300;
const MOST_BOARD = 9999;

/** What may stand between two names, in the order in which it is looked for. */
const BETWEEN = [/\t+/, /\s+vs\.?\s+/i, /\s+[-–—]\s+/, /\s*;\s*/, /\s*,\s*/];
/** A number before the names: `7. Anna - Ben`, `7) Anna - Ben`. */
const NUMBERED = /^(\d{1,4})\s*[.)]\s+(?=\S)/;

/** A word as it is compared: without case, accents, and what stands around it. */
const fold = (word) => word.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/^[\s"'([*–-]+|[\s"')\].:*–-]+$/g, "");

/**
 * What a column of a table may be called, in the languages of the console: pairings come from programs and
 * federations that have a language of their own, whatever that of the page is.
 */
const WORDS = {
  board: `board bd no # table room | brett nr tisch raum | tablero mesa sala | échiquier n° salle | tabuleiro |
    ボード 盤 台 卓 番号 | 台号 台次 桌号 桌 棋盘 序号 | الطاولة طاولة الرقعة رقعة رقم`,
  first: `white player_1 first name title | weiß weiss spieler_1 erster titel | blancas blanco jugador_1 primero nombre título |
    blancs blanc joueur_1 premier nom titre | brancas branco jogador_1 primeiro nome | 白 白番 1_人目 名前 タイトル |
    白方 白棋 第一位 名字 标题 | الأبيض أبيض الأول الاسم العنوان`,
  second: `black player_2 second | schwarz spieler_2 zweiter | negras negro jugador_2 segundo | noirs noir joueur_2 |
    pretas preto negras jogador_2 | 黒 黒番 2_人目 | 黑 黑方 黑棋 第二位 | الأسود أسود الثاني`,
  time: "time | zeit bedenkzeit | tiempo ritmo | temps cadence | tempo | 時間 持ち時間 | 时间 用时 | الوقت وقت",
};
const wordsOf = (text) => text.split(/[\s|]+/).map((word) => fold(word.replace("_", " ")));
const COLUMNS = new Map(Object.entries(WORDS).flatMap(([column, text]) => wordsOf(text).map((word) => [word, column])));
/** What stands in place of an opponent for somebody who does not play in a round. */
const BYE = new Set(wordsOf("bye | spielfrei freilos | descansa descanso exento | exempt exempte | folga isento | 不戦勝 | 轮空 輪空 | معفى استراحة"));
const isBye = (name) => BYE.has(fold(name));

/**
 * @typedef {object} Pairing
 * @property {number} line The line of the text, counted from 1.
 * @property {number} board
 * @property {string[]} names Two of them, or one where a session has no players of its own.
 * @property {string} time A time control as text; "" for that of all.
 *
 * @typedef {object} Problem
 * @property {number} line
 * @property {string} what The last part of a text's key: `pairing.<what>`.
 * @property {object} values
 *
 * @param {string} text
 * @param {{names?: 1 | 2, from?: number}} [options] names: how many names a line has; from: the number of the
 *   first board that has none of its own
 * @returns {{pairings: Pairing[], problems: Problem[], byes: string[]}} With problems nothing of it is to be used.
 *   byes: who has no opponent, and so no board
 */
export function readPairings(text, { names: count = 2, from = 1 } = {}) {
  const lines = text
    .replace(/^\ufeff/, "")
    .split(/\r\n|\r|\n/)
    .map((content, place) => ({ line: place + 1, content: content.trim() }))
    .filter(({ content }) => content !== "");
  const problems = [];
  const problem = (line, what, values = {}) => problems.push({ line, what, values });
  const table = lines.length > 0 ? headingOf(lines[0].content, count) : null;
  const rows = [];
  if (table) {
    for (const { line, content } of lines.slice(1)) {
      const cells = cellsOf(content, table.separator);
      if (cells === null) problem(line, "quote");
      else if (cells.length > table.columns.length) problem(line, "cells", { count: cells.length, most: table.columns.length });
      else {
        const cell = (name) => cells[table.columns.indexOf(name)]?.trim() ?? "";
        const names = [cell("first"), ...(count === 2 ? [cell("second")] : [])];
        rows.push({ line, board: cell("board"), names, time: cell("time") });
      }
    }
  } else {
    for (const { line, content } of lines) {
      const numbered = NUMBERED.exec(content);
      const rest = numbered ? content.slice(numbered[0].length) : content;
      const between = count === 2 ? BETWEEN.find((each) => each.test(rest)) : /\t+/;
      const parts = between ? rest.split(between).map((each) => each.trim()) : [rest];
      // A table that was copied from a spreadsheet has its number in a column of its own.
      const hasNumber = !numbered && parts.length === count + 1 && /^\d{1,4}[.)]?$/.test(parts[0]);
      const names = hasNumber ? parts.slice(1) : parts;
      const board = numbered?.[1] ?? (hasNumber ? parts[0].replace(/\D/g, "") : "");
      if (names.length !== count) problem(line, count === 2 ? "names" : "name", { count: names.length });
      else rows.push({ line, board, names, time: "" });
    }
  }
  const played = rows.filter(({ names }) => count === 1 || !names.some(isBye));
  const byes = rows.filter((row) => !played.includes(row)).flatMap(({ names }) => names.filter((name) => name !== "" && !isBye(name)));
  const pairings = numbered(played, from, problem);
  for (const { line, names } of pairings) checkNames(line, names, problem);
  if (lines.length > 0 && rows.length === 0 && problems.length === 0) problem(lines[0].line, "empty");
  if (pairings.length > MOST_BOARDS) problem(pairings[MOST_BOARDS].line, "most", { most: MOST_BOARDS });
  problems.sort((one, other) => one.line - other.line);
  return { pairings: problems.length > 0 ? [] : pairings, problems, byes };
}

/** The separator and the columns of a table, if this line is its heading; otherwise null. */
function headingOf(line, count) {
  for (const separator of ["\t", ";", ","]) {
    const columns = (cellsOf(line, separator) ?? []).map((cell) => COLUMNS.get(fold(cell)) ?? null);
    const needed = count === 2 ? ["first", "second"] : ["first"];
    const isHeading = columns.length > 1 || count === 1;
    if (isHeading && needed.every((name) => columns.includes(name))) return { separator, columns };
  }
  return null;
}

/** The cells of a line of CSV; null where a quote is not closed. */
function cellsOf(line, separator) {
  const cells = [""];
  let quoted = false;
  for (let at = 0; at < line.length; at += 1) {
    const each = line[at];
    if (quoted) {
      if (each !== '"') cells[cells.length - 1] += each;
      else if (line[at + 1] === '"') {
        cells[cells.length - 1] += each;
        at += 1;
      } else quoted = false;
    } else if (each === '"' && cells.at(-1).trim() === "") {
      cells[cells.length - 1] = "";
      quoted = true;
    } else if (each === separator) cells.push("");
    else cells[cells.length - 1] += each;
  }
  return quoted ? null : cells;
}

/** Gives each board its number. Those without one follow the one before. */
function numbered(rows, from, problem) {
  const seen = new Map();
  let next = from;
  return rows.map(({ line, board, names, time }) => {
    const isNumber = /^\d{1,4}$/.test(board) && Number(board) >= 1;
    if (board !== "" && !isNumber) problem(line, "board", { text: board, most: MOST_BOARD });
    const number = isNumber ? Number(board) : next;
    if (seen.has(number)) problem(line, "twice", { board: number, other: seen.get(number) });
    else seen.set(number, line);
    next = number + 1;
    return { line, board: number, names, time };
  });
}

function checkNames(line, names, problem) {
  names.forEach((name, place) => {
    if (name === "") problem(line, names.length === 1 ? "missing" : place === 0 ? "firstMissing" : "secondMissing");
    else if ([...name].length > LONGEST_NAME) problem(line, "long", { most: LONGEST_NAME });
  });
  if (names.length === 2 && names[0] !== "" && names[0] === names[1]) problem(line, "same", { name: names[0] });
}
