// The demo page: two devices of one person, each with its own replica, session and keys in the browser's local storage.

import { connectCopyButton } from './copy.js';
import { Device } from './device.js';
import { Phone } from './phone.js';
import { Session } from './session.js';
import { WakePanel } from './wakes.js';

const DATASET = 'settings';
const PHONES = { a: 'Phone A', b: 'Phone B' };

/** The replica is saved this long after a change. Saving a large one for each message would be too slow. */
const REPLICA_SAVE_DELAY_MS = 400;

const ids = Object.fromEntries(Object.keys(PHONES).map((letter) => [letter, deviceId(letter)]));

/** How long the server waits for an acknowledgement before it wakes a phone; it says so with each registration. */
let grace_ms = 3000;

const panels = new Map();

for (const [letter, title] of Object.entries(PHONES)) startPhone(letter, title);
connectCopyButton(document.querySelector('.terminal'));
completeCommand(document.querySelector('.terminal code'));

function startPhone(letter, title) {
  const saved = { replica: load(letter, 'replica'), outbox: load(letter, 'outbox') };
  const device = new Device(ids[letter], DATASET, saved);
  const session = new Session({
    device,
    address: new URL('../v1/sync', location.href.replace(/^http/, 'ws')).href,
    fetchToken: () => fetchToken(device.id),
    fetchRegistration: () => fetchRegistration(device.id),
    save: saver(letter, device),
    changed: (events) => {
      phone.changed(events);
      events.forEach((event) => ['wrote', 'got'].includes(event.kind) && oweToOthers(letter, event.version));
    },
  });
  const root = document.getElementById('phone').content.firstElementChild.cloneNode(true);
  const setOnline = (on) => {
    store(letter, 'online', on);
    if (on) session.start();
    else session.stop();
    wakes.setAsleep(!on);
  };
  const wakes = new WakePanel(root, { device: device.id, wake: () => setOnline(true), grace_ms: () => grace_ms });
  panels.set(letter, wakes);
  const phone = new Phone(root, { letter, title, device, session, setOnline, nameOf: (id) => nameOf(id, letter) });
  document.getElementById('phones').append(root);
  phone.changed([]);
  setOnline(load(letter, 'online') !== false);
  addEventListener('online', () => session.reconnectNow());
  document.addEventListener('visibilitychange', () => document.hidden || session.reconnectNow());
}

/** The server knows neither the path prefix of a proxy before it, nor that the proxy has TLS. */
function completeCommand(command) {
  const server = new URL('..', location.href).href.slice(0, -1);
  if (location.protocol === 'https:' || server !== location.origin) command.textContent = command.textContent.replace(/( --url .*)?$/, ` --url ${server}`);
}

/** A phone saw a new version: phones that are offline have not acknowledged it. */
function oweToOthers(letter, version) {
  for (const [other, panel] of panels) if (other !== letter) panel.owe(version);
}

async function fetchToken(device) {
  const response = await fetch(`token?device=${encodeURIComponent(device)}`, { cache: 'no-store' });
  if (!response.ok) throw new Error(`cannot get a token: ${response.status}`);
  return (await response.json()).token;
}

/** The phone's registration at the stand-in push gateway of `driftless dev`. */
async function fetchRegistration(device) {
  const response = await fetch(`push?device=${encodeURIComponent(device)}`, { cache: 'no-store' });
  if (!response.ok) throw new Error(`cannot get a push registration: ${response.status}`);
  const { wake_after_ms, ...registration } = await response.json();
  grace_ms = wake_after_ms;
  return registration;
}

function nameOf(id, letter) {
  if (id === ids[letter]) return 'this phone';
  const other = Object.keys(PHONES).find((other) => ids[other] === id);
  return other ? PHONES[other] : id;
}

/** The device id: chosen once, then kept in local storage. */
function deviceId(letter) {
  const id = load(letter, 'id') ?? `demo-${letter}-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
  store(letter, 'id', id);
  return id;
}

/** Saves the outbox at once and the replica later: the device fetches again what the saved replica lacks. */
function saver(letter, device) {
  let timer = null;
  const saveReplica = () => {
    clearTimeout(timer);
    timer = null;
    store(letter, 'replica', device.replica());
  };
  addEventListener('pagehide', saveReplica);
  return () => {
    store(letter, 'outbox', device.outbox());
    timer ??= setTimeout(saveReplica, REPLICA_SAVE_DELAY_MS);
  };
}

function load(letter, part) {
  try {
    return JSON.parse(localStorage.getItem(`driftless-demo.${letter}.${part}`)) ?? undefined;
  } catch {
    return undefined;
  }
}

/** If local storage is full or forbidden, the phone still works, but loses its state when the page is closed. */
function store(letter, part, value) {
  try {
    localStorage.setItem(`driftless-demo.${letter}.${part}`, JSON.stringify(value));
  } catch {
    console.info(`cannot save the ${part} of phone ${letter}`);
  }
}
