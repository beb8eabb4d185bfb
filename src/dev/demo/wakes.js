// Shows the wakes of a phone that is offline. Wakes carry no data. They come from the stand-in push gateway of `driftless dev`; on a real phone the
// operating system would deliver them.

import { number } from './texts.js';

/** How often the page polls the stand-in gateway for wakes. */
const POLL_INTERVAL_MS = 500;

export class WakePanel {
  #timer = null;
  #since_ms = 0;

  /** `wake()` takes the phone online. */
  constructor(root, { device, wake }) {
    Object.assign(this, { root, device });
    this.panel = root.querySelector('[data-testid="wakes"]');
    this.list = this.panel.querySelector('ol');
    this.panel.querySelector('button').onclick = wake;
  }

  /** The phone went offline or online. */
  setAsleep(asleep) {
    clearInterval(this.#timer);
    this.panel.hidden = !asleep;
    if (!asleep) return;
    this.#since_ms = Date.now();
    this.#show([]);
    this.#timer = setInterval(() => this.#poll(), POLL_INTERVAL_MS);
  }

  async #poll() {
    const response = await fetch(`wakes?device=${encodeURIComponent(this.device)}&since_ms=${this.#since_ms}`, { cache: 'no-store' }).catch(() => null);
    if (response?.ok && !this.panel.hidden) this.#show((await response.json()).wakes);
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
