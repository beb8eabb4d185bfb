// Reports each push, which the browser has decrypted, to the test.

addEventListener('install', (event) => event.waitUntil(self.skipWaiting()));
addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
addEventListener('push', (event) => event.waitUntil(fetch('woken', { method: 'POST', body: event.data.text() })));
