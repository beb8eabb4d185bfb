// Subscribes a service worker to the push service that the browser was pointed at, and hands the subscription in.

const PATIENCE_MS = 2000;

const say = (path, value) => fetch(path, { method: 'POST', body: JSON.stringify(value) });

try {
  const applicationServerKey = await (await fetch('key')).text();
  await navigator.serviceWorker.register('worker.js');
  const { pushManager } = await navigator.serviceWorker.ready;
  const subscription = await subscribed(() => pushManager.subscribe({ userVisibleOnly: true, applicationServerKey }));
  await say('subscribed', subscription.toJSON());
} catch (error) {
  await say('failed', String(error));
}

/** While the browser starts nobody listens yet to what a page asks of its push service, and nobody answers: it is asked again. */
async function subscribed(subscribe) {
  for (;;) {
    const answer = await Promise.race([subscribe(), new Promise((later) => setTimeout(later, PATIENCE_MS))]);
    if (answer) return answer;
  }
}
