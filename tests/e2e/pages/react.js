// What bundlers make of `import … from "react"`, over Debian's builds for browsers.
const { React } = globalThis;
export const { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } = React;
export default React;
