// The console's texts in English, which the other languages follow. Keys: "<where>.<what>", in the sections
// below. `{name}` stands for a value; an entry with `one` and `other` is chosen by the value `count`.
export default {
  // Words of every page: buttons, statuses, views, times, errors

  // The list, and the form for a new session

  // A session: its bar, menu, dialogs, results, history

  // Faces: lights, overtime, the clocks of each view

  // What each use adds to a session: same again, its buttons
  "again.rematch": "Rematch",
  "again.again": "Same again",
  "again.same": "Rematch, same sides",
  "again.once": "Same again",
  "again.sameHint": "A new session with the same people, times and rules. All open pages go there.",
  "again.swapped": "Rematch, sides swapped",
  "again.swappedHint": "{name} begins. Everybody keeps their own time.",
  "again.reversed": "Same again, order reversed",
  "again.reversedHint": "{name} is first. Everybody keeps their own time.",
  "again.reset": "Reset this session",
  "again.resetHint": "It begins again under the same address. What was played stays in the history only.",
  "again.delete": "Delete the session …",
  "again.deleteHint": "It is gone for everybody, with its history.",
  "again.deleteTitle": "Delete the session?",
  "again.deleteText": "It is gone at once, for everybody, with its clocks and its history. Open pages say that it was deleted.",
  "again.deleteYes": "Delete",
  "again.keepSession": "Keep the session",
  "again.follow": "To the rematch",
  "again.followAgain": "To the new session",
  "again.leading": "It goes on in a new session. This page goes there in a moment.",
  "again.stay": "Stay here",
  "again.linkEnds": "It goes on in a new session. Your link is for this one only: ask the person who sent it to you for a new one.",
  "again.newLinks": "Links to the session before do not open this one.",
  "again.share": "Share",
  "again.key": "Rematch, or the same again",
  "roles.notIn": "The player of this link is not in the session: this page only watches.",
  "roles.linkText": "A page that opens this link is for this player alone: the own clock in the own turn, and no more than a player may.",
  "roles.linkHint": "This is courtesy, not protection: who shortens the address gets everything. For protection run the service with tokens.",
  "roles.watchLink": "Link to watch",
  "roles.courtesyPlayer": "This page is for {name}, because its address says so, and has no more than a player may do. That is courtesy, not protection: the address without “as” has everything.",
  "roles.courtesyWatch": "This page only watches, because its address says so. That is courtesy, not protection: the address without “watch” or “as” has everything.",
  "roles.chooseNext": "Choose who is next …",
  "roles.nextTitle": "Who is next",
  "roles.nextText": "The turn of {name} ends, and theirs begins.",
  "roles.tooLate": "That came too late: it is another turn by now.",
  "roles.takeBack": "Take back",
  "roles.turn": "Whose turn",
  "roles.keyTurn": "Whose turn it is, or who is next",
  "roles.keyReopen": "Reopen what is over",
  "uses.poker": "Time chip ({time})",
  "uses.quiz": "Next question",
  "uses.auction": "Bid ({time})",
  "uses.exam": "+{count} min for everybody",
  "uses.contest": "+{count} min for everybody",
  "uses.speech": "Next speaker",
  "uses.debate": "Next speaker",
  "uses.meeting": "Next speaker",
  "uses.speedrun": "Split",
  "uses.given": "{what}: {time}",
  "uses.early": "Noted. More than {time} are left, so no time was added.",

  // Walls: boards, the exam's wall, the agenda

  // The room, pairings, sheets of QR codes, and the bare page

  // Speedruns: splits

  // Delivery: install, offline, addresses that lead nowhere
};
