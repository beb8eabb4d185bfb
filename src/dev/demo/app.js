// The demo: two devices of one person, each with its own copy, its own session and its own place in the browser's storage.

import { Device } from './device.js';
import { Phone } from './phone.js';
import { Session } from './session.js';
import { Wakes } from './wakes.js';

const DATASET = 'settings';
const PHONES = { a: 'Phone A', b: 'Phone B' };

/** The address that `driftless client` takes when it is told none. */
const CLIENT_DEFAULT = 'http://127.0.0.1:7400';

/** A copy of the records is saved this long after it changed: a large one is not worth saving for each message. */
const REPLICA_SAVED_AFTER_MS = 400;

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
  const switched = (on) => {
    store(letter, 'online', on);
    if (on) session.start();
    else session.stop();
    wakes.sleeps(!on);
  };
  const wakes = new Wakes(root, { device: device.id, wake: () => switched(true) });
  const phone = new Phone(root, { letter, title, device, session, switched, nameOf: (id) => nameOf(id, letter) });
  document.getElementById('phones').append(root);
  phone.changed([]);
  switched(load(letter, 'online') !== false);
  addEventListener('online', () => session.hurry());
  document.addEventListener('visibilitychange', () => document.hidden || session.hurry());
}

async function fetchToken(device) {
  const answer = await fetch(`token?device=${encodeURIComponent(device)}`, { cache: 'no-store' });
  if (!answer.ok) throw new Error(`no token: ${answer.status}`);
  return (await answer.json()).token;
}

/** Where the stand-in gateway of `driftless dev` would reach this phone. */
async function fetchRegistration(device) {
  const answer = await fetch(`push?device=${encodeURIComponent(device)}`, { cache: 'no-store' });
  if (!answer.ok) throw new Error(`no push: ${answer.status}`);
  return answer.json();
}

function nameOf(id, letter) {
  if (id === ids[letter]) return 'this phone';
  const other = Object.keys(PHONES).find((other) => ids[other] === id);
  return other ? PHONES[other] : id;
}

/** The id of an installation: chosen once and kept. */
function deviceId(letter) {
  const id = load(letter, 'id') ?? `demo-${letter}-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
  store(letter, 'id', id);
  return id;
}

/** The outbox is saved at once, the replica soon: what is missing of it is fetched again. */
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
    timer ??= setTimeout(saveReplica, REPLICA_SAVED_AFTER_MS);
  };
}

function load(letter, part) {
  try {
    return JSON.parse(localStorage.getItem(`driftless-demo.${letter}.${part}`)) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Without room or permission the phone works on and forgets when the page is closed. */
function store(letter, part, value) {
  try {
    localStorage.setItem(`driftless-demo.${letter}.${part}`, JSON.stringify(value));
  } catch {
    console.info(`not kept: ${part} of ${letter}`);
  }
}
