// What arrives here was decrypted by the browser.

addEventListener('install', (event) => event.waitUntil(self.skipWaiting()));
addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
addEventListener('push', (event) => event.waitUntil(fetch('woken', { method: 'POST', body: event.data.text() })));
