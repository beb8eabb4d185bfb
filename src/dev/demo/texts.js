// The texts for values, records and events. Only text, never markup.

const VALUE_CHARACTERS = 200;

const REASONS = {
  replaced: 'this phone is open in another tab',
  too_many_devices: 'this person has too many devices',
  erased: 'all data of this person was erased',
};

/** A value as text; `undefined` means that the key has no value. */
export function valueText(value) {
  if (value === undefined) return 'removed';
  const text = JSON.stringify(value);
  return text.length <= VALUE_CHARACTERS ? text : `${text.slice(0, VALUE_CHARACTERS)}…`;
}

/** Parses typed text: JSON if it is valid JSON, else the text itself. */
export function typedValue(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function originText({ record, waiting }, nameOf) {
  if (waiting) return 'not sent yet';
  return record && !record.removed ? `version ${number(record.version)} · ${nameOf(record.device)}` : 'not set';
}

/** When a phone that is offline will be woken. */
export function dueText(left_ms) {
  const left_s = Math.ceil(left_ms / 1000);
  return left_s > 0 ? `Will be woken in ${left_s} s` : 'Being woken…';
}

export function number(value) {
  return value.toLocaleString('en');
}

/** An event of a device or its session as text. */
export function eventText(event, nameOf) {
  const { kind, key } = event;
  switch (kind) {
    case 'wrote':
      return `wrote ${key} → version ${number(event.version)}`;
    case 'got':
      return receivedText(event, nameOf);
    case 'conflict':
      return `conflict on ${key} with ${event.device ? nameOf(event.device) : 'another device'}`;
    case 'settled':
      return `${key}: both values are equal`;
    case 'refused':
      return `${key ?? 'request'} refused: ${event.message || event.code}`;
    case 'reset':
      return 'loaded a new copy';
    case 'restored':
      return restoredText(event);
    case 'moved':
      return 'this person signed in: the guest data was merged';
    case 'another person':
      return 'another person signed in: removed the previous data';
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
  if (shared === undefined) return 'the server has a different store: loaded its data';
  if (offered === 0) return 'the server was restored from a backup: it lacks nothing';
  return `the server was restored from a backup: sending ${offered === 1 ? '1 record' : `${number(offered)} records`} again`;
}

function receivedText({ version, records }, nameOf) {
  const [{ key, device, removed }] = records;
  if (records.length > 1) return `received ${number(records.length)} records → version ${number(version)}`;
  return `received version ${number(version)} from ${nameOf(device)}: ${key}${removed ? ' removed' : ''}`;
}
