// How the tiles of a board share its space.

import assert from "node:assert/strict";
import { test } from "node:test";

const { DOTS_HEIGHT, MOST_TILES, layout } = await import("../../synckairos/web/console/session/views/grid.js");

/** What is left for the tiles of a board on a desk, a wall, and a phone both ways. */
const SCREENS = { desk: [1248, 520], wall: [1888, 800], lying: [812, 284], upright: [360, 600] };

test("from 2 to 40 tiles fill every screen, and are cut nowhere", () => {
  for (const [screen, [width, height]] of Object.entries(SCREENS)) {
    for (let count = 2; count <= MOST_TILES; count += 1) {
      const { columns, rows, perPage, pages, scrolls, tile, gap, fit } = layout(count, width, height);
      const place = `${count} on the ${screen}`;
      assert.ok(columns * rows >= perPage && columns * (rows - 1) < perPage, place);
      assert.ok(columns * tile.width + (columns - 1) * gap <= width + 0.01, place);
      if (scrolls) {
        assert.ok(screen === "upright" && count > 20, place);
      } else {
        assert.equal(pages, 1, place);
        assert.ok(Math.abs(rows * tile.height + (rows - 1) * gap - height) < 0.01, `${place}: the whole height`);
        assert.ok(Math.abs(columns * tile.width + (columns - 1) * gap - width) < 0.01, `${place}: the whole width`);
      }
      // What is on a tile has room on it.
      assert.ok(fit.digits >= 18 && fit.name >= 11, place);
      const across = fit.form === "row" ? 0.58 : 1;
      assert.ok(4.5 * 0.68 * fit.digits <= across * tile.width, `${place}: digits are not too wide`);
      const down = 1.1 * fit.digits + (fit.form === "row" ? 0 : 1.25 * fit.name + 1.4 * fit.facts);
      assert.ok(down + 2 * fit.pad <= tile.height, `${place}: nor too high`);
    }
  }
});

test("no other number of columns would be better: larger digits, where few places stay empty", () => {
  for (const [width, height] of Object.values(SCREENS)) {
    for (const count of [2, 3, 4, 7, 12, 20, 33]) {
      const made = layout(count, width, height);
      if (made.scrolls) continue;
      // A board that is one tile of another shape holds digits at most as large.
      for (let columns = 1; columns <= count; columns += 1) {
        const rows = Math.ceil(count / columns);
        const tile = layout(1, (width - made.gap * (columns - 1)) / columns, (height - made.gap * (rows - 1)) / rows);
        const worth = (digits, places) => digits * Math.sqrt(count / places);
        const [other, own] = [worth(tile.fit.digits, columns * rows), worth(made.fit.digits, made.columns * made.rows)];
        assert.ok(other <= own + 0.01, `${count}: ${columns} columns`);
      }
    }
  }
});

test("two to four tiles are as large as the screen lets them be", () => {
  assert.deepEqual([layout(2, ...SCREENS.desk).columns, layout(2, ...SCREENS.upright).columns], [2, 1]);
  assert.deepEqual([layout(4, ...SCREENS.wall).columns, layout(4, ...SCREENS.wall).rows], [2, 2]);
  assert.ok(layout(2, ...SCREENS.wall).fit.digits > 200);
  assert.ok(layout(4, ...SCREENS.desk).fit.digits > 100);
});

test("more than forty stand on pages of one size, and on a narrow screen one below the other", () => {
  const wall = layout(60, ...SCREENS.wall);
  assert.deepEqual([wall.pages, wall.perPage, wall.scrolls], [2, 30, false]);
  const { rows, tile, gap } = wall;
  assert.ok(rows * tile.height + (rows - 1) * gap + DOTS_HEIGHT <= SCREENS.wall[1] + 0.01);
  const many = layout(1000, ...SCREENS.desk);
  assert.deepEqual([many.pages, many.perPage], [25, 40]);
  const phone = layout(300, ...SCREENS.upright);
  assert.deepEqual([phone.scrolls, phone.pages, phone.columns], [true, 1, 2]);
});

test("days and long names make what is on a tile smaller, and the smallest board has still a layout", () => {
  const plain = layout(8, ...SCREENS.desk);
  assert.ok(layout(8, ...SCREENS.desk, { digits: 9 }).fit.digits < plain.fit.digits);
  assert.ok(layout(8, ...SCREENS.desk, { letters: 24 }).fit.name < plain.fit.name);
  for (const size of [[1, 1], [320, 40], [700, 30], [20, 900]]) {
    for (const count of [0, 1, 2, 50]) {
      const { columns, pages, tile } = layout(count, ...size);
      assert.ok(columns >= 1 && pages >= 1 && tile.height > 0, `${count} on ${size}`);
    }
  }
});
