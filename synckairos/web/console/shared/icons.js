// The console's icons, drawn on a grid of 24 with strokes of 2 (see .icon in base.css). A path that begins
// with ! is filled.

const PATHS = {
  play: ["!M8 5.5v13l10.5-6.5z"],
  pause: ["M8.5 5.5v13", "M15.5 5.5v13"],
  stop: ["M6.5 6.5h11v11h-11z"],
  next: ["M5.5 6v12l8.5-6z", "M18 6v12"],
  plus: ["M12 5v14", "M5 12h14"],
  minus: ["M5 12h14"],
  check: ["M5 12.5l4.5 4.5L19 7.5"],
  cross: ["M6.5 6.5l11 11", "M17.5 6.5l-11 11"],
  back: ["M14.5 5.5L8 12l6.5 6.5"],
  forward: ["M9.5 5.5L16 12l-6.5 6.5"],
  down: ["M5.5 9.5L12 16l6.5-6.5"],
  up: ["M5.5 14.5L12 8l6.5 6.5"],
  more: ["M5.5 12h.01", "M12 12h.01", "M18.5 12h.01"],
  share: ["M12 14.5V4", "M8 7.5L12 3.5l4 4", "M7 11H5.5v9h13v-9H17"],
  copy: ["M9 9h10.5v10.5H9z", "M15 9V4.5H4.5V15H9"],
  print: ["M7 8.5V4h10v4.5", "M7 17H4.5V8.5h15V17H17", "M7.5 14h9v6.5h-9z"],
  link: [
    "M10 14a4 4 0 0 0 5.7.3l3-3a4 4 0 0 0-5.7-5.7L11.8 7",
    "M14 10a4 4 0 0 0-5.7-.3l-3 3A4 4 0 0 0 11 18.4l1.2-1.3",
  ],
  sun: [
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
    "M12 2.5v2",
    "M12 19.5v2",
    "M2.5 12h2",
    "M19.5 12h2",
    "M5.3 5.3l1.4 1.4",
    "M17.3 17.3l1.4 1.4",
    "M5.3 18.7l1.4-1.4",
    "M17.3 6.7l1.4-1.4",
  ],
  moon: ["M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z"],
  contrast: ["M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z", "!M12 3.5v17a8.5 8.5 0 0 0 0-17z"],
  clock: ["M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z", "M12 7.5V12l3 2"],
  hourglass: [
    "M7 3.5h10",
    "M7 20.5h10",
    "M8 3.5c0 4.5 8 4.5 8 8.5s-8 4-8 8.5",
    "M16 3.5c0 4.5-8 4.5-8 8.5s8 4 8 8.5",
  ],
  flag: ["M6 21V4", "M6 4.5c4-2 8 2 12 0v9c-4 2-8-2-12 0"],
  people: [
    "M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z",
    "M2.5 19.5c.5-3.5 3-5.5 6.5-5.5s6 2 6.5 5.5",
    "M16 4.8a3.5 3.5 0 0 1 0 6.4",
    "M18 14.5c2 .7 3.2 2.5 3.5 5",
  ],
  person: ["M12 11.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M5 20.5c.5-4 3.5-6 7-6s6.5 2 7 6"],
  history: ["M4 4.5V9h4.5", "M4.3 9A8.5 8.5 0 1 1 3.6 13", "M12 8v4.5l3 1.8"],
  sound: ["M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z", "M15.5 9a4.2 4.2 0 0 1 0 6", "M18 6.5a8 8 0 0 1 0 11"],
  mute: ["M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z", "M16 9.5l5 5", "M21 9.5l-5 5"],
  full: ["M4 9V4h5", "M20 9V4h-5", "M4 15v5h5", "M20 15v5h-5"],
  settings: ["M4 7h9", "M17 7h3", "M15 5v4", "M4 17h3", "M11 17h9", "M9 15v4", "M4 12h16"],
  upload: ["M12 16V4.5", "M7.5 9L12 4.5 16.5 9", "M4.5 16v3.5h15V16"],
  download: ["M12 4.5V16", "M7.5 11.5L12 16l4.5-4.5", "M4.5 16v3.5h15V16"],
  undo: ["M8.5 5L4 9.5 8.5 14", "M4 9.5h10a5.5 5.5 0 0 1 0 11h-4"],
  reset: ["M20 4.5V9h-4.5", "M19.7 9A8.5 8.5 0 1 0 20.4 13"],
  calendar: ["M4.5 6h15v14h-15z", "M4.5 10.5h15", "M8.5 3.5V7", "M15.5 3.5V7"],
  trash: ["M4.5 7h15", "M9 7V4.5h6V7", "M6.5 7l1 13h9l1-13", "M10.5 11v5", "M13.5 11v5"],
  warning: ["M12 4L2.5 20h19z", "M12 10v4.5", "M12 17.3v.01"],
  info: ["M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z", "M12 11v5.5", "M12 7.7v.01"],
  globe: [
    "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z",
    "M3.5 12h17",
    "M12 3.5c-5 5-5 12 0 17",
    "M12 3.5c5 5 5 12 0 17",
  ],
  key: ["M15.5 3.5a5 5 0 1 0 0 10 5 5 0 0 0 0-10z", "M12 12l-8 8", "M6.5 17.5L9 20"],
  swap: ["M4 8.5h14", "M14.5 5L18 8.5 14.5 12", "M20 15.5H6", "M9.5 12L6 15.5 9.5 19"],
};

/** Icons that point to where a text goes on or comes from. They are mirrored where it runs from right to left. */
const DIRECTED = new Set(["back", "forward", "undo"]);

/**
 * An icon as SVG. Screen readers skip it, so a text next to it or a label has to say the same.
 *
 * @param {string} name One of PATHS.
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  element.setAttribute("viewBox", "0 0 24 24");
  element.setAttribute("class", DIRECTED.has(name) ? "icon directed" : "icon");
  element.setAttribute("aria-hidden", "true");
  for (const data of PATHS[name]) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", data.replace("!", ""));
    if (data.startsWith("!")) path.setAttribute("fill", "currentColor");
    element.append(path);
  }
  return element;
}
