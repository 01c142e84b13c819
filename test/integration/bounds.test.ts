import { execFile } from 'node:child_process'
import { setMaxListeners } from 'node:events'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Fetch } from 'evertoken'
import { describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { settle } from '../support/test-clock.ts'

setFlagsFromString('--expose_gc')
const collectGarbage: () => void = runInNewContext('gc')

/** The heap in bytes, without what nobody holds. */
function heapInUse(): number {
  collectGarbage()
  collectGarbage()
  return process.memoryUsage().heapUsed
}

const ROUNDS = 4
const PER_ROUND = 12_500
const MIB = 1024 * 1024

/** Answers at once with a token of its own for every request, and counts. */
function countingFetch(): Fetch & { readonly calls: number } {
  let calls = 0
  const fetch: Fetch = async () => {
    const token = { access_token: `token-${++calls}`, token_type: 'Bearer', expires_in: 3600 }
    return new Response(JSON.stringify(token), { headers: { 'content-type': 'application/json' } })
  }
  return Object.defineProperty(fetch, 'calls', { get: () => calls }) as Fetch & { readonly calls: number }
}

/** Work on numbers from `from` to `to`, so many at a time. What is held weakly goes when a turn ends, so turns do end. */
async function inBatches(
  { from, to, size = 500 }: { readonly from: number; readonly to: number; readonly size?: number },
  work: (n: number) => Promise<unknown>,
): Promise<void> {
  for (let start = from; start < to; start += size) {
    await Promise.all(Array.from({ length: Math.min(size, to - start) }, (_, i) => work(start + i)))
    await settle()
  }
}

describe('F8.07 A8.02 what varies without end', () => {
  test('F8.07 A8.02 50,000 partitions through 1,000 entries: the heap does not grow with them', async ({
    manage,
    clock,
  }) => {
    const fetch = countingFetch()
    const tokens = manage({}, { fetch, maxEntries: 1000, telemetry: undefined })
    const get = (n: number) => tokens.getToken('api', { partition: `p${n}` })
    const heap: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      await inBatches({ from: round * PER_ROUND, to: (round + 1) * PER_ROUND }, get)
      heap.push(heapInUse())
    }
    expect(fetch.calls).toBe(ROUNDS * PER_ROUND)
    // After the first round the memory is full; whatever stayed of the others would be 80 bytes each already.
    expect((heap.at(-1) ?? 0) - (heap[0] ?? 0)).toBeLessThan(3 * MIB)

    const newest = ROUNDS * PER_ROUND - 1
    expect((await get(newest)).accessToken).toBe(`token-${newest + 1}`)
    expect((await get(newest - 999)).expiresAt).toBeGreaterThan(clock.now())
    expect(fetch.calls).toBe(ROUNDS * PER_ROUND)
    await get(0)
    await get(newest - 1000)
    expect(fetch.calls).toBe(ROUNDS * PER_ROUND + 2)
    expect(clock.pending).toBe(0)
  }, 120_000)

  const variations = {
    scope: (n: number) => ({ scope: `s${n}` }),
    resource: (n: number) => ({ resource: `https://api-${n}.example` }),
    parameters: (n: number) => ({ parameters: { audience: `a${n}` } }),
  }
  for (const [name, vary] of Object.entries(variations)) {
    test(`A8.02 ${name} that varies pushes out what was not used for longest`, async ({ manage }) => {
      const fetch = countingFetch()
      const tokens = manage({}, { fetch, maxEntries: 100 })
      const get = (n: number) => tokens.getToken('api', vary(n))
      await inBatches({ from: 0, to: 100 }, get)
      await get(0)
      await get(100)
      expect(fetch.calls).toBe(101)
      await get(0)
      expect(fetch.calls).toBe(101)
      await get(1)
      expect(fetch.calls).toBe(102)
    })
  }

  test("A8.02 the client's own token is never pushed out", async ({ manage }) => {
    const fetch = countingFetch()
    const tokens = manage({}, { fetch, maxEntries: 1 })
    await tokens.getToken('api')
    await inBatches({ from: 0, to: 100 }, (n) => tokens.getToken('api', { partition: `p${n}` }))
    expect((await tokens.getToken('api')).accessToken).toBe('token-1')
    expect(fetch.calls).toBe(101)
  })

  test('A8.02 sources and authorizers that vary are bounded too', async ({ manage }) => {
    const tokens = manage({}, { fetch: countingFetch(), maxEntries: 100, telemetry: undefined })
    const make = (n: number): void => {
      tokens.source('api', { partition: `p${n}` })
      tokens.authorizer('api', { baseUrl: 'https://api.example' }, { partition: `q${n}` })
    }
    for (let n = 0; n < 20_000; n++) make(n)
    const before = heapInUse()
    for (let n = 20_000; n < 100_000; n++) make(n)
    expect(heapInUse() - before).toBeLessThan(3 * MIB)
  }, 120_000)

  test('A8.02 requests that fail leave as little behind', async ({ manage, clock }) => {
    const fetch: Fetch = async () =>
      new Response('{"error":"invalid_scope"}', { status: 400, headers: { 'content-type': 'application/json' } })
    const tokens = manage({}, { fetch, maxEntries: 100, telemetry: undefined })
    const fail = (n: number) => tokens.getToken('api', { partition: `p${n}` }).catch(() => {})
    await inBatches({ from: 0, to: 2000 }, fail)
    const before = heapInUse()
    await inBatches({ from: 2000, to: 12_000 }, fail)
    expect(heapInUse() - before).toBeLessThan(2 * MIB)
    expect(clock.pending).toBe(0)
  }, 120_000)
})

describe('C8 F8.07 A8.02 a store, a lock and news beside it', () => {
  interface Left {
    readonly heap: number
    readonly [what: string]: number
  }
  const ENTRIES = 10_000
  const program = fileURLToPath(new URL('../support/programs/many-keys.mjs', import.meta.url))

  /** What is in the memory of a process of its own after so many keys, round by round, and after `close`. */
  async function leftAfter({ keys, rounds }: { readonly keys: number; readonly rounds: number }): Promise<Left[]> {
    const args = ['--expose-gc', '--no-warnings', program, ...[ENTRIES, keys, rounds].map(String)]
    const { stdout } = await promisify(execFile)(process.execPath, args)
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Left)
  }

  // A million take minutes: they are a benchmark, `keys`.
  test('C8 F8.07 A8.02 60,000 keys through 10,000 entries: memory stays as it is when it is full, and nothing is left of what has ended', {
    timeout: 300_000,
  }, async () => {
    const all = await leftAfter({ keys: 60_000, rounds: 3 })
    const [closed, ...rounds] = all.toReversed()
    const heaps = rounds.map(({ heap }) => heap)
    expect(Math.max(...heaps) / Math.min(...heaps)).toBeLessThan(1.1)
    for (const { issued, tokens, promises, timers, held, listeners, controllers, signals } of rounds) {
      expect(issued).toBeGreaterThan(ENTRIES)
      // One for each slot, and the client's own.
      expect(tokens).toBeLessThanOrEqual(ENTRIES + 1)
      expect(promises).toBeLessThan(ENTRIES + 1000)
      // What is under way has a controller: of all of it none is left, nor of the signals.
      expect({ timers, held, listeners, controllers, signals }).toEqual({
        timers: 0,
        held: 0,
        listeners: 1,
        controllers: 0,
        signals: 0,
      })
    }
    expect(closed).toEqual({ timers: 0, held: 0, listeners: 0, tokens: 0 })
  })
})

describe('F8.03 F8.07 nothing under way at rest', () => {
  test('F8.03 F8.07 10,000 cold gets leave no timer, and nothing to wait for', async ({ manage, clock }) => {
    const tokens = manage({}, { fetch: countingFetch() })
    await inBatches({ from: 0, to: 10_000, size: 10_000 }, (n) => tokens.getToken('api', { partition: `p${n}` }))
    expect(clock.pending).toBe(0)
    await tokens.close()
    expect(clock.pending).toBe(0)
  }, 120_000)

  test('F8.07 10,000 callers that gave up leave no timer once the request has ended', async ({ manage, clock }) => {
    const tokens = manage({}, { fetch: () => new Promise(() => {}) })
    const abort = new AbortController()
    setMaxListeners(0, abort.signal)
    const pending = Array.from({ length: 10_000 }, (_, n) =>
      tokens.getToken('api', { partition: `p${n % 10}` }, { signal: abort.signal }).catch(() => {}),
    )
    await clock.untilPending(10)
    abort.abort()
    await Promise.all(pending)
    await clock.advance(10_000)
    expect(clock.pending).toBe(0)
  }, 120_000)
})
