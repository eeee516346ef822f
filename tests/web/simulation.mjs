// What the client shows on simulated networks: reads traces of tests/support/simulation.py, one on each line.
import { createInterface } from "node:readline";
import { ClockFilter, SlewedClock } from "../../synckairos/web/synckairos.js";

function run(trace) {
  const filter = new ClockFilter();
  const clock = new SlewedClock();
  const shown = [];
  for (const [kind, ...numbers] of trace) {
    if (kind === "sample") {
      const [t1, t2, t3, t4] = numbers;
      filter.add(t1, t2 + 0.5, t3 + 0.5, t4);
      clock.set(filter.estimate(t4).offset, t4);
    } else if (kind === "reset") {
      filter.reset();
    } else {
      const [local] = numbers;
      const now = clock.now(local);
      const estimate = filter.estimate(local);
      shown.push(now === null ? null
        : [now, estimate === null ? null : estimate.uncertainty + clock.gap(local)]);
    }
  }
  return shown;
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(run(JSON.parse(line)))}\n`);
}
