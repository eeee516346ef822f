// The sounds of the session page. They are made with WebAudio, so no file is loaded. No sound is played until
// the user turns sounds on. The device remembers that, but browsers require another tap after each load.

const STORAGE_KEY = "synckairos.sound";

/** A struck bell, whose higher tones fade first. */
const BELL = [
  [1046, 0, 1.4, 0.5, "sine"],
  [2093, 0, 0.7, 0.25, "sine"],
  [3140, 0, 0.35, 0.12, "sine"],
];
const later = (notes, by) => notes.map(([frequency, start, ...rest]) => [frequency, start + by, ...rest]);

/**
 * Each sound as a list of notes: [frequency in Hz, start in s, length in s, loudness 0..1, wave].
 * @type {Record<string, [number, number, number, number, OscillatorType][]>}
 */
const NOTES = {
  press: [
    [210, 0, 0.05, 0.5, "triangle"],
    [90, 0, 0.07, 0.5, "sine"],
  ],
  start: [
    [523, 0, 0.12, 0.4, "sine"],
    [784, 0.1, 0.2, 0.4, "sine"],
  ],
  pause: [
    [440, 0, 0.1, 0.3, "sine"],
    [330, 0.09, 0.16, 0.3, "sine"],
  ],
  tick: [[1250, 0, 0.03, 0.22, "square"]],
  warning: [
    [740, 0, 0.14, 0.5, "triangle"],
    [740, 0.22, 0.14, 0.5, "triangle"],
  ],
  bell: BELL,
  "two-bells": [...BELL, ...later(BELL, 0.5)],
  "three-bells": [...BELL, ...later(BELL, 0.5), ...later(BELL, 1)],
  chime: [
    [659, 0, 0.5, 0.4, "sine"],
    [880, 0.16, 0.5, 0.4, "sine"],
    [1047, 0.32, 0.9, 0.4, "sine"],
  ],
  gong: [
    [110, 0, 2.6, 0.7, "sine"],
    [165, 0, 2, 0.4, "sine"],
    [277, 0, 1.4, 0.3, "triangle"],
  ],
  horn: [
    [233, 0, 0.9, 0.5, "sawtooth"],
    [294, 0, 0.9, 0.4, "sawtooth"],
  ],
  none: [],
  expire: [
    [880, 0, 0.28, 0.6, "sawtooth"],
    [622, 0.3, 0.28, 0.6, "sawtooth"],
    [440, 0.6, 0.7, 0.6, "sawtooth"],
    [220, 0.6, 0.7, 0.5, "triangle"],
  ],
};

export class Sound {
  /** @param {() => void} changed called when `state` has changed */
  constructor(changed = () => {}) {
    this.changed = changed;
    /** @type {AudioContext | null} */
    this.context = null;
    this.wanted = remembered();
    if (this.wanted) {
      const unlock = (event) => {
        if (event.target.closest?.(".sound")) {
          return; // that button calls toggle()
        }
        removeEventListener("pointerdown", unlock, true);
        removeEventListener("keydown", unlock, true);
        if (this.wanted) {
          this.#open();
        }
      };
      addEventListener("pointerdown", unlock, true);
      addEventListener("keydown", unlock, true);
    }
  }

  /** Whether this browser can make sounds at all. */
  static get possible() {
    return typeof AudioContext === "function";
  }

  /** `on`, `off`, or `waiting`: turned on in an earlier visit, and the browser still requires a tap. */
  get state() {
    if (!this.wanted) {
      return "off";
    }
    return this.context?.state === "running" ? "on" : "waiting";
  }

  /** Turns sounds on or off. Browsers turn them on only during a tap or a key press. */
  toggle() {
    this.wanted = !this.wanted || this.state === "waiting";
    try {
      localStorage.setItem(STORAGE_KEY, this.wanted ? "on" : "off");
    } catch {
      // The browser may forbid storage. Then the choice is not remembered.
    }
    if (this.wanted) {
      this.#open();
    } else {
      this.context?.suspend();
    }
    this.changed();
  }

  /** @param {keyof typeof NOTES} name */
  play(name) {
    if (this.state !== "on" || !this.context) {
      return;
    }
    const context = this.context;
    const start = context.currentTime + 0.005;
    for (const [frequency, after, length, loudness, wave] of NOTES[name]) {
      const tone = context.createOscillator();
      const volume = context.createGain();
      const from = start + after;
      tone.type = wave;
      tone.frequency.value = frequency;
      volume.gain.setValueAtTime(0, from);
      volume.gain.linearRampToValueAtTime(loudness * 0.4, from + 0.006);
      volume.gain.exponentialRampToValueAtTime(0.0001, from + length);
      tone.connect(volume).connect(context.destination);
      tone.start(from);
      tone.stop(from + length + 0.02);
    }
  }

  #open() {
    if (!Sound.possible) {
      return;
    }
    if (!this.context) {
      this.context = new AudioContext({ latencyHint: "interactive" });
      this.context.addEventListener("statechange", () => this.changed());
    }
    this.context.resume().then(
      () => {
        this.changed();
        this.play("tick");
      },
      () => this.changed(),
    );
  }
}

function remembered() {
  try {
    return localStorage.getItem(STORAGE_KEY) === "on";
  } catch {
    return false;
  }
}
