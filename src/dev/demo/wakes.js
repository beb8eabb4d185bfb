// What reaches a phone that sleeps: wakes, which carry no data. The stand-in gateway of `driftless dev` has them; a real phone would be shown them by its system.

import { number } from './words.js';

/** How often a sleeping phone asks the stand-in gateway what came for it. */
const ASKS_EVERY_MS = 500;

export class Wakes {
  #timer = null;
  #since_ms = 0;

  /** `wake()` switches the phone on. */
  constructor(root, { device, wake }) {
    Object.assign(this, { root, device });
    this.panel = root.querySelector('[data-testid="wakes"]');
    this.list = this.panel.querySelector('ol');
    this.panel.querySelector('button').onclick = wake;
  }

  /** The phone falls asleep, or wakes up. */
  sleeps(asleep) {
    clearInterval(this.#timer);
    this.panel.hidden = !asleep;
    if (!asleep) return;
    this.#since_ms = Date.now();
    this.#show([]);
    this.#timer = setInterval(() => this.#ask(), ASKS_EVERY_MS);
  }

  async #ask() {
    const answer = await fetch(`wakes?device=${encodeURIComponent(this.device)}&since_ms=${this.#since_ms}`, { cache: 'no-store' }).catch(() => null);
    if (answer?.ok && !this.panel.hidden) this.#show((await answer.json()).wakes);
  }

  #show(wakes) {
    this.panel.querySelector('.empty').hidden = wakes.length > 0;
    this.list.replaceChildren(...wakes.map((wake) => wakeItem(wake)));
  }
}

function wakeItem({ at_ms, dataset, version }) {
  const item = document.createElement('li');
  const time = document.createElement('time');
  item.dataset.testid = 'wake';
  time.textContent = new Date(at_ms).toLocaleTimeString('en-GB');
  item.append(time, `Something new in ${dataset}: version ${number(Number(version))}`);
  return item;
}
