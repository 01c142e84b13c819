import { randomBytes, webcrypto } from 'node:crypto'
import { inspect } from 'node:util'
import {
  type EncryptedStoreOptions,
  type EncryptionKeys,
  encryptedStore,
  memoryStore,
  prefixedStore,
  type TokenStore,
} from 'evertoken'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canary, expectNoCanary } from '../support/canaries.ts'
import { createRecorder, type Recorder } from '../support/fixtures.ts'
import { createTestClock, type TestClock } from '../support/test-clock.ts'
import { itKeepsTheStoreContract } from '../support/token-store-contract.ts'

const KEY = randomBytes(32)
const RING: EncryptionKeys = { keys: [{ id: 'one', key: KEY }] }
const LIFETIME_MS = 3_600_000

interface Subject {
  readonly store: TokenStore
  /** What lies behind it, as somebody with access to it sees it. */
  readonly raw: TokenStore & { readonly calls: string[] }
  readonly clock: TestClock
  readonly recorder: Recorder
  /** When entries of a test expire. */
  readonly later: number
  /** Another process with the same store. */
  readonly another: (keys?: EncryptionKeys, options?: EncryptedStoreOptions) => TokenStore
}

function subject(keys: EncryptionKeys = RING, options: EncryptedStoreOptions = {}): Subject {
  const clock = createTestClock()
  const recorder = createRecorder()
  const raw = counted(memoryStore({ clock }))
  const another: Subject['another'] = (otherKeys = keys, others = {}) =>
    encryptedStore(raw, otherKeys, { clock, telemetry: recorder, ...options, ...others })
  return { store: another(), raw, clock, recorder, later: clock.now() + LIFETIME_MS, another }
}

function counted(store: TokenStore): Subject['raw'] {
  const calls: string[] = []
  return {
    calls,
    get: (key) => {
      calls.push(`get ${key}`)
      return store.get(key)
    },
    set: (key, value, expiresAt) => {
      calls.push(`set ${key}`)
      return store.set(key, value, expiresAt)
    },
    delete: (key) => {
      calls.push(`delete ${key}`)
      return store.delete(key)
    },
  }
}

async function textAt({ raw }: Subject, key: string): Promise<string> {
  return (await raw.get(key)) ?? expect.fail(`nothing at ${key}`)
}

describe('C3 an encrypted store', () => {
  itKeepsTheStoreContract(() => {
    const clock = createTestClock()
    return { store: encryptedStore(memoryStore({ clock }), RING, { clock }), clock, advance: clock.advance }
  })

  it('gives back whatever it was given, to every process with the key', async () => {
    const { store, later, another } = subject()
    const other = another()
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), async (key, value) => {
        await store.set(key, value, later)
        expect([await store.get(key), await other.get(key)]).toEqual([value, value])
      }),
    )
    for (const half of ['\ud800', 'a\udc00b']) {
      await store.set(half, half, later)
      expect(await other.get(half)).toBe(half)
    }
  })

  it('shows neither value nor key of an entry, not twice the same text, and which key it was encrypted with', async () => {
    const token = canary('token')
    const each = subject()
    await each.store.set('name-of-the-entry', token, each.later)
    const first = await textAt(each, 'name-of-the-entry')
    await each.store.set('name-of-the-entry', token, each.later)
    const second = await textAt(each, 'name-of-the-entry')
    expectNoCanary(
      [first, second, ...first.split('.').map((part) => Buffer.from(part, 'base64url').toString())],
      [token],
    )
    const [ours, theirs] = [first.split('.'), second.split('.')]
    expect([ours.slice(0, 2), theirs.slice(0, 2)]).toEqual([
      ['v1', 'one'],
      ['v1', 'one'],
    ])
    expect(ours[2]).not.toBe(theirs[2])
    expect(ours[3]?.slice(0, 16)).not.toBe(theirs[3]?.slice(0, 16))
  })

  it('draws an IV of 96 bits for every write, none twice in 10,000', async () => {
    const ivs = new Set<string>()
    const raw: TokenStore = {
      get: () => undefined,
      set: (_, text) => void ivs.add(text.split('.')[2] ?? ''),
      delete: () => {},
    }
    const store = encryptedStore(raw, RING)
    await Promise.all(Array.from({ length: 10_000 }, () => store.set('key', 'value', Date.now() + 1000)))
    expect([ivs.size, new Set([...ivs].map((iv) => Buffer.from(iv, 'base64url').length))]).toEqual([
      10_000,
      new Set([12]),
    ])
  })

  it('keeps what was set last of a thousand, and deletes what was set before', async () => {
    const { store, raw, later } = subject()
    const writes = Array.from({ length: 1000 }, (_, at) => store.set('key', `${at}`.repeat((at * 37) % 997), later))
    await Promise.all([...writes, store.set('key', 'last', later)])
    expect(await store.get('key')).toBe('last')
    await Promise.all([store.set('key', 'x'.repeat(100_000), later), store.delete('key')])
    expect([await store.get('key'), raw.calls.at(-2)]).toEqual([undefined, 'delete key'])
  })

  it('keeps what does not end', async () => {
    const { store, clock } = subject()
    await store.set('key', 'value', Number.POSITIVE_INFINITY)
    await clock.advance(1e12)
    expect(await store.get('key')).toBe('value')
  })

  it('passes failures of the store on, those of a deletion that nobody asked for excepted', async () => {
    const down = Promise.reject(new Error('down'))
    down.catch(() => {})
    const failing = encryptedStore({ get: () => down, set: () => down, delete: () => down }, RING)
    await expect(failing.get('key')).rejects.toThrow('down')
    await expect(failing.set('key', 'value', 0)).rejects.toThrow('down')
    await expect(failing.delete('key')).rejects.toThrow('down')
    const lying = encryptedStore({ get: () => 'rubbish', set: () => {}, delete: () => down }, RING)
    expect(await lying.get('key')).toBeUndefined()
  })
})

describe('F6.03 entries that are none', () => {
  const rubbish: readonly { readonly name: string; readonly text: unknown; readonly reason?: string }[] = [
    { name: 'null, as Redis says it', text: null },
    { name: 'nothing in it', text: '', reason: 'malformed' },
    { name: 'random bytes', text: randomBytes(300).toString('latin1'), reason: 'malformed' },
    { name: 'random base64url', text: randomBytes(300).toString('base64url'), reason: 'malformed' },
    { name: 'a token in clear', text: '{"version":1,"accessToken":"t","tokenType":"Bearer"}', reason: 'malformed' },
    { name: 'a gzip bomb', text: `\x1f\x8b\b\0${'\0'.repeat(60_000)}`, reason: 'malformed' },
    { name: 'a number', text: 7, reason: 'malformed' },
    { name: 'bytes', text: randomBytes(32), reason: 'malformed' },
    { name: 'an object', text: { value: 'token' }, reason: 'malformed' },
    { name: 'dots alone', text: '...', reason: 'malformed' },
    { name: '100,000 dots', text: '.'.repeat(100_000), reason: 'malformed' },
    { name: '50 MB', text: 'v'.repeat(50_000_000), reason: 'too_long' },
    { name: 'one character too many', text: 'v1.one.'.padEnd(262_145, 'A'), reason: 'too_long' },
    { name: 'a later version', text: 'v2.one.AAAAAAAAAAAAAAAA.AAAA', reason: 'unknown_version' },
    { name: 'a later version in another form', text: 'v12.{"key":"one"}', reason: 'unknown_version' },
    { name: 'no ciphertext', text: 'v1.one.AAAAAAAAAAAAAAAA.', reason: 'malformed' },
    { name: 'less than a tag', text: 'v1.one.AAAAAAAAAAAAAAAA.AAAA', reason: 'not_authentic' },
    { name: 'a short IV', text: 'v1.one.AAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAA', reason: 'malformed' },
    { name: 'an id with a character of none', text: 'v1.o$e.AAAAAAAAAAAAAAAA.AAAA', reason: 'malformed' },
    { name: 'five parts', text: 'v1.one.AAAAAAAAAAAAAAAA.AAAA.AAAA', reason: 'malformed' },
  ]
  it.each(rubbish)('F6.03 counts $name as missing', async ({ text, reason }) => {
    const recorder = createRecorder()
    const deleted: string[] = []
    const raw = { get: () => text, set: () => {}, delete: (key: string) => void deleted.push(key) }
    const store = encryptedStore(raw as unknown as TokenStore, RING, { telemetry: recorder })
    const startedAt = performance.now()
    expect(await store.get('key')).toBeUndefined()
    expect(performance.now() - startedAt).toBeLessThan(1000)
    expect(recorder.events).toEqual(reason === undefined ? [] : [{ name: 'entry_ignored', reason }])
    expect(deleted).toEqual(reason === undefined || reason === 'unknown_version' ? [] : ['key'])
  })

  it('F6.03 counts every beginning of an entry as missing, and every continuation', async () => {
    const each = subject()
    await each.store.set('key', 'value', each.later)
    const text = await textAt(each, 'key')
    for (let length = 0; length < text.length; length++) {
      await each.raw.set('key', text.slice(0, length), each.later)
      expect(await each.store.get('key')).toBeUndefined()
    }
    for (const more of ['A', 'AAAA', '.', '=', ' ', '\n']) {
      await each.raw.set('key', text + more, each.later)
      expect(await each.store.get('key')).toBeUndefined()
    }
    await each.raw.set('key', text, each.later)
    expect(await each.store.get('key')).toBe('value')
  })

  it('F6.03 counts an entry with any bit of it flipped as missing', async () => {
    // Values of three lengths, so that base64url ends with none, two and four bits that are not read.
    for (const value of ['value', 'value-', 'value--']) {
      const each = subject()
      await each.store.set('key', value, each.later)
      const text = await textAt(each, 'key')
      for (let at = 0; at < text.length; at++) {
        for (let bit = 0; bit < 8; bit++) {
          const flipped = String.fromCharCode(text.charCodeAt(at) ^ (1 << bit))
          await each.raw.set('key', text.slice(0, at) + flipped + text.slice(at + 1), each.later)
          expect(await each.store.get('key'), `bit ${bit} of character ${at}`).toBeUndefined()
        }
      }
      await each.raw.set('key', text, each.later)
      expect(await each.store.get('key')).toBe(value)
    }
  })

  it('F6.03 counts whatever is written over an entry as missing', async () => {
    const { store, raw, later } = subject()
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.base64String().map((text) => `v1.one.AAAAAAAAAAAAAAAA.${text}`),
        ),
        async (text) => {
          await raw.set('key', text, later)
          expect(await store.get('key')).toBeUndefined()
        },
      ),
    )
  })

  it('F6.03 neither writes nor leaves an older one where an entry would be too long', async () => {
    const { store, raw, recorder, later } = subject(RING, { maxLength: 1000 })
    await store.set('key', 'older', later)
    await store.set('key', 'x'.repeat(1000), later)
    expect([await store.get('key'), await raw.get('key')]).toEqual([undefined, undefined])
    expect(recorder.events).toEqual([{ name: 'entry_ignored', reason: 'too_long' }])
  })
})

describe('F6.04 entries of other places', () => {
  it('F6.04 A1.09 counts an entry that is copied over another one as missing, and each goes on where it was', async () => {
    const each = subject()
    const keys = ['user-a', 'user-b', 'user-', 'User-a', 'user-a ', '["user-a"]']
    for (const key of keys) await each.store.set(key, `of ${key}`, each.later)
    const texts = await Promise.all(keys.map((key) => textAt(each, key)))
    for (const [to, key] of keys.entries()) {
      for (const [from, text] of texts.entries()) {
        await each.raw.set(key, text, each.later)
        expect(await each.store.get(key)).toBe(from === to ? `of ${key}` : undefined)
      }
    }
    expect(new Set(each.recorder.events.map((event) => 'reason' in event && event.reason))).toEqual(
      new Set(['not_authentic']),
    )
  })

  it('A1.09 counts every mixture of two entries as missing, part by part and cut at every character', async () => {
    const each = subject()
    const [ann, bob] = ['user-a', 'user-b']
    for (const key of [ann, bob]) await each.store.set(key, `of ${key}`, each.later)
    const [one, other] = [await textAt(each, ann), await textAt(each, bob)]
    const [ours, theirs] = [one.split('.'), other.split('.')]
    const mixtures = new Set<string>()
    for (let chosen = 0; chosen < 2 ** ours.length; chosen++) {
      mixtures.add(ours.map((part, at) => ((chosen >> at) & 1 ? part : theirs[at])).join('.'))
    }
    for (let at = 0; at <= one.length; at++) {
      mixtures.add(one.slice(0, at) + other.slice(at)).add(other.slice(0, at) + one.slice(at))
    }
    for (const text of mixtures) {
      for (const key of [ann, bob]) {
        if (text === (key === ann ? one : other)) continue
        await each.raw.set(key, text, each.later)
        expect(await each.store.get(key), text).toBeUndefined()
      }
    }
    expect(mixtures.size).toBeGreaterThan(one.length)
  })

  it('A1.04 never mixes entries of two prefixes, two rings, or two ids of one key', async () => {
    const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 })
    const text = fc.string({ unit: 'binary', minLength: 1 })
    await fc.assert(
      fc.asyncProperty(text, text, fc.tuple(bytes, bytes), async (key, value, [one, two]) => {
        fc.pre(Buffer.compare(one, two) !== 0)
        const { raw, later, another } = subject()
        const ring = (id: string, secret: Uint8Array): TokenStore => another({ keys: [{ id, key: secret }] })
        await prefixedStore(ring('a', one), 'a:').set(key, value, later)
        const written = (await raw.get(`a:${key}`)) ?? expect.fail('nothing was written')
        await raw.set(`b:${key}`, written, later)
        expect(await prefixedStore(ring('a', one), 'b:').get(key)).toBeUndefined()
        expect(await prefixedStore(ring('a', one), 'a:').get(key)).toBe(value)
        await raw.set(`a:${key}`, written.replace('v1.a.', 'v1.b.'), later)
        expect(await prefixedStore(ring('b', one), 'a:').get(key)).toBeUndefined()
        await raw.set(`a:${key}`, written, later)
        expect(await prefixedStore(ring('a', two), 'a:').get(key)).toBeUndefined()
      }),
      { numRuns: 50 },
    )
  })
})

describe('F6.05 entries of other times', () => {
  it('F6.05 counts an entry whose own expiry has passed as missing, whatever the store believes', async () => {
    const clock = createTestClock()
    const kept = new Map<string, string>()
    const lying: TokenStore = {
      get: (key) => kept.get(key),
      set: (key, text) => void kept.set(key, text),
      delete: () => {},
    }
    const believing = encryptedStore(lying, RING, { clock })
    await believing.set('key', 'value', clock.now() + 1000)
    await clock.advance(999)
    expect(await believing.get('key')).toBe('value')
    await clock.advance(1)
    expect(await believing.get('key')).toBeUndefined()
    expect(kept.has('key')).toBe(true)
  })

  it('F6.05 F6.08 counts an entry that is put back after a newer one as missing, and leaves it for the next write', async () => {
    const each = subject()
    await each.store.set('key', 'older', each.later)
    const older = await textAt(each, 'key')
    await each.store.set('key', 'newer', each.later)
    await each.raw.set('key', older, each.later)
    expect(await each.store.get('key')).toBeUndefined()
    expect(each.recorder.events).toEqual([{ name: 'entry_ignored', reason: 'rolled_back' }])
    expect(each.raw.calls).not.toContain('delete key')
    await each.store.set('key', 'newest', each.later)
    expect([await each.store.get('key'), await each.another().get('key')]).toEqual(['newest', 'newest'])
  })

  it('F6.05 takes note of newer entries that another process wrote', async () => {
    const each = subject()
    const other = each.another()
    await each.store.set('key', 'older', each.later)
    const older = await textAt(each, 'key')
    await each.clock.advance(1)
    await other.set('key', 'newer', each.later)
    expect(await each.store.get('key')).toBe('newer')
    await each.raw.set('key', older, each.later)
    expect([await each.store.get('key'), await other.get('key')]).toEqual([undefined, undefined])
  })

  it('F6.05 does not take an entry that was deleted for a new one when it is put back', async () => {
    const each = subject()
    await each.store.set('key', 'older', each.later)
    const older = await textAt(each, 'key')
    await each.store.set('key', 'newer', each.later)
    await each.store.delete('key')
    await each.raw.set('key', older, each.later)
    expect(await each.store.get('key')).toBeUndefined()
  })

  it('F6.08 replaces what another process with a clock ahead wrote, as soon as it has read it', async () => {
    const each = subject()
    const ahead = each.another(RING, { clock: { ...each.clock, now: () => each.clock.now() + 60_000 } })
    await ahead.set('key', 'older', each.later)
    expect(await each.store.get('key')).toBe('older')
    await each.store.set('key', 'newer', each.later)
    expect([await ahead.get('key'), await each.store.get('key')]).toEqual(['newer', 'newer'])
  })

  it('F6.07 goes on reading what is there when a newer entry could not be written', async () => {
    const each = subject()
    await each.store.set('key', 'older', each.later)
    const readOnly: TokenStore = {
      get: (key) => each.raw.get(key),
      set: () => Promise.reject(new Error('READONLY')),
      delete: () => Promise.reject(new Error('READONLY')),
    }
    const store = encryptedStore(readOnly, RING, { clock: each.clock, telemetry: each.recorder })
    await expect(store.set('key', 'newer', each.later)).rejects.toThrow('READONLY')
    expect(await store.get('key')).toBe('older')
    expect(each.recorder.events).toEqual([])
  })

  it('takes what the store had before a write for what it was, not for a rollback', async () => {
    const clock = createTestClock()
    const recorder = createRecorder()
    const raw = memoryStore({ clock })
    let release = (): void => {}
    const slow: TokenStore = {
      ...raw,
      get: async (key) => {
        const text = await raw.get(key)
        await new Promise<void>((resolve) => {
          release = resolve
        })
        return text
      },
    }
    await encryptedStore(raw, RING, { clock }).set('key', 'older', clock.now() + 1000)
    const store = encryptedStore(slow, RING, { clock, telemetry: recorder })
    const reading = store.get('key')
    await store.set('key', 'newer', clock.now() + 1000)
    release()
    expect([await reading, recorder.events]).toEqual(['older', []])
  })

  it('remembers of a bounded number of entries how new they were', async () => {
    const each = subject(RING, { maxEntries: 2 })
    await each.store.set('key', 'older', each.later)
    const older = await textAt(each, 'key')
    await each.store.set('key', 'newer', each.later)
    for (const other of ['a', 'b']) await each.store.set(other, 'value', each.later)
    await each.raw.set('key', older, each.later)
    expect(await each.store.get('key')).toBe('older')
  })
})

describe('F6.06 keys that change', () => {
  const old = { id: '2026-01', key: randomBytes(32) }
  const fresh = { id: '2026-07', key: randomBytes(32) }

  it('F6.06 reads with every key of the ring, and writes with the first one', async () => {
    const each = subject({ keys: [old] })
    await each.store.set('key', 'of the old key', each.later)
    const prepared = each.another({ keys: [old, fresh] })
    const rotated = each.another({ keys: [fresh, old] })
    expect(await rotated.get('key')).toBe('of the old key')
    await rotated.set('key', 'of the new key', each.later)
    expect((await textAt(each, 'key')).startsWith('v1.2026-07.')).toBe(true)
    expect([await prepared.get('key'), await each.another({ keys: [fresh] }).get('key')]).toEqual([
      'of the new key',
      'of the new key',
    ])
  })

  it('F6.06 counts an entry of a key that it does not have as missing, and leaves it to those who have it', async () => {
    const each = subject({ keys: [fresh] })
    await each.store.set('key', 'value', each.later)
    expect(await each.another({ keys: [old] }).get('key')).toBeUndefined()
    expect(each.recorder.events).toEqual([{ name: 'entry_ignored', reason: 'unknown_key' }])
    expect(await each.store.get('key')).toBe('value')
  })

  it('F6.06 counts an entry of another key with the same id as missing', async () => {
    const each = subject({ keys: [old] })
    await each.store.set('key', 'value', each.later)
    expect(await each.another({ keys: [{ id: old.id, key: fresh.key }] }).get('key')).toBeUndefined()
    expect(each.recorder.events).toEqual([{ name: 'entry_ignored', reason: 'not_authentic' }])
  })

  const forms: readonly { readonly name: string; readonly make: () => unknown }[] = [
    { name: 'a Buffer', make: () => KEY },
    { name: 'a Uint8Array', make: () => new Uint8Array(KEY) },
    { name: 'a part of a longer array', make: () => new Uint8Array([1, 2, ...KEY, 3]).subarray(2, 34) },
    { name: 'base64', make: () => KEY.toString('base64') },
    { name: 'base64 with a line end', make: () => `${KEY.toString('base64')}\n` },
    { name: 'base64url', make: () => KEY.toString('base64url') },
    {
      name: 'a CryptoKey that cannot be exported',
      make: () => webcrypto.subtle.importKey('raw', KEY, 'AES-GCM', false, ['encrypt', 'decrypt']),
    },
  ]
  it.each(forms)('takes a key as $name', async ({ make }) => {
    const each = subject()
    const other = each.another({ keys: [{ id: 'one', key: (await make()) as Uint8Array }] })
    await other.set('key', 'value', each.later)
    expect(await each.store.get('key')).toBe('value')
  })

  it('has its own copy of a key whose bytes are wiped afterwards', async () => {
    const bytes = new Uint8Array(KEY)
    const each = subject({ keys: [{ id: 'one', key: bytes }] })
    bytes.fill(0)
    await each.store.set('key', 'value', each.later)
    expect(await each.another(RING).get('key')).toBe('value')
  })
})

describe('A2.03 what a store shows', () => {
  it('A2.03 shows neither keys nor values when it is printed, before and after its use', async () => {
    const bytes = Buffer.from(canary('bytes')).subarray(0, 32)
    const text = randomBytes(32).toString('base64url')
    const token = canary('value')
    const each = subject({
      keys: [
        { id: 'one', key: bytes },
        { id: 'two', key: text },
      ],
    })
    expectNoCanary([each.store], [bytes.toString(), text, token])
    await each.store.set('key', token, each.later)
    expect(await each.store.get('key')).toBe(token)
    await each.raw.set('key', `${await textAt(each, 'key')}AAAA`, each.later)
    await each.store.get('key')
    expectNoCanary([each.store, each.recorder.events], [bytes.toString(), text, token])
    const digits = [...bytes].slice(0, 8).join(', ')
    expect(inspect(each.store, { depth: 20, showHidden: true })).not.toContain(digits)
  })
})
