// How the tiles of a board share its space. Pure arithmetic, in CSS pixels.

/** So many tiles stand on one page at most. With more of them the board has several pages. */
export const MOST_TILES = 40;
/** The room for the row of dots below the pages. */
export const DOTS_HEIGHT = 44;
/** Digits and names below these sizes cannot be read any more: then the board scrolls, or has more pages. */
const LEAST_DIGITS = 18;
const LEAST_NAME = 11;
/** A board that is narrower is on a phone held upright, where people scroll. */
const NARROW = 600;
/** The least height of a tile on a board that scrolls, and the least width. */
const SCROLLED_HEIGHT = 60;
const SCROLLED_WIDTH = 150;
/** On tiles that are higher the name stands above the digits, where it can be larger. */
const ROW_HEIGHT = 110;
/** How wide a digit is at most, and a letter of a name, as shares of their size. */
const DIGIT_WIDTH = 0.68;
const LETTER_WIDTH = 0.66;
/** The number before a name, in letters. */
const PLACE = 2;

const clamp = (least, value, most) => Math.min(most, Math.max(least, value));

/** The space between tiles. */
const gapOf = (width, height) => Math.round(clamp(4, Math.min(width, height) * 0.014, 16));

/**
 * The sizes of what is on a tile.
 *
 * @typedef {object} Fit
 * @property {"stack" | "row"} form Name above digits, or beside them.
 * @property {number} digits The size of the digits.
 * @property {number} name The size of the name.
 * @property {number} facts The size of the small lines; 0: there is no room for them.
 * @property {number} pad The space around all of it.
 */

/**
 * What fits onto a tile.
 *
 * @param {number} width
 * @param {number} height
 * @param {{digits?: number, letters?: number, lines?: number}} [what] As for `layout`.
 * @returns {Fit}
 */
export function tileFit(width, height, { digits = 4.5, letters = 12, lines = 1 } = {}) {
  const pad = Math.round(clamp(3, Math.min(width, height) * 0.07, 28));
  const [w, h] = [width - 2 * pad - 6, height - 2 * pad - 4];
  // Long names are smaller, down to a share of what there would be room for. What is left of one is cut.
  const nameFor = (room, most) => clamp(LEAST_NAME, clamp(most * 0.4, room / ((letters + PLACE) * LETTER_WIDTH), most), 80);
  const digitsFor = (room, rest) => Math.max(0, Math.min(room / (digits * DIGIT_WIDTH), rest / 1.1));

  const name = nameFor(w, h * 0.22);
  const small = clamp(0, Math.min(h * 0.14, w * 0.08), 34);
  const facts = small < 11 ? 0 : small;
  const stack = digitsFor(w, h - name * 1.25 - facts * 1.4 * lines);
  const beside = nameFor(w * 0.42, h * 0.5);
  const row = beside * 1.25 <= h && height <= ROW_HEIGHT ? digitsFor(w * 0.54, h) : 0;
  return row > stack
    ? { form: "row", digits: row, name: beside, facts: 0, pad }
    : { form: "stack", digits: stack, name, facts, pad };
}

/** The grid of one page in which the digits are largest, and few places stay empty. */
function bestGrid(count, width, height, what) {
  const gap = gapOf(width, height);
  let best = null;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const tile = {
      width: (width - gap * (columns - 1)) / columns,
      height: (height - gap * (rows - 1)) / rows,
    };
    if (tile.width <= 0 || tile.height <= 0) continue;
    const fit = tileFit(tile.width, tile.height, what);
    // Places that stay empty are space that the tiles do not have.
    const worth = fit.digits * Math.sqrt(count / (columns * rows));
    if (best === null || worth > best.worth) best = { columns, rows, tile, fit, gap, worth };
  }
  return best;
}

const isReadable = (grid) => grid !== null && grid.fit.digits >= LEAST_DIGITS && grid.tile.width >= 72;

/**
 * @typedef {object} Layout
 * @property {number} columns
 * @property {number} rows Of a page.
 * @property {number} perPage How many tiles stand on a page.
 * @property {number} pages
 * @property {boolean} scrolls Whether there is one page that is higher than the board.
 * @property {{width: number, height: number}} tile
 * @property {number} gap
 * @property {Fit} fit
 */

/**
 * Lays tiles out on a board: all on one page up to MOST_TILES, as large as they can be, and otherwise on pages of
 * the same size. Where the tiles of one page could not be read, a narrow board scrolls and another one has more
 * pages.
 *
 * @param {number} count How many tiles there are.
 * @param {number} width Of the board's space for them.
 * @param {number} height
 * @param {{digits?: number, letters?: number, lines?: number}} [what] digits: the widest number, counted in
 *   digits; letters: the longest name; lines: how many small lines a tile has.
 * @returns {Layout}
 */
export function layout(count, width, height, what = {}) {
  const one = Math.max(1, count);
  const whole = one <= MOST_TILES ? bestGrid(one, width, height, what) : null;
  if (isReadable(whole) || (whole !== null && one === 1)) {
    return { ...plain(whole), perPage: one, pages: 1, scrolls: false };
  }
  if (width < NARROW) return scrolled(one, width, what);
  for (let most = Math.min(one, MOST_TILES); most >= 1; most -= 1) {
    const pages = Math.ceil(one / most);
    const perPage = Math.ceil(one / pages);
    const grid = bestGrid(perPage, width, Math.max(1, height - (pages > 1 ? DOTS_HEIGHT : 0)), what);
    if (isReadable(grid) || (most === 1 && grid !== null)) return { ...plain(grid), perPage, pages, scrolls: false };
  }
  return scrolled(one, width, what);
}

const plain = ({ columns, rows, tile, fit, gap }) => ({ columns, rows, tile, fit, gap });

function scrolled(count, width, what) {
  const gap = 6;
  const columns = Math.max(1, Math.min(count, Math.floor((width + gap) / (SCROLLED_WIDTH + gap))));
  const tile = { width: (width - gap * (columns - 1)) / columns, height: SCROLLED_HEIGHT };
  return {
    columns,
    rows: Math.ceil(count / columns),
    perPage: count,
    pages: 1,
    scrolls: true,
    tile,
    gap,
    fit: tileFit(tile.width, tile.height, what),
  };
}
