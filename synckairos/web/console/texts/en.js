// The console's texts in English, which the other languages follow. Keys: "<where>.<what>", in the sections
// below. `{name}` stands for a value; an entry with `one` and `other` is chosen by the value `count`.
export default {
  // Words of every page: buttons, statuses, views, times, errors

  // The list, and the form for a new session

  // A session: its bar, menu, dialogs, results, history

  // Faces: lights, overtime, the clocks of each view

  // What each use adds to a session: same again, its buttons

  // Walls: boards, the exam's wall, the agenda

  // The room, pairings, sheets of QR codes, and the bare page

  // Speedruns: splits

  // Delivery: install, offline, addresses that lead nowhere
  "delivery.missing.title": "Nothing is here",
  "delivery.missing.heading": "There is nothing at this address",
  "delivery.missing.text": "It may be incomplete, or what was here is gone.",
  "delivery.missing.home": "All sessions",
};
