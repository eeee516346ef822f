// QR codes (ISO/IEC 18004), made in the page. A link may hold a token, so it must not go to a server for this.
// Codes are in byte mode, with the error correction of level M: 15 % of a code may be dirty.

/** Of each version from 1 on: the number of blocks, and how many code words of each correct errors. */
const BLOCKS = [
  1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25, 26, 28, 29, 31,
  33, 35, 37, 38, 40, 43, 45, 47, 49,
];
const CORRECTING = [
  10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28,
];
const NEWEST_VERSION = 40;
/** The bits of level M in the format. */
const LEVEL_M = 0b00;
/** Whether a mask turns the module at row y and column x. */
const MASKS = [
  (x, y) => (x + y) % 2 === 0,
  (x, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

// Code words

/** How many code words a version holds, with those that correct errors. */
function capacity(version) {
  const size = 17 + 4 * version;
  const perSide = version === 1 ? 0 : Math.floor(version / 7) + 2;
  // Three finders with their margins and formats, the timing lines, and the alignment patterns, of which those
  // at the edges lie on the timing lines.
  let modules = size * size - 3 * 64 - 31 - 2 * (size - 16);
  if (perSide > 0) modules -= 25 * (perSide * perSide - 3) - 2 * 5 * (perSide - 2);
  if (version >= 7) modules -= 36;
  return Math.floor(modules / 8);
}

/** How many code words of a version are data. */
const dataWords = (version) => capacity(version) - BLOCKS[version - 1] * CORRECTING[version - 1];

/** The text as the data words of the smallest version that holds it: {version, data}; null for none. */
function encode(text) {
  const bytes = new TextEncoder().encode(text);
  for (let version = 1; version <= NEWEST_VERSION; version += 1) {
    const lengthBits = version < 10 ? 8 : 16;
    const room = dataWords(version);
    if (4 + lengthBits + 8 * bytes.length > 8 * room) continue;
    const bits = [];
    const put = (value, count) => {
      for (let at = count - 1; at >= 0; at -= 1) bits.push((value >> at) & 1);
    };
    put(0b0100, 4); // byte mode
    put(bytes.length, lengthBits);
    for (const byte of bytes) put(byte, 8);
    put(0, Math.min(4, 8 * room - bits.length));
    put(0, (8 - (bits.length % 8)) % 8);
    const data = [];
    for (let at = 0; at < bits.length; at += 8) {
      data.push(bits.slice(at, at + 8).reduce((word, bit) => (word << 1) | bit, 0));
    }
    for (let filler = 0xec; data.length < room; filler ^= 0xec ^ 0x11) data.push(filler);
    return { version, data };
  }
  return null;
}

/** Powers of 2 in the field of 256 elements with the polynomial x⁸+x⁴+x³+x²+1, and their logarithms. */
const POWERS = new Uint8Array(255);
const LOGARITHMS = new Uint8Array(256);
for (let exponent = 0, power = 1; exponent < 255; exponent += 1) {
  POWERS[exponent] = power;
  LOGARITHMS[power] = exponent;
  power = (power << 1) ^ (power & 0x80 ? 0x11d : 0);
}
const times = (one, other) =>
  one === 0 || other === 0 ? 0 : POWERS[(LOGARITHMS[one] + LOGARITHMS[other]) % 255];

/** The code words that correct errors in a block: the remainder of a division by the generator polynomial. */
function correcting(block, count) {
  let generator = [1];
  for (let root = 0; root < count; root += 1) {
    const next = [...generator, 0];
    generator.forEach((factor, at) => { next[at + 1] ^= times(factor, POWERS[root]); });
    generator = next;
  }
  const rest = [...block, ...new Array(count).fill(0)];
  for (let at = 0; at < block.length; at += 1) {
    const factor = rest[at];
    generator.forEach((each, place) => { rest[at + place] ^= times(each, factor); });
  }
  return rest.slice(block.length);
}

/** All code words in the order in which they are drawn: those of all blocks by turns. */
function interleave(version, data) {
  const count = BLOCKS[version - 1];
  const short = Math.floor(data.length / count);
  const longFrom = count - (data.length % count); // the last blocks may have a word more
  const blocks = [];
  for (let number = 0, at = 0; number < count; number += 1) {
    const length = short + (number >= longFrom ? 1 : 0);
    blocks.push(data.slice(at, at + length));
    at += length;
  }
  const corrections = blocks.map((each) => correcting(each, CORRECTING[version - 1]));
  const words = [];
  for (const list of [blocks, corrections]) {
    const longest = Math.max(...list.map((each) => each.length));
    for (let at = 0; at < longest; at += 1) {
      for (const each of list) if (at < each.length) words.push(each[at]);
    }
  }
  return words;
}

// Modules

/** Where the centres of the alignment patterns are, in both directions. */
function alignments(version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const last = 10 + 4 * version;
  // The distances are equal and even but for the first one, which is shorter. Version 32 is an exception.
  const step = version === 32 ? 26 : 2 * Math.ceil((last - 6) / (count - 1) / 2);
  const places = [];
  for (let place = last; places.length < count - 1; place -= step) places.unshift(place);
  return [6, ...places];
}

/** A number with the bits behind it by which a reader corrects errors in it. */
function protect(value, count, generator) {
  let rest = value << count;
  const degree = 31 - Math.clz32(generator);
  for (let at = 31 - Math.clz32(rest || 1); at >= degree; at -= 1) {
    if ((rest >> at) & 1) rest ^= generator << (at - degree);
  }
  return (value << count) | rest;
}

class Modules {
  constructor(version) {
    this.version = version;
    this.size = 17 + 4 * version;
    this.rows = Array.from({ length: this.size }, () => new Array(this.size).fill(false));
    /** Which modules are patterns, and not data. */
    this.taken = this.rows.map((row) => [...row]);
    this.#drawPatterns();
  }

  #set(x, y, dark) {
    if (x < 0 || y < 0 || x >= this.size || y >= this.size) return;
    this.rows[y][x] = dark;
    this.taken[y][x] = true;
  }

  /** Squares around a centre, one in the other. */
  #drawSquares(centreX, centreY, radius, isDark) {
    for (let y = -radius; y <= radius; y += 1) {
      for (let x = -radius; x <= radius; x += 1) {
        this.#set(centreX + x, centreY + y, isDark(Math.max(Math.abs(x), Math.abs(y))));
      }
    }
  }

  #drawPatterns() {
    const { size, version } = this;
    for (let at = 0; at < size; at += 1) {
      this.#set(at, 6, at % 2 === 0);
      this.#set(6, at, at % 2 === 0);
    }
    for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) {
      this.#drawSquares(x, y, 4, (distance) => distance !== 2 && distance !== 4);
    }
    const places = alignments(version);
    const last = size - 7;
    for (const x of places) {
      for (const y of places) {
        const isFinder = (x === 6 && (y === 6 || y === last)) || (x === last && y === 6);
        if (!isFinder) this.#drawSquares(x, y, 2, (distance) => distance !== 1);
      }
    }
    this.drawFormat(0);
    if (version >= 7) {
      const bits = protect(version, 12, 0x1f25);
      for (let at = 0; at < 18; at += 1) {
        const [near, far] = [Math.floor(at / 3), size - 11 + (at % 3)];
        this.#set(near, far, ((bits >> at) & 1) === 1);
        this.#set(far, near, ((bits >> at) & 1) === 1);
      }
    }
  }

  /** The level and the mask, twice. */
  drawFormat(mask) {
    const { size } = this;
    const bits = protect((LEVEL_M << 3) | mask, 10, 0x537) ^ 0x5412;
    for (let at = 0; at < 15; at += 1) {
      const dark = ((bits >> at) & 1) === 1;
      const along = at < 6 ? at : at < 8 ? at + 1 : size - 15 + at; // down column 8
      this.#set(8, along, dark);
      const across = at < 8 ? size - 1 - at : at === 8 ? 7 : 14 - at; // along row 8
      this.#set(across, 8, dark);
    }
    this.#set(8, size - 8, true);
  }

  /** Draws the code words in columns of two, up and down, from the right. */
  drawWords(words) {
    const { rows, size, taken } = this;
    let bit = 0;
    let up = true;
    for (let right = size - 1; right > 0; right -= 2) {
      if (right === 6) right = 5; // the timing line
      for (let step = 0; step < size; step += 1) {
        const y = up ? size - 1 - step : step;
        for (const x of [right, right - 1]) {
          if (taken[y][x]) continue;
          rows[y][x] = (((words[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) === 1;
          bit += 1;
        }
      }
      up = !up;
    }
  }

  /** Turns the modules of a mask. Doing it twice changes nothing. */
  apply(mask) {
    const turns = MASKS[mask];
    this.rows.forEach((row, y) => {
      for (let x = 0; x < this.size; x += 1) if (!this.taken[y][x] && turns(x, y)) row[x] = !row[x];
    });
  }

  /** How hard the code is to read: the mask with the lowest number is used. */
  get penalty() {
    const { rows, size } = this;
    const lines = [...rows, ...rows.map((_, x) => rows.map((row) => row[x]))].map((line) =>
      line.map((dark) => (dark ? "1" : "0")).join(""),
    );
    let sum = 0;
    for (const line of lines) {
      for (const [run] of line.matchAll(/0{5,}|1{5,}/g)) sum += run.length - 2;
      // What looks like a finder, with its margin on one side.
      sum += 40 * [...line.matchAll(/(?=10111010000|00001011101)/g)].length;
    }
    let dark = 0;
    for (let y = 0; y < size; y += 1) {
      for (let x = 0; x < size; x += 1) {
        const here = rows[y][x];
        dark += here ? 1 : 0;
        const isBlock = x > 0 && y > 0 && rows[y][x - 1] === here && rows[y - 1][x] === here
          && rows[y - 1][x - 1] === here;
        if (isBlock) sum += 3;
      }
    }
    return sum + 10 * Math.floor(Math.abs((20 * dark) / (size * size) - 10));
  }
}

/**
 * The QR code of a text.
 *
 * @param {string} text
 * @returns {boolean[][] | null} The rows of modules, true for dark ones, without the margin; null when the text
 *   is longer than a code can be (2,331 bytes).
 */
export function qrCode(text) {
  const encoded = encode(text);
  if (!encoded) return null;
  const { version, data } = encoded;
  const modules = new Modules(version);
  modules.drawWords(interleave(version, data));
  let best = { mask: 0, penalty: Infinity };
  const use = (mask) => {
    modules.apply(mask);
    modules.drawFormat(mask);
  };
  for (let mask = 0; mask < MASKS.length; mask += 1) {
    use(mask);
    const { penalty } = modules;
    if (penalty < best.penalty) best = { mask, penalty };
    modules.apply(mask);
  }
  use(best.mask);
  return modules.rows;
}

/** The light margin that readers need, in modules. */
const MARGIN = 4;

/**
 * The QR code of a text as a picture, or null when the text is too long.
 *
 * @param {string} text
 * @param {string} label What screen readers say.
 * @returns {SVGSVGElement | null}
 */
export function qrPicture(text, label) {
  const rows = qrCode(text);
  if (!rows) return null;
  const make = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const whole = rows.length + 2 * MARGIN;
  let path = "";
  rows.forEach((row, y) => {
    for (let x = 0; x < row.length; x += 1) {
      const from = x;
      while (row[x]) x += 1;
      if (x > from) path += `M${from + MARGIN} ${y + MARGIN}h${x - from}v1h${from - x}z`;
    }
  });
  const picture = make("svg", {
    viewBox: `0 0 ${whole} ${whole}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges",
  });
  // It is dark on light in the dark scheme, too: cameras cannot read it otherwise.
  picture.append(
    make("rect", { width: whole, height: whole, fill: "#fff" }),
    make("path", { d: path, fill: "#000" }),
  );
  return picture;
}
