// A manager that is asked for one token after another, each of another partition: `node --expose-gc many-keys.mjs <entries> <keys> <rounds>`. After each
// round it says what is in memory, a line each: bytes of the heap, and how many there are of what should not stay.

import { queryObjects } from 'node:v8'
import { createTokenManager, localLock, memoryStore, none } from 'evertoken'

const [maxEntries, keys, rounds] = process.argv.slice(2).map(Number)
/** So many callers at once. */
const AT_ONCE = 200

let issued = 0
const fetch = async () => {
  const token = { access_token: `token-${++issued}`, token_type: 'Bearer', expires_in: 3600 }
  return new Response(JSON.stringify(token), { headers: { 'content-type': 'application/json' } })
}

const timers = new Set()
const clock = {
  now: () => Date.now(),
  wallTime: () => Date.now(),
  setTimer(callback, delayMs) {
    const timer = setTimeout(() => timers.delete(timer) && callback(), delayMs)
    timers.add(timer)
    return () => {
      timers.delete(timer)
      clearTimeout(timer)
    }
  },
}

const turns = localLock()
let held = 0
const lock = async (name, task, options) => {
  held++
  try {
    return await turns(name, task, options)
  } finally {
    held--
  }
}

let listeners = 0
const invalidations = {
  publish: () => {},
  subscribe() {
    listeners++
    return () => listeners--
  },
}

const clients = { api: { tokenEndpoint: 'https://as.example/token', clientId: 'machine', authentication: none() } }
const store = memoryStore({ maxEntries, clock })
const tokens = createTokenManager({ clients, fetch, store, lock, invalidations, clock, maxEntries })
const AccessToken = Object.getPrototypeOf(await tokens.getToken('api')).constructor

async function settledBytes() {
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    globalThis.gc()
  }
  return process.memoryUsage().heapUsed
}

const count = (kind) => queryObjects(kind, { format: 'count' })
let next = 0
const startedAt = performance.now()
for (let round = 1; round <= rounds; round++) {
  const end = (keys / rounds) * round
  const lane = async () => {
    while (next < end) await tokens.getToken('api', { partition: `p${next++}` })
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  const heap = await settledBytes()
  const rest = {
    timers: timers.size,
    held,
    listeners,
    controllers: count(AbortController),
    signals: count(AbortSignal),
  }
  const left = { tokens: count(AccessToken), promises: count(Promise), ...rest }
  console.log(JSON.stringify({ keys: next, heap, ms: Math.round(performance.now() - startedAt), issued, ...left }))
}
await tokens.close()
console.log(JSON.stringify({ timers: timers.size, held, listeners, tokens: count(AccessToken) }))
