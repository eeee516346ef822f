// What fingers do and feel: presses that bounce, and short vibrations of a phone, as an answer to a tap and with
// warnings. Browsers vibrate only after the user has touched the page, and complain before.

/** Two presses of a key within this time count as one. */
export const BOUNCE_MS = 250;

const PATTERNS = { press: [18], warning: [70, 60, 70], expire: [200, 100, 200] };

/** @param {keyof typeof PATTERNS} name */
export function vibrate(name) {
  if (navigator.userActivation?.hasBeenActive) navigator.vibrate?.(PATTERNS[name]);
}
