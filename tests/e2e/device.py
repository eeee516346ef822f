"""A device whose clock is wrong."""

from __future__ import annotations

from tests.e2e.browser import Visitor

_SCRIPT = """(() => {
  const RealDate = Date;
  const realOrigin = performance.timeOrigin;
  let skew = SKEW;
  const now = () => RealDate.now() + skew;
  window.machineNow = () => RealDate.now();
  window.setDeviceClock = (ms) => { skew = ms; };
  window.Date = new Proxy(RealDate, {
    apply: () => new RealDate(now()).toString(),
    construct: (target, values, as) => Reflect.construct(target, values.length ? values : [now()], as),
    get: (target, name) => (name === "now" ? now : Reflect.get(target, name)),
  });
  Object.defineProperty(performance, "timeOrigin", { value: realOrigin + SKEW });
})()"""


async def set_clock(visitor: Visitor, skew_ms: int) -> None:
    """The clock of this visitor's device is so much ahead, in all pages opened from now on.

    `Date` and the origin of `performance` are what a page sees of it. `setDeviceClock` in a page sets it
    again, `machineNow` tells the machine's own.
    """
    await visitor.context.add_init_script(_SCRIPT.replace("SKEW", str(skew_ms)))
