// A CommonJS module in TypeScript.
import synckairos = require("synckairos");

export const text: string = synckairos.clockText(1000);
