// The view of one phone. It shows its device and turns input into edits; it knows nothing of the protocol.

import { RecordList } from './records.js';
import { eventText, number, originText, valueText } from './texts.js';

const EVENTS_SHOWN = 6;

const STATE_TEXTS = { live: 'live', connecting: 'connecting…', offline: 'offline' };

/** The settings with their own control. Each function connects its control and returns a function that shows a value, and returns whether it could. */
const SETTINGS = { theme, volume, name, notifications, visits };

export class Phone {
  #events = [];
  #scheduled = false;
  #settings = new Map();
  #conflicts = new Map();
  #arrived = new Set();

  constructor(root, { letter, title, device, session, nameOf, setOnline }) {
    Object.assign(this, { root, device, session, nameOf });
    root.dataset.testid = `phone-${letter}`;
    root.dataset.device = letter;
    root.ariaLabel = title;
    for (const part of root.querySelectorAll('[data-label]')) part.ariaLabel = `${part.dataset.label} of ${title}`;
    this.part('name-of-phone').textContent = title;
    this.part('online').onchange = ({ target }) => setOnline(target.checked);
    const edit = (key, op, value) => this.#edit(key, op, value);
    for (const [key, connect] of Object.entries(SETTINGS)) {
      const row = root.querySelector(`[data-key="${key}"]`);
      this.#settings.set(key, { row, show: connect(row, (op, value) => edit(key, op, value), root) });
    }
    const hidden = new Set(Object.keys(SETTINGS));
    this.list = new RecordList(root, { device, edit, nameOf, hidden, changed: () => this.changed([]) });
  }

  part(id) {
    return this.root.querySelector(`[data-testid="${id}"]`);
  }

  /** The device or its session changed: renders at the next animation frame. */
  changed(events) {
    events.forEach((event) => this.#addEvent(event));
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => this.#render());
  }

  #edit(key, op, value) {
    this.device.edit(key, op, value);
    this.session.flush();
  }

  #render() {
    this.#scheduled = false;
    this.#renderTop();
    for (const [key, { row, show }] of this.#settings) this.#renderSetting(this.device.view(key), row, show);
    this.#renderConflicts();
    this.list.render();
    if (this.#arrived.size > 0) this.#flashArrived();
    this.part('events').replaceChildren(...this.#events.map((event) => this.#eventItem(event)));
  }

  #renderTop() {
    const { state } = this.session;
    const { unsent, version } = this.device;
    this.root.dataset.state = state;
    if (this.part('state').textContent !== STATE_TEXTS[state]) this.part('state').textContent = STATE_TEXTS[state];
    this.part('online').checked = state !== 'offline';
    this.part('version').textContent = number(version);
    this.part('unsent').textContent = number(unsent);
    this.root.classList.toggle('has-unsent', unsent > 0);
  }

  #renderSetting(view, row, show) {
    const origin = row.querySelector('.origin');
    const fits = show(view.value);
    origin.textContent = fits ? originText(view, this.nameOf) : `is ${valueText(view.value)}`;
    row.classList.toggle('waiting', view.waiting);
    row.classList.toggle('conflicting', this.device.conflicts.has(view.key));
  }

  #renderConflicts() {
    const cards = this.part('conflicts');
    for (const [key, card] of this.#conflicts) {
      if (this.device.conflicts.has(key)) continue;
      card.remove();
      this.#conflicts.delete(key);
    }
    for (const [key, mine] of this.device.conflicts) {
      if (!this.#conflicts.has(key)) this.#conflicts.set(key, cards.appendChild(this.#conflictCard(key)));
      this.#fillConflict(this.#conflicts.get(key), mine, this.device.records.get(key));
    }
  }

  #conflictCard(key) {
    const card = document.getElementById('conflict').content.firstElementChild.cloneNode(true);
    card.dataset.key = key;
    card.querySelector('.key').textContent = key;
    card.querySelector('.keep').onclick = () => this.#resolve(() => this.device.keepMine(key));
    card.querySelector('.take').onclick = () => this.#resolve(() => this.device.takeTheirs(key));
    return card;
  }

  #fillConflict(card, mine, theirs) {
    card.querySelector('.mine dd').textContent = valueText(mine.value);
    card.querySelector('.theirs dd').textContent = valueText(theirs?.value);
    card.querySelector('.theirs dt').textContent = theirs ? `From ${this.nameOf(theirs.device)}` : 'Theirs';
  }

  /** The card is removed, so the focus moves to the next card, or to the phone's name. */
  #resolve(act) {
    act();
    this.session.flush();
    const next = [...this.#conflicts].find(([key]) => this.device.conflicts.has(key));
    (next?.[1].querySelector('.keep') ?? this.part('name-of-phone')).focus();
  }

  /** Repeated events of one key (a moving slider, a name being typed) replace the previous line. */
  #addEvent(event) {
    const line = { kind: event.kind, subject: event.key ?? event.records?.[0].key, text: eventText(event, this.nameOf), at: new Date() };
    const [newest] = this.#events;
    if (newest?.kind === line.kind && newest.subject === line.subject) this.#events.shift();
    this.#events = [line, ...this.#events].slice(0, EVENTS_SHOWN);
    if (event.kind === 'got') event.records.forEach(({ key }) => this.#arrived.add(key));
  }

  /** Highlights the rows that another device changed. Restarts a running animation. */
  #flashArrived() {
    const rows = [...this.#arrived].map((key) => this.#settings.get(key)?.row ?? this.list.row(key)).filter(Boolean);
    this.#arrived.clear();
    rows.forEach((row) => row.classList.remove('arrived'));
    void this.root.offsetWidth;
    rows.forEach((row) => row.classList.add('arrived'));
  }

  #eventItem({ kind, text, at }) {
    const item = document.createElement('li');
    const time = document.createElement('time');
    item.dataset.kind = kind;
    time.textContent = at.toLocaleTimeString('en-GB');
    item.append(time, text);
    return item;
  }
}

function theme(row, edit, root) {
  const radios = [...row.querySelectorAll('input')];
  for (const radio of radios) {
    radio.name = `theme-${root.dataset.device}`;
    radio.onchange = () => edit('put', radio.value);
  }
  return (value) => {
    for (const radio of radios) radio.checked = radio.value === value;
    const known = radios.some((radio) => radio.checked);
    root.dataset.theme = known ? value : 'auto';
    return known || value === undefined;
  };
}

function volume(row, edit) {
  const [slider, output] = [row.querySelector('input'), row.querySelector('output')];
  slider.oninput = () => edit('put', Number(slider.value));
  return (value) => {
    const known = typeof value === 'number';
    if (known) slider.value = value;
    output.textContent = known ? number(value) : '–';
    return known || value === undefined;
  };
}

function name(row, edit) {
  const input = row.querySelector('input');
  input.oninput = () => edit('put', input.value);
  return (value) => {
    const text = typeof value === 'string' ? value : '';
    if (input.value !== text) input.value = text;
    return text === value || value === undefined;
  };
}

function notifications(row, edit) {
  const input = row.querySelector('input');
  input.onchange = () => edit('put', input.checked);
  return (value) => {
    input.checked = value === true;
    return typeof value === 'boolean' || value === undefined;
  };
}

function visits(row, edit) {
  const output = row.querySelector('output');
  row.querySelector('button').onclick = () => edit('add', 1);
  return (value) => {
    const known = typeof value === 'number';
    output.textContent = known ? number(value) : value === undefined ? '0' : '–';
    return known || value === undefined;
  };
}
