// The button that copies the command.

/** How long the page says that the command was copied. */
const SAID_MS = 2000;

export function connectCopyButton(line) {
  const [command, button, status] = [line.querySelector('code'), line.querySelector('button'), line.querySelector('[role="status"]')];
  let timer = null;
  button.onclick = async () => {
    status.textContent = (await copy(command)) ? 'Copied' : 'Press Ctrl+C';
    clearTimeout(timer);
    timer = setTimeout(() => (status.textContent = ''), SAID_MS);
  };
}

/** Browsers offer the clipboard only to pages from this machine or over TLS; elsewhere the command is selected, for the person to copy. */
async function copy(command) {
  try {
    await navigator.clipboard.writeText(command.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(command);
    return false;
  }
}
