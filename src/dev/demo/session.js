// A device's session: socket, token, heartbeat and back-off, as PROTOCOL.md §1, §2 and §6 require of a client.
//
// A session is `offline`, `connecting` or `live`. It reconnects until it is stopped, or until a close code forbids it. The device interprets
// the messages; the session only transports them. The device is saved before anything is sent, so that no patch number is used twice.

const SUBPROTOCOL = 'driftless.v1.json';
const CLIENT = 'driftless-demo/1';
const OPEN = 1;

/** PROTOCOL.md §2: without a pong for this long the connection is lost. The same timeout applies to the welcome. */
const RESPONSE_TIMEOUT_MS = 15_000;

/** PROTOCOL.md §6: the back-off is a random time below a limit, which doubles with each failure from the first to the last. */
const BACKOFF_FIRST_MS = 1000;
const BACKOFF_LAST_MS = 60_000;

/** Close codes of PROTOCOL.md §6. After every other code the session reconnects. */
const TOKEN_CODES = new Set([4003, 4004]);
const FINAL_CODES = new Set([4000, 4002, 4005, 4006, 4007, 4014, 4016, 4017]);

export class Session {
  #socket = null;
  #token = null;
  #renewing = false;
  #failures = 0;
  #heartbeat_ms = 0;
  #bye = null;
  #timers = new Map();

  /** `fetchToken()` and `fetchRegistration()` return promises, `save()` saves the device, `changed(events)` updates the view. */
  constructor({ device, address, fetchToken, fetchRegistration, save, changed }) {
    Object.assign(this, { device, address, fetchToken, fetchRegistration, save, changed });
    this.state = 'offline';
  }

  start() {
    if (this.state === 'offline') this.#connect();
  }

  stop() {
    this.#end('offline', [{ kind: 'stopped' }]);
  }

  /** Ends the back-off: the network or the person is back. */
  reconnectNow() {
    if (this.#timers.has('reconnect')) this.#connect();
  }

  /** Sends new edits. */
  flush() {
    const messages = this.state === 'live' ? this.device.flush() : [];
    this.save();
    messages.forEach((message) => this.#send(message));
    this.changed([]);
  }

  async #connect() {
    this.#clearTimers();
    this.state = 'connecting';
    this.changed([]);
    const attempt = (this.attempt = {});
    try {
      this.#token ??= await this.fetchToken();
    } catch {
      if (this.attempt === attempt) this.#lost({ reason: 'cannot get a token' });
      return;
    }
    if (this.attempt === attempt) this.#openSocket();
  }

  #openSocket() {
    const socket = new WebSocket(this.address, SUBPROTOCOL);
    this.#socket = socket;
    this.#bye = null;
    this.#after('response', RESPONSE_TIMEOUT_MS, () => this.#lost({ reason: 'no response' }));
    socket.onopen = () => this.#send({ type: 'hello', token: this.#token, device: this.device.id, client: CLIENT });
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#lost(this.#bye ?? { code, reason });
  }

  #receive(message) {
    if (message.type === 'welcome') this.#welcomed(message);
    else if (message.type === 'renew') this.#renew();
    else if (message.type === 'pong') this.#cancel('response');
    else if (message.type === 'bye') this.#bye = message;
    else this.#forward(message);
  }

  #welcomed(welcome) {
    this.#cancel('response');
    this.#failures = 0;
    this.#heartbeat_ms = welcome.heartbeat_s * 1000;
    this.state = 'live';
    const { send, events, later } = this.device.connected(welcome);
    this.#perform({ send, events: [{ kind: 'live' }, ...events], later });
    this.#register();
  }

  /** PROTOCOL.md §9: registers for pushes at every connection, so that the registration stays valid. Without it the phone works, but is not woken. */
  async #register() {
    const socket = this.#socket;
    try {
      const registration = await this.fetchRegistration();
      if (this.#socket === socket) this.#send({ type: 'register', ...registration });
    } catch {
      console.info('cannot register for pushes: this phone will not be woken');
    }
  }

  #forward(message) {
    this.#perform(this.device.receive(message));
  }

  #perform({ send, events, later }) {
    this.save();
    send.forEach((message) => this.#send(message));
    for (const { delay_ms, message } of later) this.#after(`${message.type} ${message.id}`, delay_ms, () => this.#send(message));
    this.changed(events);
  }

  /** The server requests a new token; it answers the one that it is sent with `renewed`. */
  async #renew() {
    if (this.#renewing) return;
    const socket = this.#socket;
    this.#renewing = true;
    try {
      this.#token = await this.fetchToken();
      if (this.#socket === socket) this.#send({ type: 'renew', token: this.#token });
    } catch {
      console.info('cannot get a token: the session ends when its token expires');
    } finally {
      if (this.#socket === socket) this.#renewing = false;
    }
  }

  #send(message) {
    if (this.#socket?.readyState !== OPEN) return;
    this.#socket.send(JSON.stringify(message));
    if (this.#heartbeat_ms > 0) this.#after('heartbeat', this.#heartbeat_ms, () => this.#ping());
  }

  #ping() {
    this.#send({ type: 'ping' });
    this.#after('response', RESPONSE_TIMEOUT_MS, () => this.#lost({ reason: 'no response' }));
  }

  #lost(end) {
    const { code, reconnect_after_ms } = end;
    const reason = end.message || end.reason || 'connection lost';
    if (FINAL_CODES.has(code)) return this.#end('offline', [{ kind: 'gave up', reason }]);
    if (TOKEN_CODES.has(code)) this.#token = null;
    this.#end('connecting', [{ kind: 'lost', reason }]);
    this.#after('reconnect', reconnect_after_ms ?? this.#backoff_ms(), () => this.#connect());
  }

  #backoff_ms() {
    return Math.random() * Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** this.#failures++);
  }

  #end(state, events) {
    this.#clearTimers();
    this.#closeSocket();
    this.state = state;
    this.changed(events);
  }

  /** Removes the handlers first: a closing socket may still deliver events. */
  #closeSocket() {
    const socket = this.#socket;
    this.#socket = null;
    this.#heartbeat_ms = 0;
    this.#renewing = false;
    this.attempt = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #after(name, delay_ms, act) {
    this.#cancel(name);
    this.#timers.set(name, setTimeout(() => (this.#timers.delete(name), act()), delay_ms));
  }

  #cancel(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #clearTimers() {
    [...this.#timers.keys()].forEach((name) => this.#cancel(name));
  }
}
