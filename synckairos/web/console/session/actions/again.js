// What the buttons are called that lead on from a session that is over.

import { t } from "../../shared/i18n.js";
import { ownClocks } from "../rules.js";

/** Whether a session is a game of two, which has sides. */
export const isGame = (state) => ownClocks(state) && (state.sync_mode === "per_group" ? state.groups : state.participants).length === 2;

/** What the button is called that opens the dialog. */
export const againLabel = (state) => t(isGame(state) ? "again.rematch" : "again.again");

/** What the button is called that goes to the session that follows. */
export const followLabel = (state) => t(isGame(state) ? "again.follow" : "again.followAgain");
