// The demo page: two devices of one person, each with its own replica, session and keys in the browser's local storage.

import { Device } from './device.js';
import { Phone } from './phone.js';
import { Session } from './session.js';
import { WakePanel } from './wakes.js';

const DATASET = 'settings';
const PHONES = { a: 'Phone A', b: 'Phone B' };

/** The default address of `driftless client`. */
const CLIENT_DEFAULT = 'http://127.0.0.1:7400';

/** The replica is saved this long after a change. Saving a large one for each message would be too slow. */
const REPLICA_SAVE_DELAY_MS = 400;

const ids = Object.fromEntries(Object.keys(PHONES).map((letter) => [letter, deviceId(letter)]));

for (const [letter, title] of Object.entries(PHONES)) startPhone(letter, title);
if (location.origin !== CLIENT_DEFAULT) document.querySelector('.terminal code').append(` --url ${location.origin}`);

function startPhone(letter, title) {
  const saved = { replica: load(letter, 'replica'), outbox: load(letter, 'outbox') };
  const device = new Device(ids[letter], DATASET, saved);
  const session = new Session({
    device,
    address: new URL('/v1/sync', location.href.replace(/^http/, 'ws')).href,
    fetchToken: () => fetchToken(device.id),
    fetchRegistration: () => fetchRegistration(device.id),
    save: saver(letter, device),
    changed: (events) => phone.changed(events),
  });
  const root = document.getElementById('phone').content.firstElementChild.cloneNode(true);
  const setOnline = (on) => {
    store(letter, 'online', on);
    if (on) session.start();
    else session.stop();
    wakes.setAsleep(!on);
  };
  const wakes = new WakePanel(root, { device: device.id, wake: () => setOnline(true) });
  const phone = new Phone(root, { letter, title, device, session, setOnline, nameOf: (id) => nameOf(id, letter) });
  document.getElementById('phones').append(root);
  phone.changed([]);
  setOnline(load(letter, 'online') !== false);
  addEventListener('online', () => session.reconnectNow());
  document.addEventListener('visibilitychange', () => document.hidden || session.reconnectNow());
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
  return response.json();
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
