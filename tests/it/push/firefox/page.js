// Subscribes a service worker to the push service that the browser was pointed at, and hands the subscription in.

const say = (path, value) => fetch(path, { method: 'POST', body: JSON.stringify(value) });

try {
  const key = await (await fetch('key')).text();
  await navigator.serviceWorker.register('worker.js', { type: 'classic' });
  const registration = await navigator.serviceWorker.ready;
  const subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  await say('subscribed', subscription.toJSON());
} catch (error) {
  await say('failed', String(error));
}
