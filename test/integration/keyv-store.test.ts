import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import type { TokenStore } from 'evertoken'
import { keyvStore } from 'evertoken/stores/keyv'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createRecorder, rejection } from '../support/fixtures.ts'
import { type KeyvBackend, keyvCases } from '../support/keyv.ts'
import type { TestedKeyv } from '../support/keyv-versions.ts'
import { createTestClock } from '../support/test-clock.ts'
import { itKeepsTheStoreContract } from '../support/token-store-contract.ts'

const encryption = { keys: [{ id: '2026-01', key: randomBytes(32) }] }
const wallClock = { now: () => Date.now() }
const DAY_MS = 86_400_000
const LONGEST_MS = 2 ** 31 - 1

for (const { title, name, isMissing, start, version } of keyvCases) {
  describe.skipIf(isMissing)(`keyvStore with ${title}`, () => {
    let backend: KeyvBackend
    let keyv: TestedKeyv
    beforeAll(async () => {
      backend = await start(version)
      keyv = await backend.connect()
    })
    beforeEach(() => keyv.clear())
    afterAll(() => backend?.stop())

    /** The key of the only entry. */
    async function onlyName(): Promise<string> {
      const [name = '', ...others] = (await backend.entries()).keys()
      expect(others).toEqual([])
      return name
    }

    describe('encrypted', () => {
      itKeepsTheStoreContract(() => ({ store: keyvStore(keyv, { encryption }), clock: wallClock }))
    })

    describe('in clear', () => {
      itKeepsTheStoreContract(() => ({ store: keyvStore(keyv, { plaintext: true }), clock: wallClock }))
    })

    it('A1.04 keeps apart what has another prefix', async () => {
      const one = keyvStore(keyv, { plaintext: true, prefix: 'one:' })
      const other = keyvStore(keyv, { plaintext: true })
      await one.set('key', 'value', Date.now() + 60_000)
      expect(await onlyName()).toMatch(/one:token:[\w-]{43}$/)
      expect(await other.get('key')).toBeUndefined()
    })

    it('F6.13 tells Keyv a length of time, and goes by its own clock itself', async () => {
      const clock = createTestClock(Date.UTC(1999, 0, 1))
      const store = keyvStore(keyv, { plaintext: true, clock })
      await store.set('key', 'value', clock.now() + 60_000)
      const { expires } = JSON.parse((await backend.entries()).get(await onlyName()) ?? '')
      expect(expires).toBeGreaterThan(Date.now() + 50_000)
      expect(expires).toBeLessThanOrEqual(Date.now() + 60_000)
      await clock.advance(59_999)
      expect(await store.get('key')).toBe('value')
      await clock.advance(1)
      expect(await store.get('key')).toBeUndefined()
    })

    it.each([
      { name: 'ten years', lifetimeMs: 3650 * DAY_MS },
      { name: 'for ever', lifetimeMs: Number.POSITIVE_INFINITY },
    ])('asks Keyv to keep for 24.8 days what lasts $name', async ({ lifetimeMs }) => {
      const store = keyvStore(keyv, { plaintext: true })
      await store.set('key', 'value', Date.now() + lifetimeMs)
      const { expires } = JSON.parse((await backend.entries()).get(await onlyName()) ?? '')
      expect(expires).toBeGreaterThan(Date.now() + LONGEST_MS - 10_000)
      expect(expires).toBeLessThanOrEqual(Date.now() + LONGEST_MS)
      expect(await store.get('key')).toBe('value')
    })

    it.each<{ name: string; planted: string; reason?: string }>([
      { name: 'what is no JSON', planted: 'random \u0001 bytes' },
      { name: 'half of an entry', planted: '{"value":"123=half' },
      { name: 'JSON that is no envelope', planted: '5' },
      { name: 'an envelope of nothing', planted: '{}' },
      { name: 'a value that is no text', planted: '{"value":{"accessToken":"planted"}}' },
      { name: 'a value without its mark', planted: '{"value":"{\\"accessToken\\":\\"planted\\"}"}' },
      { name: 'a value one byte too large', planted: planted('v'.repeat(262_145)), reason: 'too_long' },
      { name: 'a large value of three bytes a character', planted: planted('€'.repeat(87_382)), reason: 'too_long' },
      { name: 'a value of 5 MB', planted: planted('v'.repeat(5_000_000)), reason: 'too_long' },
    ])('F6.03 misses, deletes and tells of $name', async ({ planted, reason = 'malformed' }) => {
      const recorder = createRecorder()
      const store = keyvStore(keyv, { plaintext: true, telemetry: recorder })
      await store.set('key', 'value', Date.now() + 60_000)
      await backend.write(await onlyName(), planted)
      expect(await store.get('key')).toBeUndefined()
      expect([...(await backend.entries())]).toEqual([])
      expect(recorder.events).toEqual([{ name: 'entry_ignored', reason }])
      await store.set('key', 'value', Date.now() + 60_000)
      expect(await store.get('key')).toBe('value')
    })

    it('keeps a value of exactly as many bytes as may be, and none of one more, nor the one before it', async () => {
      const recorder = createRecorder()
      const store = keyvStore(keyv, { plaintext: true, maxValueBytes: 30, telemetry: recorder })
      await store.set('key', '€'.repeat(10), Date.now() + 60_000)
      expect(await store.get('key')).toBe('€'.repeat(10))
      await store.set('key', `${'€'.repeat(10)}x`, Date.now() + 60_000)
      expect(await store.get('key')).toBeUndefined()
      expect(recorder.events).toEqual([{ name: 'entry_ignored', reason: 'too_long' }])
    })

    const outage =
      'F6.01 says so when what Keyv stores in is down, without what was sent, and works again when it is up'
    if (name !== 'Map')
      it(outage, async () => {
        const store = keyvStore(keyv, { plaintext: true })
        await store.set('a-key', 'a-token', Date.now() + 60_000)
        const unlock = await backend.lock?.()
        await backend.server?.kill()
        const calls = ['get', 'set', 'delete'] as const
        const errors = await Promise.all(calls.map((method) => rejection(callsOf(store)[method]())))
        await unlock?.()
        await backend.server?.start()
        for (const [at, error] of errors.entries()) {
          expect(error).toMatchObject({ name: 'StoreError', code: 'store_unavailable', retryable: true })
          expect(error.message).toMatch(new RegExp(`^keyv: expected an answer to ${calls[at]}, got \\w+$`))
          expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/a-key|a-token/)
        }
        const works = async (): Promise<unknown> => {
          await store.set('key', 'value', Date.now() + 60_000)
          return store.get('key')
        }
        await expect.poll(() => works().catch(() => undefined), { timeout: 10_000 }).toBe('value')
      })
  })
}

/** As Keyv keeps a value that was set here. */
function planted(value: string): string {
  return JSON.stringify({ value: `${Date.now() + 60_000}=${value}` })
}

function callsOf(store: TokenStore): Record<'get' | 'set' | 'delete', () => Promise<unknown>> {
  return {
    get: async () => store.get('a-key'),
    set: async () => store.set('a-key', 'a-token', Date.now() + 60_000),
    delete: async () => store.delete('a-key'),
  }
}
