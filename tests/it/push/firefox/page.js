// Subscribes a service worker to the push service that the browser is configured to use, and posts the subscription to the test.

const RETRY_MS = 2000;

const report = (path, value) => fetch(path, { method: 'POST', body: JSON.stringify(value) });

try {
  const applicationServerKey = await (await fetch('key')).text();
  await navigator.serviceWorker.register('worker.js');
  const { pushManager } = await navigator.serviceWorker.ready;
  const subscription = await subscribed(() => pushManager.subscribe({ userVisibleOnly: true, applicationServerKey }));
  await report('subscribed', subscription.toJSON());
} catch (error) {
  await report('failed', String(error));
}

/** Retries the subscription: while the browser starts, a request may stay unanswered. */
async function subscribed(subscribe) {
  for (;;) {
    const answer = await Promise.race([subscribe(), new Promise((later) => setTimeout(later, RETRY_MS))]);
    if (answer) return answer;
  }
}
