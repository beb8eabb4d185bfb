// A device's connection: socket, token, heartbeat and back-off, as PROTOCOL.md §1, §2 and §6 ask of a client.
//
// A session is `offline`, `connecting` or `live`. It keeps trying until it is stopped or told to give up. What the messages mean is the
// device's business; here they only come and go. The device is saved before anything is sent, so that a patch's number is never used twice.

const SUBPROTOCOL = 'driftless.v1.json';
const CLIENT = 'driftless-demo/1';
const OPEN = 1;

/** PROTOCOL.md §2: a missing pong is a lost connection; the same patience is had with the welcome. */
const PATIENCE_MS = 15_000;

/** PROTOCOL.md §6: a random time below the first, doubled with each failure up to the last. */
const BACKOFF_FIRST_MS = 1000;
const BACKOFF_LAST_MS = 60_000;

/** PROTOCOL.md §6; every other code reconnects. */
const RENEWS_TOKEN = new Set([4003, 4004]);
const GIVES_UP = new Set([4000, 4002, 4005, 4006, 4007, 4014, 4016]);

export class Session {
  #socket = null;
  #token = null;
  #renewing = false;
  #failures = 0;
  #heartbeat_ms = 0;
  #bye = null;
  #timers = new Map();

  /** `fetchToken()` and `fetchRegistration()` give promises, `save()` keeps the device, `changed(events)` tells the view. */
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

  /** Does not wait for the back-off: the network or the person came back. */
  hurry() {
    if (this.#timers.has('reconnect')) this.#connect();
  }

  /** After an edit. */
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
      if (this.attempt === attempt) this.#lost({ reason: 'no token' });
      return;
    }
    if (this.attempt === attempt) this.#openSocket();
  }

  #openSocket() {
    const socket = new WebSocket(this.address, SUBPROTOCOL);
    this.#socket = socket;
    this.#bye = null;
    this.#after('patience', PATIENCE_MS, () => this.#lost({ reason: 'no answer' }));
    socket.onopen = () => this.#send({ type: 'hello', token: this.#token, device: this.device.id, client: CLIENT });
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#lost(this.#bye ?? { code, reason });
  }

  #receive(message) {
    if (message.type === 'welcome') this.#welcomed(message);
    else if (message.type === 'renew') this.#renew();
    else if (message.type === 'pong') this.#cancel('patience');
    else if (message.type === 'bye') this.#bye = message;
    else this.#pass(message);
  }

  #welcomed(welcome) {
    this.#cancel('patience');
    this.#failures = 0;
    this.#heartbeat_ms = welcome.heartbeat_s * 1000;
    this.state = 'live';
    const { send, events, later } = this.device.connected(welcome);
    this.#act({ send, events: [{ kind: 'live' }, ...events], later });
    this.#register();
  }

  /** PROTOCOL.md §9: at every start, which keeps it fresh. Without it the phone works on; it is not woken. */
  async #register() {
    const socket = this.#socket;
    try {
      const registration = await this.fetchRegistration();
      if (this.#socket === socket) this.#send({ type: 'register', ...registration });
    } catch {
      console.info('this phone will not be woken');
    }
  }

  #pass(message) {
    if (message.type === 'refused' && message.id === undefined) this.#renewing = false;
    this.#act(this.device.receive(message));
  }

  #act({ send, events, later }) {
    this.save();
    send.forEach((message) => this.#send(message));
    for (const { delay_ms, message } of later) this.#after(`${message.type} ${message.id}`, delay_ms, () => this.#send(message));
    this.changed(events);
  }

  /** The server asks for a fresh token; its answer to that token has the same type. */
  async #renew() {
    if (this.#renewing) {
      this.#renewing = false;
      return;
    }
    const socket = this.#socket;
    this.#renewing = true;
    try {
      this.#token = await this.fetchToken();
      if (this.#socket === socket) this.#send({ type: 'renew', token: this.#token });
    } catch {
      this.#renewing = false;
    }
  }

  #send(message) {
    if (this.#socket?.readyState !== OPEN) return;
    this.#socket.send(JSON.stringify(message));
    if (this.#heartbeat_ms > 0) this.#after('heartbeat', this.#heartbeat_ms, () => this.#ping());
  }

  #ping() {
    this.#send({ type: 'ping' });
    this.#after('patience', PATIENCE_MS, () => this.#lost({ reason: 'no answer' }));
  }

  #lost(end) {
    const { code, reason, reconnect_after_ms } = end;
    if (GIVES_UP.has(code)) return this.#end('offline', [{ kind: 'gave up', reason }]);
    if (RENEWS_TOKEN.has(code)) this.#token = null;
    this.#end('connecting', [{ kind: 'lost', reason: reason || 'connection lost' }]);
    this.#after('reconnect', reconnect_after_ms ?? this.#backoff_ms(), () => this.#connect());
  }

  #backoff_ms() {
    return Math.random() * Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** this.#failures++);
  }

  #end(state, events) {
    this.#clearTimers();
    this.#forgetSocket();
    this.state = state;
    this.changed(events);
  }

  /** A socket that is being left may still speak; nobody listens to it. */
  #forgetSocket() {
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
