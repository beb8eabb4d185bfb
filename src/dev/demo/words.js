// What the page says about values, records and events. Only text, never markup.

const VALUE_CHARACTERS = 200;

const REASONS = {
  replaced: 'this phone is open in another tab',
  too_many_devices: 'this person has too many devices',
  erased: 'everything of this person was erased',
};

/** A value for reading; `undefined` is a key without one. */
export function valueText(value) {
  if (value === undefined) return 'removed';
  const text = JSON.stringify(value);
  return text.length <= VALUE_CHARACTERS ? text : `${text.slice(0, VALUE_CHARACTERS)}…`;
}

/** What a person typed: JSON if it is that, else the text itself. */
export function typedValue(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function originText({ record, waiting }, nameOf) {
  if (waiting) return 'waiting';
  return record && !record.removed ? `version ${number(record.version)} · ${nameOf(record.device)}` : 'not set';
}

export function number(value) {
  return value.toLocaleString('en');
}

/** An event of a device or its session in words. */
export function eventText(event, nameOf) {
  const { kind, key } = event;
  switch (kind) {
    case 'wrote':
      return `wrote ${key} → version ${number(event.version)}`;
    case 'got':
      return gotText(event, nameOf);
    case 'conflict':
      return `conflict on ${key} with ${event.device ? nameOf(event.device) : 'another device'}`;
    case 'settled':
      return `${key}: both chose the same`;
    case 'refused':
      return `${key ?? 'request'} refused: ${event.message || event.code}`;
    case 'reset':
      return 'began again with a fresh copy';
    case 'restored':
      return restoredText(event);
    case 'moved':
      return 'this person signed in: everything is in one place now';
    case 'another person':
      return 'this is another person now: forgot everything of the one before';
    case 'live':
      return 'connected';
    case 'lost':
      return `${event.reason.replaceAll('_', ' ')}, trying again`;
    case 'stopped':
      return 'went offline';
    case 'gave up':
      return `stopped: ${REASONS[event.reason] ?? event.reason.replaceAll('_', ' ')}`;
    default:
      return kind;
  }
}

function restoredText({ shared, offered }) {
  if (shared === undefined) return 'the server has another store now: took what is there';
  if (offered === 0) return 'the server went back to a backup: nothing is missing there';
  return `the server went back to a backup: sends ${offered === 1 ? 'a record' : `${number(offered)} records`} again`;
}

function gotText({ version, records }, nameOf) {
  const [{ key, device, removed }] = records;
  if (records.length > 1) return `got ${number(records.length)} records → version ${number(version)}`;
  return `got version ${number(version)} from ${nameOf(device)}: ${key}${removed ? ' removed' : ''}`;
}
