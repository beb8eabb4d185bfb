// The list of a phone's other records. It filters, shows a limited number of rows, and lets the person edit and remove records in place.
//
// A row exists as long as its key is shown, so that focus and an open editor survive changes that arrive meanwhile.

import { number, originText, typedValue, valueText } from './texts.js';

/** The largest height of an editor in lines. A longer value scrolls. */
const EDITOR_LINES = 8;

/** Rows that are shown at first, and added by each press of the button. */
const ROWS_AT_A_TIME = 25;

export class RecordList {
  #rows = new Map();
  #limit = ROWS_AT_A_TIME;
  #filter = '';

  /** `edit(key, op, value)` records an edit. `hidden` are the keys with a control of their own. */
  constructor(root, { device, edit, changed, nameOf, hidden }) {
    Object.assign(this, { device, edit, nameOf, hidden });
    this.part = (id) => root.querySelector(`[data-testid="${id}"]`);
    this.list = this.part('records');
    this.part('more').onclick = () => changed((this.#limit += ROWS_AT_A_TIME));
    this.part('filter').oninput = ({ target }) => changed((this.#filter = target.value.trim().toLowerCase()));
    this.part('add').onsubmit = (event) => this.#add(event);
  }

  render() {
    const keys = this.device.keys().filter((key) => !this.hidden.has(key));
    const found = keys.filter((key) => key.toLowerCase().includes(this.#filter));
    this.#updateRows(found.slice(0, this.#limit));
    this.#updateCounts(keys.length, found.length);
  }

  /** The element of a shown key. */
  row(key) {
    return this.#rows.get(key)?.element;
  }

  #updateCounts(all, found) {
    const left = found - this.#rows.size;
    this.part('count').textContent = all > 0 ? number(all) : '';
    this.part('filter').hidden = all < 5 && this.#filter === '';
    this.part('empty').hidden = found > 0;
    this.part('empty').textContent = all > 0 ? 'No key matches the filter.' : 'None yet. Add a key here or from a terminal.';
    this.part('more').hidden = left <= 0;
    this.part('more').textContent = `Show more (${number(left)} left)`;
  }

  #updateRows(keys) {
    const wanted = new Set(keys);
    for (const [key, row] of this.#rows) if (!wanted.has(key)) this.#removeRow(key, row);
    keys.forEach((key, index) => {
      const row = this.#rows.get(key) ?? this.#createRow(key);
      if (this.list.children[index] !== row.element) this.list.insertBefore(row.element, this.list.children[index] ?? null);
      this.#updateRow(row, this.device.view(key));
    });
  }

  #removeRow(key, { element }) {
    const neighbour = element.nextElementSibling ?? element.previousElementSibling;
    const focused = element.contains(document.activeElement);
    element.remove();
    this.#rows.delete(key);
    if (focused) (neighbour?.querySelector('.remove') ?? this.part('add-key')).focus();
  }

  #createRow(key) {
    const element = document.getElementById('record').content.firstElementChild.cloneNode(true);
    const part = (name) => element.querySelector(name);
    const row = { element, value: part('.value'), origin: part('.origin'), editor: part('.editor'), input: part('textarea'), edit: part('.edit') };
    element.dataset.key = key;
    part('.key').textContent = key;
    row.edit.ariaLabel = `Edit ${key}`;
    row.input.ariaLabel = `Value of ${key}`;
    part('.remove').ariaLabel = `Remove ${key}`;
    row.edit.onclick = () => this.#openEditor(row, key);
    part('.remove').onclick = () => this.edit(key, 'remove');
    part('.cancel').onclick = () => this.#closeEditor(row);
    row.editor.onsubmit = (event) => this.#save(event, row, key);
    row.editor.onkeydown = (event) => this.#handleKey(event, row);
    this.#rows.set(key, row);
    return row;
  }

  #updateRow({ element, value, origin }, view) {
    value.textContent = valueText(view.value);
    origin.textContent = originText(view, this.nameOf);
    element.classList.toggle('waiting', view.waiting);
  }

  #openEditor(row, key) {
    row.input.value = JSON.stringify(this.device.view(key).value, null, 2);
    row.input.rows = Math.min(EDITOR_LINES, row.input.value.split('\n').length);
    row.editor.hidden = false;
    row.input.focus();
  }

  #closeEditor(row) {
    row.editor.hidden = true;
    row.edit.focus();
  }

  #save(event, row, key) {
    event.preventDefault();
    this.edit(key, 'put', typedValue(row.input.value));
    this.#closeEditor(row);
  }

  #handleKey(event, row) {
    if (event.key === 'Escape') this.#closeEditor(row);
    if (event.key === 'Enter' && !event.shiftKey && event.target === row.input) {
      event.preventDefault();
      row.editor.requestSubmit();
    }
  }

  #add(event) {
    event.preventDefault();
    const form = event.target;
    this.edit(form.elements.key.value, 'put', typedValue(form.elements.value.value));
    form.reset();
    form.elements.key.focus();
  }
}
