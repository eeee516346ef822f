// A reporter for node's test runner: one line of JSON for each test, for conftest.py.
import { inspect } from "node:util";

export default async function* lines(source) {
  for await (const { type, data } of source) {
    if (type === "test:pass" || type === "test:fail") {
      const error = data.details?.error;
      const text = error === undefined ? null : inspect(error.cause ?? error, { depth: 8 });
      yield `${JSON.stringify({ name: data.name, passed: type === "test:pass", error: text })}\n`;
    } else if (type === "test:stdout" || type === "test:stderr") {
      yield `${JSON.stringify({ output: data.message })}\n`;
    }
  }
}
