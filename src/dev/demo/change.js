// Changes to one key: how they apply to a value, and how two become one. Pure. The value of an absent key is `undefined`.

/** The value after a change, as far as a device can compute it. */
export function applyChange(value, { op, value: operand }) {
  if (op === 'put') return operand;
  if (op === 'remove') return undefined;
  if (value === undefined) return operand;
  return typeof value === 'number' ? value + operand : value;
}

/** Combines an unsent change, if there is one, with a later edit. The base of the first is kept: the person saw that version. */
export function coalesce(before, { key, op, value }, base) {
  if (op === 'add' && before === undefined) return { key, op, value };
  if (op === 'add' && before.op === 'add') return { key, op, value: before.value + value };
  if (op === 'add') return { ...before, op: 'put', value: applyChange(before.value, { op, value }) };
  const change = { key, op, base: before?.base ?? base };
  return op === 'remove' ? change : { ...change, value };
}

/** Whether two JSON values are equal, regardless of the order of members. */
export function equal(a, b) {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && equal(a[name], b[name]));
}
