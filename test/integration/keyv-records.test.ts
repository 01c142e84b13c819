import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { localLock, type RecordStore, type WithLock } from 'evertoken'
import { type KeyvInstance, keyvRecords } from 'evertoken/stores/keyv'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createRecorder, rejection } from '../support/fixtures.ts'
import { type KeyvBackend, keyvCases } from '../support/keyv.ts'
import { keyvVersions, type TestedKeyv } from '../support/keyv-versions.ts'
import { itKeepsTheRecordContract } from '../support/record-store-contract.ts'
import { createTestClock } from '../support/test-clock.ts'
import { createGate } from '../support/user-fleet.ts'

const encryption = { keys: [{ id: '2026-01', key: randomBytes(32) }] }
const wallClock = { now: () => Date.now() }
const DAY = 24 * 60 * 60 * 1000
const later = (): number => Date.now() + 60_000

for (const { title, name, isMissing, start, version } of keyvCases) {
  describe.skipIf(isMissing)(`keyvRecords with ${title}`, () => {
    let backend: KeyvBackend
    const keyvs: TestedKeyv[] = []
    beforeAll(async () => {
      backend = await start(version)
      for (let at = 0; at < 2; at++) keyvs.push(await backend.connect())
    })
    beforeEach(() => keyvs[0]?.clear())
    afterAll(() => backend?.stop())

    /** Two processes with one lock, which is on another machine as far as they know. */
    const create = (options: Partial<Parameters<typeof keyvRecords>[1]> = {}): readonly [RecordStore, RecordStore] => {
      const lock = localLock()
      const records = keyvs.map((keyv) =>
        keyvRecords(keyv, { plaintext: true, lock, deadlineMs: 10_000, ...options } as Parameters<
          typeof keyvRecords
        >[1]),
      )
      return records as unknown as [RecordStore, RecordStore]
    }

    describe('encrypted', () => {
      itKeepsTheRecordContract(() => ({ processes: create({ plaintext: undefined, encryption }), clock: wallClock }))
    })

    describe('in clear', () => {
      itKeepsTheRecordContract(() => ({ processes: create(), clock: wallClock }))
    })

    it('A6.11 shows neither key nor value of an encrypted record', async () => {
      const [records] = create({ plaintext: undefined, encryption })
      await records.put('a-session', 'a-refresh-token', { version: 1, expiresAt: later() })
      expect(await records.get('a-session')).toBe('a-refresh-token')
      expect(await backend.image()).not.toMatch(/a-session|a-refresh-token/)
      const [key = ''] = (await backend.entries()).keys()
      expect(key).toMatch(/evertoken:record:[\w-]{43}$/)
    })

    it('F6.13 tells Keyv a length of time, and goes by its own clock itself', async () => {
      const clock = createTestClock(Date.UTC(1999, 0, 1))
      const [records] = create({ clock })
      await records.put('key', 'value', { version: 1, expiresAt: clock.now() + 60_000 })
      const [text = ''] = (await backend.entries()).values()
      const { expires } = JSON.parse(text)
      expect(expires).toBeGreaterThan(Date.now() + DAY + 50_000)
      expect(expires).toBeLessThanOrEqual(Date.now() + DAY + 60_000)
      await clock.advance(60_000)
      expect(await records.get('key')).toBeUndefined()
      expect(await records.put('key', 'again', { version: 0, expiresAt: clock.now() + 60_000 })).toBe(true)
    })

    it.each<{ name: string; planted: string; reason?: string }>([
      { name: 'what is no JSON', planted: 'random \u0001 bytes' },
      { name: 'an envelope of nothing', planted: '{}' },
      { name: 'a value without a version', planted: JSON.stringify({ value: '{"refreshToken":"planted"}' }) },
      {
        name: 'a value too large',
        planted: JSON.stringify({ value: `1.${later()}=${'€'.repeat(87_382)}` }),
        reason: 'too_long',
      },
    ])('F6.03 misses and tells of $name, leaves it, and replaces it at the next write', async (row) => {
      const { planted, reason = 'malformed' } = row
      const recorder = createRecorder()
      const [records] = create({ telemetry: recorder })
      await records.put('key', 'value', { version: 1, expiresAt: later() })
      const [key = ''] = (await backend.entries()).keys()
      await backend.write(key, planted)
      expect(await records.get('key')).toBeUndefined()
      expect(recorder.events).toEqual([{ name: 'entry_ignored', reason }])
      expect((await backend.entries()).get(key)).toBe(planted)
      expect(await records.put('key', 'value', { version: 2, expiresAt: later() })).toBe(true)
      expect(await records.get('key')).toBe('value')
    })

    if (name !== 'Map')
      it('F6.01 says so when what Keyv stores in is down, without what was sent, and works again when it is up', async () => {
        const [records] = create()
        await records.put('a-key', 'a-token', { version: 1, expiresAt: later() })
        const unlock = await backend.lock?.()
        await backend.server?.kill()
        const calls = [
          async () => records.get('a-key'),
          async () => records.put('a-key', 'a-token', { version: 2, expiresAt: later() }),
          async () => records.delete('a-key'),
        ]
        const errors = await Promise.all(calls.map((call) => rejection(call())))
        await unlock?.()
        await backend.server?.start()
        for (const error of errors) {
          expect(error).toMatchObject({ name: 'StoreError', code: 'store_unavailable', retryable: true })
          expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/a-key|a-token/)
        }
        const works = async (): Promise<unknown> => {
          await records.put('key', 'value', { version: Date.now(), expiresAt: later() })
          return records.get('key')
        }
        await expect.poll(() => works().catch(() => undefined), { timeout: 10_000 }).toBe('value')
      })
  })
}

for (const { title, isMissing, start, version } of keyvCases.filter(({ name }) => name === 'SQLite')) {
  describe.skipIf(isMissing)(`keyvRecords of several processes with ${title}`, () => {
    let backend: KeyvBackend
    const processes: RecordStore[] = []
    beforeAll(async () => {
      backend = await start(version)
      const lock = localLock()
      for (let n = 0; n < 4; n++)
        processes.push(keyvRecords(await backend.connect(), { plaintext: true, lock, deadlineMs: 5000 }))
    })
    afterAll(() => backend?.stop())

    it('F6.02 tries again while another one has the file to itself', async () => {
      const unlock = await backend.lock?.()
      const [records] = processes
      const writing = records?.put('key', 'value', { version: 1, expiresAt: later() })
      const reading = records?.get('another')
      setTimeout(() => unlock?.(), 300)
      expect([await writing, await reading]).toEqual([true, undefined])
      expect(await records?.get('key')).toBe('value')
    })

    it('U6 all of 160 writes at once succeed', async () => {
      const writes = processes.flatMap((records, at) =>
        Array.from({ length: 40 }, (_, n) =>
          records.put(`key-${at}-${n}`, 'x'.repeat(3000), { version: 1, expiresAt: later() }),
        ),
      )
      expect(new Set(await Promise.all(writes))).toEqual(new Set([true]))
    })
  })
}

describe.each(keyvVersions)('a Keyv $version that finds a record which has just expired', ({ create }) => {
  it('U6 F5.10 does not delete what was written in its place meanwhile', async () => {
    const entries = new Map<string, unknown>()
    let isSlow = false
    const opened = createGate()
    const adapter = (mayBeSlow: boolean) => ({
      get: async (key: string) => entries.get(key),
      async set(key: string, value: unknown) {
        entries.set(key, value)
        return true
      },
      async delete(key: string) {
        if (mayBeSlow && isSlow) await opened.opened
        return entries.delete(key)
      },
      clear: async () => entries.clear(),
      on: () => {},
      opts: {},
    })
    const lock = localLock()
    const [reader, writer] = [true, false].map((mayBeSlow) =>
      keyvRecords(create(adapter(mayBeSlow)), { plaintext: true, lock }),
    ) as [RecordStore, RecordStore]
    await writer.put('key', 'idle', { version: 1, expiresAt: Date.now() + 20 })
    await expect.poll(() => writer.get('key')).toBeUndefined()
    isSlow = true
    const reading = reader.get('key')
    // The user signs in again; it is the same record, as that of a subject always is.
    expect(await writer.put('key', 'signed in', { version: 2, expiresAt: later() })).toBe(true)
    opened.open()
    expect(await reading).not.toBe('idle')
    expect(await writer.get('key')).toBe('signed in')
  })
})

describe('keyvRecords and its lock', () => {
  /** A Keyv over a map, whose reads and writes take place when the test says so. */
  function heldKeyv(): {
    readonly keyv: KeyvInstance
    readonly waiting: string[]
    readonly go: () => void
    isHeld: boolean
  } {
    const entries = new Map<string, string>()
    const doors: (() => void)[] = []
    const held = {
      waiting: [] as string[],
      isHeld: false,
      go: () => doors.shift()?.(),
      keyv: undefined as unknown as KeyvInstance,
    }
    const pass = async (name: string): Promise<void> => {
      held.waiting.push(name)
      if (held.isHeld) await new Promise<void>((resolve) => doors.push(resolve))
    }
    held.keyv = {
      async getRaw(key) {
        // What it gives is what was there when it was asked.
        const found = entries.has(key) ? { value: entries.get(key) } : undefined
        await pass('get')
        return found
      },
      async set(key, value) {
        await pass('set')
        entries.set(key, value)
        return true
      },
      async delete(key) {
        await pass('delete')
        return entries.delete(key)
      },
      on: () => {},
      off: () => {},
    }
    return held
  }

  it('F5.10 does not write when the lock was lost after the comparison', async () => {
    let lose: (() => void) | undefined
    const lossy: WithLock = async (_name, task, { onLost } = {}) => {
      lose = onLost
      return task()
    }
    const held = heldKeyv()
    const slow = keyvRecords(held.keyv, { plaintext: true, lock: lossy })
    const records = keyvRecords(held.keyv, { plaintext: true, lock: localLock() })
    held.isHeld = true
    const late = rejection(Promise.resolve(slow.put('key', 'late', { version: 1, expiresAt: later() })))
    await expect.poll(() => held.waiting).toEqual(['get'])
    held.isHeld = false
    await records.put('key', 'newer', { version: 2, expiresAt: later() })
    lose?.()
    held.go()
    expect(await late).toMatchObject({ name: 'StoreError', code: 'lock_unavailable' })
    expect(await records.get('key')).toBe('newer')
  })

  it('F5.10 does not write when nobody waits for it any more, and keeps the lock until Keyv has answered', async () => {
    const clock = createTestClock()
    const held = heldKeyv()
    const records = keyvRecords(held.keyv, { plaintext: true, lock: localLock(), clock })
    held.isHeld = true
    const late = rejection(Promise.resolve(records.put('key', 'late', { version: 1, expiresAt: clock.now() + 60_000 })))
    await expect.poll(() => held.waiting).toEqual(['get'])
    held.isHeld = false
    await clock.advance(1000)
    expect(await late).toMatchObject({ name: 'StoreError', code: 'store_timeout' })
    const next = records.put('key', 'next', { version: 2, expiresAt: clock.now() + 60_000 })
    held.go()
    expect(await next).toBe(true)
    expect(held.waiting).toEqual(['get', 'get', 'set'])
    expect(await records.get('key')).toBe('next')
  })

  it('gives what the lock throws, and has written nothing', async () => {
    const down: WithLock = async () => {
      throw new Error('no lock')
    }
    const { keyv, waiting } = heldKeyv()
    const records = keyvRecords(keyv, { plaintext: true, lock: down })
    const error = await rejection(Promise.resolve(records.put('key', 'value', { version: 1, expiresAt: later() })))
    expect(error.message).toBe('no lock')
    expect(waiting).toEqual([])
  })

  it('takes turns under a name that is not that of the record, with the signal of the deadline', async () => {
    const names: string[] = []
    const lock: WithLock = async (name, task) => {
      names.push(name)
      return task()
    }
    const { keyv } = heldKeyv()
    const records = keyvRecords(keyv, { plaintext: true, lock, prefix: 'app:' })
    await records.put('a-key', 'value', { version: 1, expiresAt: later() })
    await records.delete('a-key')
    await records.get('a-key')
    expect(names).toEqual([expect.stringMatching(/^record:app:record:[\w-]{43}$/), names[0]])
  })

  it.each<{ name: string; options: unknown; code: string; message: string }>([
    {
      name: 'no lock',
      options: { plaintext: true },
      code: 'option_invalid',
      message: 'lock to be a function, got undefined',
    },
    {
      name: 'a lock that is none',
      options: { plaintext: true, lock: {} },
      code: 'option_invalid',
      message: 'lock to be a function, got an object',
    },
    {
      name: 'neither encryption nor plaintext',
      options: { lock: localLock() },
      code: 'option_invalid',
      message: 'got neither',
    },
    {
      name: 'an option that does not exist',
      options: { plaintext: true, lock: localLock(), ttl: 1 },
      code: 'option_unknown',
      message: '"ttl"',
    },
  ])('refuses $name', ({ options, code, message }) => {
    const create = keyvRecords as (...args: readonly unknown[]) => RecordStore
    const { keyv } = heldKeyv()
    expect(() => create(keyv, options)).toThrow(expect.objectContaining({ name: 'ConfigurationError', code }))
    expect(() => create(keyv, options)).toThrow(message)
  })
})
