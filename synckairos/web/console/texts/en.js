// The console's texts in English, which the other languages follow. Keys: "<where>.<what>", in the sections
// below. `{name}` stands for a value; an entry with `one` and `other` is chosen by the value `count`.
export default {
  // Words of every page: buttons, statuses, views, times, errors

  // The list, and the form for a new session

  // A session: its bar, menu, dialogs, results, history

  // Faces: lights, overtime, the clocks of each view
  "faces.light.green": "Go on",
  "faces.light.yellow": "Begin to close",
  "faces.light.red": "Finish now",
  "faces.lessThan": "Less than {time} left",
  "faces.timeIsUp": "Time is up",
  "faces.overtime": "overtime",
  "faces.overtimeBy": "{time} overtime",
  "faces.wins": "{name} wins",
  "faces.why.time": "The time of the session is over.",
  "faces.why.noWinner": "Nobody won by the clock.",
  "faces.why.cancelled": "It was called off, and does not count.",
  "faces.why.lastTurn": "That was the last turn.",
  "faces.why.endCame": "Its end had come.",
  "faces.why.byHand": "It was ended by hand.",

  // What each use adds to a session: same again, its buttons

  // Walls: boards, the exam's wall, the agenda

  // The room, pairings, sheets of QR codes, and the bare page

  // Speedruns: splits

  // Delivery: install, offline, addresses that lead nowhere
};
