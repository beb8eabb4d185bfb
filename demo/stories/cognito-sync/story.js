// Two devices of one person with aws-sdk v2 and amazon-cognito-js, unchanged but for the endpoint: offline edits, a conflict that one of
// them is asked to resolve, a removal, and the deletion of the dataset.
//
//   npm ci
//   AWS_ENDPOINT_URL=... AWS_DEFAULT_REGION=local AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... \
//     IDENTITY_POOL_ID=local:... IDENTITY_ID=local:... node story.js
//
// It ends with status 0 if all went as it should.
const assert = require('node:assert');

process.env.AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE = '1';
const AWS = (global.AWS = require('aws-sdk'));
require('amazon-cognito-js');

const { AWS_ENDPOINT_URL: endpoint, AWS_DEFAULT_REGION: region, IDENTITY_POOL_ID: pool, IDENTITY_ID: identity } = process.env;
AWS.config.update({ region, cognitosync: { endpoint } });

const credentials = new AWS.Credentials(process.env.AWS_ACCESS_KEY_ID, process.env.AWS_SECRET_ACCESS_KEY, process.env.AWS_SESSION_TOKEN);
credentials.params = { IdentityPoolId: pool };
credentials.identityId = identity;
AWS.config.credentials = credentials;

const called = (object, method, ...args) =>
  new Promise((resolve, reject) => object[method](...args, (error, value) => (error ? reject(error) : resolve(value))));

// A device: a manager with a store of its own.
class Device {
  constructor() {
    this.manager = new AWS.CognitoSyncManager({ DataStore: AWS.CognitoSyncManager.StoreInMemory });
    this.manager.local.store = new AWS.CognitoSyncManager.StoreInMemory();
  }

  async open(name) {
    this.dataset = await called(this.manager, 'openOrCreateDataset', name);
    return this;
  }

  put(key, value) { return called(this.dataset, 'put', key, value); }
  remove(key) { return called(this.dataset, 'remove', key); }
  async get(key) { return called(this.dataset, 'get', key); }

  // What came of a synchronization: the callback that ended it.
  synchronize(resolveConflicts) {
    return new Promise((resolve) => {
      const seen = { conflicts: 0 };
      this.dataset.synchronize({
        onSuccess: (dataset, updates) => resolve({ ...seen, outcome: 'success', updates: updates.length }),
        onFailure: (error) => resolve({ ...seen, outcome: 'failure', error: error && error.message }),
        onConflict: (dataset, conflicts, callback) => {
          seen.conflicts += conflicts.length;
          if (!resolveConflicts) return callback(false);
          dataset.resolve(conflicts.map(resolveConflicts), () => callback(true));
        },
        onDatasetDeleted: (dataset, name, callback) => { resolve({ ...seen, outcome: 'deleted', name }); return callback(false); },
        onDatasetsMerged: (dataset, names, callback) => { resolve({ ...seen, outcome: 'merged', names }); return callback(false); },
      });
    });
  }
}

async function story() {
  const name = `story-${Date.now()}`;
  const [phone, tablet] = [await new Device().open(name), await new Device().open(name)];
  const sync = async (device, resolve) => {
    const result = await device.synchronize(resolve);
    assert.equal(result.outcome, 'success', JSON.stringify(result));
    return result;
  };

  await phone.put('name', 'Ann');
  await phone.put('city', 'Bonn');
  await sync(phone);
  await sync(tablet);
  assert.equal(await tablet.get('name'), 'Ann');

  // Both edit another record while they are offline.
  await phone.put('city', 'Berlin');
  await tablet.put('language', 'de');
  await sync(phone);
  await sync(tablet);
  await sync(phone);
  for (const device of [phone, tablet]) {
    assert.equal(await device.get('city'), 'Berlin');
    assert.equal(await device.get('language'), 'de');
  }

  // Both edit the same one; the tablet is asked, and takes its own.
  await phone.put('name', 'Bea');
  await tablet.put('name', 'Cleo');
  await sync(phone);
  const refused = await tablet.synchronize();
  assert.deepEqual([refused.outcome, refused.conflicts], ['failure', 1]);
  const asked = await sync(tablet, (conflict) => conflict.resolveWithLocalRecord());
  assert.equal(asked.conflicts, 1);
  await sync(phone);
  assert.equal(await phone.get('name'), 'Cleo');

  await phone.remove('city');
  await sync(phone);
  await sync(tablet);
  assert.ok(!(await tablet.get('city')), 'the removal has arrived');

  // The phone deletes the dataset; the tablet is told, also after it was made anew.
  const client = new AWS.CognitoSync();
  const at = { IdentityPoolId: pool, IdentityId: identity, DatasetName: name };
  await client.deleteDataset(at).promise();
  assert.equal((await tablet.synchronize()).outcome, 'deleted');
  const again = await new Device().open(name);
  await again.put('name', 'Dora');
  await sync(again);
  assert.equal((await tablet.synchronize()).outcome, 'deleted');
  const fresh = await new Device().open(name);
  await sync(fresh);
  assert.equal(await fresh.get('name'), 'Dora');
  await client.deleteDataset(at).promise();
  console.log('the story of two devices went as it should');
}

story().catch((error) => { console.error(error); process.exit(1); });
