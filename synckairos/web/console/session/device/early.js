// Opens the session's socket while the page's scripts are still on their way, so that on a slow line the state and
// the server's time are there when they are. The client takes the socket over, with what it has heard.

import { storedToken } from "../../shared/token.js";

const PROTOCOL = "synckairos.v1";
const ID = /^\/s\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;
/** A socket that has heard more than this is no use to anybody: the client begins with a new one. */
const MOST_HEARD = 200;
const OPEN = 1;
const CLOSED = 3;
/** The code of a connection that broke. */
const BROKE = 1006;

/** The socket that nobody has taken over yet, with what it has heard and the token that it has sent. */
let early = null;
/** A round trip to the server's clock: sent and back by this device's, received and answered by the server's. */
let roundTrip = null;

/** The round trip that was measured, or null. */
export const measured = () => roundTrip;

function listen({ socket, token, heard }) {
  const send = (message) => socket.send(JSON.stringify({ v: 1, ...message }));
  socket.onopen = () => {
    if (token !== null) send({ type: "AUTH", token });
  };
  socket.onmessage = ({ data }) => {
    const at = performance.now();
    const { type, t1, t2, t3 } = JSON.parse(data);
    if (type === "PONG") {
      roundTrip = { t1, t2, t3, t4: at };
      return;
    }
    if (type === "CONNECTED") send({ type: "PING", t1: performance.now() });
    heard.push(data);
    if (heard.length > MOST_HEARD) socket.close();
  };
  socket.onclose = (event) => {
    early.closed = event;
  };
}

function open() {
  const id = ID.exec(location.pathname)?.[1].toLowerCase();
  if (!id) return;
  const url = new URL(`/ws?session_id=${id}`, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const token = storedToken();
  early = { socket: new WebSocket(url, [PROTOCOL]), token, heard: [], closed: null };
  listen(early);
}

/** Tells the client what the socket has heard, as soon as the client listens. */
function tell(socket, heard, closed) {
  queueMicrotask(() => {
    socket.onopen?.();
    for (const data of heard) socket.onmessage?.({ data });
    if (closed) socket.onclose?.(closed);
  });
}

function takeOver(url) {
  const taken = early;
  early = null;
  if (taken === null) return null;
  const { socket, token, heard, closed } = taken;
  const isLost = closed ? closed.code === BROKE : socket.readyState > OPEN || heard.length > MOST_HEARD;
  if (socket.url !== url || token !== storedToken() || isLost) {
    socket.onopen = socket.onmessage = socket.onclose = null;
    if (socket.readyState < CLOSED) socket.close();
    return null;
  }
  if (socket.readyState === OPEN || closed) {
    if (token !== null) {
      // The client begins with the token, which this socket has sent.
      socket.send = (text) => {
        delete socket.send;
        if (JSON.parse(text).type !== "AUTH") socket.send(text);
      };
    }
    tell(socket, heard, closed);
  }
  return socket;
}

/** A socket as the browser's. The first one for the session of this page may be open already. */
export class EarlySocket {
  constructor(url, protocols) {
    return takeOver(url) ?? new WebSocket(url, protocols);
  }
}

try {
  open();
} catch {
  // The client tries again, and says what is wrong.
}
