// Shows the wakes of a phone that is offline, and when the next one is due. Wakes carry no data. They come from the stand-in push gateway of
// `driftless dev`; on a real phone the operating system would deliver them.

import { dueText, number } from './texts.js';

/** How often the page polls the stand-in gateway for wakes, and counts down. */
const POLL_INTERVAL_MS = 500;

export class WakePanel {
  #timer = null;
  #since_ms = 0;
  #owed = null;
  #woken_for = 0;

  /** `wake()` takes the phone online. `grace_ms()` is how long the server waits for an acknowledgement before it wakes a phone. */
  constructor(root, { device, wake, grace_ms }) {
    Object.assign(this, { root, device, grace_ms });
    this.panel = root.querySelector('[data-testid="wakes"]');
    this.list = this.panel.querySelector('ol');
    this.due = this.panel.querySelector('.due');
    this.panel.querySelector('button').onclick = wake;
  }

  /** The phone went offline or online. */
  setAsleep(asleep) {
    clearInterval(this.#timer);
    this.panel.hidden = !asleep;
    if (!asleep) return;
    this.#since_ms = Date.now();
    this.#owed = null;
    this.#woken_for = 0;
    this.#show([]);
    this.#timer = setInterval(() => this.#poll(), POLL_INTERVAL_MS);
  }

  /** Another device made this version, which the phone has not acknowledged: the server wakes it after the grace of the first such version. */
  owe(version) {
    if (this.panel.hidden || version <= this.#woken_for) return;
    this.#owed = { version, at_ms: this.#owed?.at_ms ?? Date.now() + this.grace_ms() };
    this.#showDue();
  }

  async #poll() {
    this.#showDue();
    const response = await fetch(`wakes?device=${encodeURIComponent(this.device)}&since_ms=${this.#since_ms}`, { cache: 'no-store' }).catch(() => null);
    if (response?.ok && !this.panel.hidden) this.#show((await response.json()).wakes);
  }

  #show(wakes) {
    this.panel.querySelector('.empty').hidden = wakes.length > 0 || this.#owed !== null;
    this.#woken_for = Math.max(this.#woken_for, ...wakes.map(({ version }) => Number(version)));
    if (this.#owed && this.#owed.version <= this.#woken_for) this.#owed = null;
    this.#showDue();
    if (this.list.childElementCount !== wakes.length || wakes[0]?.version !== this.list.firstChild?.dataset.version) {
      this.list.replaceChildren(...wakes.map((wake) => wakeItem(wake)));
    }
  }

  #showDue() {
    const text = this.#owed ? dueText(this.#owed.at_ms - Date.now()) : this.#woken_for > 0 ? 'Woken by a push without content.' : '';
    if (text !== '') this.panel.querySelector('.empty').hidden = true;
    if (this.due.textContent !== text) this.due.textContent = text;
  }
}

function wakeItem({ at_ms, dataset, version }) {
  const item = document.createElement('li');
  const time = document.createElement('time');
  item.dataset.testid = 'wake';
  item.dataset.version = version;
  time.textContent = new Date(at_ms).toLocaleTimeString('en-GB');
  item.append(time, `Something new in ${dataset}: version ${number(Number(version))}`);
  return item;
}
