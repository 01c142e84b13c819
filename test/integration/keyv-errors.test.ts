import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import type { TokenStore } from 'evertoken'
import { keyvStore } from 'evertoken/stores/keyv'
import { Keyv } from 'keyv'
import { describe, expect, it } from 'vitest'
import { rejection } from '../support/fixtures.ts'
import { keyvVersions } from '../support/keyv-versions.ts'
import { createTestClock } from '../support/test-clock.ts'

const later = Date.now() + 60_000
const encryption = { keys: [{ id: 'a', key: randomBytes(32) }] }

/** A store as Keyv takes it, which holds nothing and does the named thing instead. */
function adapterThat(act: (method: 'get' | 'set' | 'delete', key: string) => unknown): object {
  return {
    get: async (key: string) => act('get', key),
    set: async (key: string) => act('set', key),
    delete: async (key: string) => act('delete', key),
    clear: async () => {},
  }
}

describe.each(keyvVersions)('keyvStore and the errors of Keyv $version', ({ create }) => {
  it('throws what Keyv keeps from its callers, without message, key or value', async () => {
    const keyv = create(
      adapterThat((method, key) => {
        throw Object.assign(new Error(`${method} ${key} of a-token failed`), { code: 'a-token', name: 'a name' })
      }),
    )
    const store = keyvStore(keyv, { plaintext: true })
    const calls = [store.get('a-key'), store.set('a-key', 'a-token', later), store.delete('a-key')]
    const errors = await Promise.all(calls.map((call) => rejection(Promise.resolve(call))))
    expect(errors.map(({ message }) => message)).toEqual(
      ['get', 'set', 'delete'].map((method) => `keyv: expected an answer to ${method}, got an error`),
    )
    for (const error of errors) {
      expect(error).toMatchObject({ name: 'StoreError', code: 'store_unavailable', retryable: true })
      expect(error.cause).toBeUndefined()
      expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/a-key|a-token/)
    }
  })

  it('takes the error of one call for no other, however many run at once', async () => {
    let asked = 0
    const keyv = create(
      adapterThat(async () => {
        asked += 1
        const isFailure = asked % 2 === 1
        // All of them are under way before the first one is answered.
        while (asked < 50) await new Promise((resolve) => setImmediate(resolve))
        if (isFailure) throw new Error('every other call fails')
        return undefined
      }),
    )
    const store = keyvStore(keyv, { plaintext: true })
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, async (_, at) => store.get(`key-${at}`)))
    const statuses = outcomes.map(({ status }) => status)
    expect(statuses.filter((status) => status === 'rejected')).toHaveLength(25)
    for (const outcome of outcomes) if (outcome.status === 'fulfilled') expect(outcome.value).toBeUndefined()
  })

  it('takes an error that belongs to no call, such as that of a connection, for none', async () => {
    const keyv = create(new Map())
    const store = keyvStore(keyv, { plaintext: true })
    const setting = store.set('key', 'value', later)
    tell(keyv, new Error('socket closed'))
    await setting
    const getting = store.get('key')
    tell(keyv, new Error('socket closed'))
    expect(await getting).toBe('value')
  })

  it('takes "false" for an answer to a deletion, and for none to a write', async () => {
    const store = keyvStore(create(adapterThat((method) => (method === 'get' ? undefined : false))), {
      plaintext: true,
    })
    await store.delete('key')
    const error = await rejection(Promise.resolve(store.set('key', 'value', later)))
    expect(error).toMatchObject({ code: 'store_unavailable' })
  })

  it('listens once to a Keyv, however many stores are made of it', () => {
    const keyv = create(new Map())
    const before = keyv.listeners('error').length
    for (let n = 0; n < 200; n++) keyvStore(keyv, { plaintext: true })
    expect(keyv.listeners('error')).toHaveLength(before + 1)
  })

  it('F6.02 lets a caller go who does not wait for a store that hangs', async () => {
    const keyv = create(adapterThat(() => new Promise(() => {})))
    const reason = new Error('late')
    const controller = new AbortController()
    const store = keyvStore(keyv, { plaintext: true })
    const reading = rejection(Promise.resolve(store.get('key', { signal: controller.signal })))
    controller.abort(reason)
    expect(await reading).toBe(reason)
  })

  it('F6.02 waits a second for a write that never ends, and then makes the last one of those behind it', async () => {
    const clock = createTestClock()
    const written: string[] = []
    const entries = new Map<string, unknown>()
    let onWrite = (): void => {}
    const keyv = create({
      get: async (key: string) => entries.get(key),
      set(key: string, value: unknown) {
        written.push(String(value))
        onWrite()
        if (written.length === 1) return new Promise(() => {})
        entries.set(key, value)
        return Promise.resolve(true)
      },
      delete: async (key: string) => entries.delete(key),
      clear: async () => entries.clear(),
    })
    const store = keyvStore(keyv, { plaintext: true, clock })
    const write = async (value: string): Promise<void> => store.set('key', value, clock.now() + 60_000)
    const reached = new Promise<void>((resolve) => {
      onWrite = resolve
    })
    void write('first')
    await reached
    const waiting = Array.from({ length: 100 }, (_, at) => write(`value ${at}`))
    await clock.advance(999)
    expect(written).toEqual([expect.stringContaining('=first')])
    await clock.advance(1)
    await Promise.all(waiting)
    expect(written).toEqual([expect.stringContaining('=first'), expect.stringContaining('=value 99')])
    expect(await store.get('key')).toBe('value 99')
    await write('later')
    expect(await store.get('key')).toBe('later')
    expect(clock.pending).toBe(0)
  })

  it('writes in the order of the calls where the adapter, with several connections, would not', async () => {
    const entries = new Map<string, unknown>()
    let isFirst = true
    const keyv = create({
      get: async (key: string) => entries.get(key),
      async set(key: string, value: unknown) {
        const turns = isFirst ? 5 : 0
        isFirst = false
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
        entries.set(key, value)
      },
      delete: async (key: string) => entries.delete(key),
      clear: async () => entries.clear(),
    })
    const store = keyvStore(keyv, { encryption })
    await Promise.all([store.set('key', 'first', later), store.set('key', 'second', later)])
    expect(await store.get('key')).toBe('second')
    isFirst = true
    await Promise.all([store.set('key', 'third', later), store.delete('key')])
    expect(await store.get('key')).toBeUndefined()
  })
})

it.each<{ name: string; args: readonly unknown[]; code: string; message: string }>([
  { name: 'no Keyv', args: [undefined, { plaintext: true }], code: 'option_invalid', message: 'keyv to have a method' },
  { name: 'a map', args: [new Map(), { plaintext: true }], code: 'option_invalid', message: '"getRaw", got an object' },
  {
    name: 'a Keyv before 5.5, which has no way to tell that a read failed',
    args: [{ get() {}, set() {}, delete() {}, on() {}, off() {} }, { plaintext: true }],
    code: 'option_invalid',
    message: '"getRaw"',
  },
  {
    name: 'a Keyv that keeps its errors to itself',
    args: [new Keyv({ emitErrors: false }), { plaintext: true }],
    code: 'option_invalid',
    message: 'a Keyv that emits its errors, got one with emitErrors: false',
  },
  { name: 'no options', args: [new Keyv()], code: 'option_invalid', message: 'an object, got undefined' },
  { name: 'neither encryption nor plaintext', args: [new Keyv(), {}], code: 'option_invalid', message: 'got neither' },
  {
    name: 'both encryption and plaintext',
    args: [new Keyv(), { plaintext: true, encryption }],
    code: 'option_invalid',
    message: 'got both',
  },
  {
    name: 'plaintext that is not true',
    args: [new Keyv(), { plaintext: false }],
    code: 'option_invalid',
    message: 'plaintext to be true or absent, got a boolean',
  },
  {
    name: 'a key that is too short',
    args: [new Keyv(), { encryption: { keys: [{ id: 'a', key: randomBytes(16) }] } }],
    code: 'encryption_key_invalid',
    message: '32 bytes, got 16 bytes',
  },
  {
    name: 'a prefix that is none',
    args: [new Keyv(), { plaintext: true, prefix: null }],
    code: 'option_invalid',
    message: 'prefix to be a string, got null',
  },
  {
    name: 'a limit of nothing',
    args: [new Keyv(), { plaintext: true, maxValueBytes: 0 }],
    code: 'option_invalid',
    message: 'maxValueBytes',
  },
  {
    name: 'an option that does not exist',
    args: [new Keyv(), { plaintext: true, ttl: 1 }],
    code: 'option_unknown',
    message: '"ttl"',
  },
])('keyvStore refuses $name', ({ args, code, message }) => {
  const create = keyvStore as (...args: readonly unknown[]) => TokenStore
  expect(() => create(...args)).toThrow(expect.objectContaining({ name: 'ConfigurationError', code }))
  expect(() => create(...args)).toThrow(message)
})

function tell(keyv: object, error: Error): void {
  if (!('emit' in keyv) || typeof keyv.emit !== 'function') throw new Error('expected a Keyv that emits, got none')
  keyv.emit('error', error)
}
