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
    """Sets the clock of this visitor's device so much ahead, in all pages that are opened from now on.

    A page sees it in `Date` and in the origin of `performance`. In the page `setDeviceClock` sets it again,
    and `machineNow` returns the machine's own time.
    """
    await visitor.context.add_init_script(_SCRIPT.replace("SKEW", str(skew_ms)))
