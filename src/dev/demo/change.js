// Changes of one key, purely: what they do to a value, and how two of them become one. A key without a value is `undefined`.

/** The value after a change, as far as a device can know it. */
export function applied(value, { op, value: operand }) {
  if (op === 'put') return operand;
  if (op === 'remove') return undefined;
  if (value === undefined) return operand;
  return typeof value === 'number' ? value + operand : value;
}

/** One change for an unsent one (or none) and the edit after it. The base stays that of the first: what the person had seen then. */
export function coalesced(before, { key, op, value }, base) {
  if (op === 'add' && before === undefined) return { key, op, value };
  if (op === 'add' && before.op === 'add') return { key, op, value: before.value + value };
  if (op === 'add') return { ...before, op: 'put', value: applied(before.value, { op, value }) };
  const change = { key, op, base: before?.base ?? base };
  return op === 'remove' ? change : { ...change, value };
}

/** The same JSON value, whatever the order of its members. */
export function equal(a, b) {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && equal(a[name], b[name]));
}
