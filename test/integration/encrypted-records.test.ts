import { randomBytes, webcrypto } from 'node:crypto'
import {
  type AesKey,
  type EncryptedRecordsOptions,
  type EncryptionKeys,
  encryptedRecords,
  encryptedStore,
  memoryRecords,
  memoryStore,
  type RecordStore,
} from 'evertoken'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canary, expectNoCanary } from '../support/canaries.ts'
import { createRecorder, type Recorder, rejection } from '../support/fixtures.ts'
import { itKeepsTheRecordContract } from '../support/record-store-contract.ts'
import { createTestClock, type TestClock } from '../support/test-clock.ts'

const KEY = randomBytes(32)
const RING: EncryptionKeys = { keys: [{ id: 'one', key: KEY }] }
const LIFETIME_MS = 3_600_000

/** What lies in the store, as somebody with access to it sees it. */
interface Raw extends RecordStore {
  readonly texts: Map<string, unknown>
  /** Puts something in the place of a record without asking for its version. */
  plant(key: string, text: unknown): void
  /** Whether writes fail, as on a replica. */
  isReadOnly: boolean
}

interface Subject {
  readonly records: RecordStore
  readonly raw: Raw
  readonly clock: TestClock
  readonly recorder: Recorder
  readonly expiresAt: number
  /** Another process with the same store. */
  readonly another: (keys?: EncryptionKeys, options?: EncryptedRecordsOptions) => RecordStore
}

function subject(keys: EncryptionKeys = RING, options: EncryptedRecordsOptions = {}): Subject {
  const clock = createTestClock()
  const recorder = createRecorder()
  const raw = openRecords(clock)
  const another: Subject['another'] = (otherKeys = keys, others = {}) =>
    encryptedRecords(raw, otherKeys, { clock, telemetry: recorder, ...options, ...others })
  return { records: another(), raw, clock, recorder, expiresAt: clock.now() + LIFETIME_MS, another }
}

function openRecords(clock: TestClock): Raw {
  const inner = memoryRecords({ clock })
  const texts = new Map<string, unknown>()
  return {
    texts,
    isReadOnly: false,
    plant: (key, text) => void texts.set(key, text),
    get: async (key) => ((await inner.get(key)) === undefined ? undefined : (texts.get(key) as string)),
    async put(key, value, write) {
      if (this.isReadOnly) throw new Error('READONLY')
      const isWritten = await inner.put(key, value, write)
      if (isWritten) texts.set(key, value)
      return isWritten
    },
    async delete(key) {
      await inner.delete(key)
      texts.delete(key)
    },
  }
}

describe('memoryRecords', () => {
  itKeepsTheRecordContract(() => {
    const clock = createTestClock()
    return { processes: [memoryRecords({ clock })], clock, advance: clock.advance }
  })
})

describe('C3 encryptedRecords', () => {
  itKeepsTheRecordContract(() => {
    const clock = createTestClock()
    const shared = memoryRecords({ clock })
    const create = (): RecordStore => encryptedRecords(shared, RING, { clock })
    return { processes: [create(), create(), create()], clock, advance: clock.advance }
  })

  it('gives back whatever it was given, to every process with the key', async () => {
    const { records, expiresAt, another } = subject()
    const other = another()
    let version = 0
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), async (key, value) => {
        await records.put(key, value, { version: ++version, expiresAt })
        expect([await records.get(key), await other.get(key)]).toEqual([value, value])
      }),
    )
  })

  it('A2.05 shows nothing of a record but its length, and nothing of its keys when it is printed', async () => {
    const value = canary('record')
    const { records, raw, expiresAt, recorder } = subject()
    await records.put('key', value, { version: 7, expiresAt })
    expect(raw.texts.get('key')).toMatch(/^r1\.one\.[\w-]{16}\.[\w-]+$/)
    expectNoCanary([raw.texts, records, recorder.events], [value, KEY.toString('base64')])
  })
})

describe('A1.09 what was not written for a key', () => {
  it('A1.09 F6.04 is no record there: one of another key', async () => {
    const { records, raw, recorder, expiresAt } = subject()
    await records.put('alice', 'of alice', { version: 1, expiresAt })
    await records.put('bob', 'of bob', { version: 1, expiresAt })
    raw.plant('alice', raw.texts.get('bob'))
    expect([await records.get('alice'), await records.get('bob')]).toEqual([undefined, 'of bob'])
    expect(recorder.events).toEqual([{ name: 'entry_ignored', reason: 'not_authentic' }])
  })

  it('A1.09 nor is an entry of an encrypted store with the same key, name and ring', async () => {
    const { records, raw, clock, recorder, expiresAt } = subject()
    const entries = memoryStore({ clock })
    await encryptedStore(entries, RING, { clock }).set('key', 'an entry', expiresAt)
    await records.put('key', 'a record', { version: 1, expiresAt })
    raw.plant('key', (await entries.get('key'))?.replace(/^v1/, 'r1'))
    expect(await records.get('key')).toBeUndefined()
    expect(recorder.events).toEqual([{ name: 'entry_ignored', reason: 'not_authentic' }])
  })

  it('F6.03 A6.04 nor is anything with a bit flipped, cut or appended', async () => {
    const { records, raw, expiresAt } = subject()
    await records.put('key', 'value', { version: 1, expiresAt })
    const text = String(raw.texts.get('key'))
    for (let at = 0; at < text.length; at++) {
      raw.plant('key', `${text.slice(0, at)}${String.fromCharCode(text.charCodeAt(at) ^ 1)}${text.slice(at + 1)}`)
      expect(await records.get('key'), `character ${at}`).toBeUndefined()
    }
    for (const planted of [text.slice(0, -1), `${text}A`, `${text}.`, text.toUpperCase()]) {
      raw.plant('key', planted)
      expect(await records.get('key'), planted).toBeUndefined()
    }
    raw.plant('key', text)
    expect(await records.get('key')).toBe('value')
  })

  it.each<{ name: string; text: unknown; reason: string }>([
    { name: 'a record in clear', text: '{"refreshToken":"planted"}', reason: 'malformed' },
    { name: 'nothing in it', text: '', reason: 'malformed' },
    { name: 'random bytes', text: randomBytes(300).toString('latin1'), reason: 'malformed' },
    { name: 'an object', text: { value: 'planted' }, reason: 'malformed' },
    { name: 'a record of a later version', text: 'r2.one.AAAA', reason: 'unknown_version' },
    { name: 'an entry of a store', text: `v1.one.${'A'.repeat(16)}.AAAA`, reason: 'malformed' },
    { name: 'a record of another ring', text: `r1.two.${'A'.repeat(16)}.AAAA`, reason: 'unknown_key' },
    { name: 'more than may be read', text: `r1.one.${'A'.repeat(300_000)}`, reason: 'too_long' },
  ])(
    'F6.03 F6.06 counts $name as missing, leaves it there, and replaces it by a newer one',
    async ({ text, reason }) => {
      const { records, raw, recorder, expiresAt, another } = subject()
      await records.put('key', 'value', { version: 5, expiresAt })
      raw.plant('key', text)
      expect(await another().get('key')).toBeUndefined()
      expect(recorder.events).toEqual([{ name: 'entry_ignored', reason }])
      expect(raw.texts.get('key')).toBe(text)
      expect(await another().put('key', 'next', { version: 6, expiresAt })).toBe(true)
      expect(await another().get('key')).toBe('next')
    },
  )
})

describe('F6.06 a ring that changes', () => {
  const old = { id: 'old', key: randomBytes(32) }
  const fresh = { id: 'new', key: randomBytes(32) }

  it('F6.06 reads with all keys, and writes with the first one', async () => {
    const { records, raw, expiresAt, another } = subject({ keys: [old] })
    await records.put('key', 'of old', { version: 1, expiresAt })
    const rolled = another({ keys: [fresh, old] })
    expect(await rolled.get('key')).toBe('of old')
    await rolled.put('key', 'of new', { version: 2, expiresAt })
    expect(raw.texts.get('key')).toMatch(/^r1\.new\./)
    expect(await another({ keys: [fresh] }).get('key')).toBe('of new')
  })

  it('F6.06 does not replace a record of a key that it does not know by an older one', async () => {
    const { records, expiresAt, another, recorder } = subject({ keys: [old] })
    await another({ keys: [fresh] }).put('key', 'newer', { version: 7, expiresAt })
    expect(await records.get('key')).toBeUndefined()
    for (const version of [6, 7]) expect(await records.put('key', 'older', { version, expiresAt })).toBe(false)
    expect(await another({ keys: [fresh] }).get('key')).toBe('newer')
    expect(recorder.events).toEqual([{ name: 'entry_ignored', reason: 'unknown_key' }])
    expect(await records.put('key', 'a new sign-in', { version: 8, expiresAt })).toBe(true)
  })

  it('F6.06 counts records of another key under a known id as missing', async () => {
    const { records, expiresAt, another } = subject()
    await records.put('key', 'value', { version: 1, expiresAt })
    expect(await another({ keys: [{ id: 'one', key: randomBytes(32) }] }).get('key')).toBeUndefined()
  })
})

describe('F6.08 records that come back', () => {
  async function withOlder(): Promise<Subject & { readonly older: unknown }> {
    const each = subject()
    await each.records.put('key', 'older', { version: 1, expiresAt: each.expiresAt })
    const older = each.raw.texts.get('key')
    await each.records.put('key', 'newer', { version: 2, expiresAt: each.expiresAt })
    return { ...each, older }
  }

  it('F6.08 F6.05 does not give one that is older than what this process has seen, and writes the newer one again', async () => {
    const { clock, recorder, expiresAt } = subject()
    const [before, after] = [openRecords(clock), openRecords(clock)]
    const servers = { current: before }
    const records = encryptedRecords(
      {
        get: (key) => servers.current.get(key),
        put: (...args) => servers.current.put(...args),
        delete: async () => {},
      },
      RING,
      { clock, telemetry: recorder },
    )
    await records.put('key', 'older', { version: 1, expiresAt })
    await after.put('key', String(before.texts.get('key')), { version: 1, expiresAt })
    await records.put('key', 'newer', { version: 2, expiresAt })
    // The replica that has taken over never heard of the second write.
    servers.current = after
    expect(await records.get('key')).toBe('newer')
    expect(recorder.events).toEqual([{ name: 'entry_ignored', reason: 'rolled_back' }])
    expect(await encryptedRecords(after, RING, { clock }).get('key')).toBe('newer')
    expect(await after.put('key', 'late', { version: 2, expiresAt })).toBe(false)
  })

  it('F6.08 gives the newer one where it cannot be written either', async () => {
    const { records, raw, older } = await withOlder()
    raw.plant('key', older)
    raw.isReadOnly = true
    expect([await records.get('key'), await records.get('key')]).toEqual(['newer', 'newer'])
  })

  it('F6.05 knows an older one again that is put back after the record was taken away', async () => {
    const { records, raw, older } = await withOlder()
    const there = raw.texts.get('key')
    raw.plant('key', undefined)
    expect(await records.get('key')).toBeUndefined()
    raw.plant('key', older)
    expect(await records.get('key')).toBe('newer')
    raw.plant('key', there)
    expect(await records.get('key')).toBe('newer')
  })

  it('F6.08 does not take a write for a new one that is older than what this process has seen', async () => {
    const { clock, expiresAt } = subject()
    const raw = openRecords(clock)
    const records = encryptedRecords(raw, RING, { clock })
    await records.put('key', 'older', { version: 1, expiresAt })
    const older = String(raw.texts.get('key'))
    await records.put('key', 'newer', { version: 3, expiresAt })
    await raw.delete('key')
    await raw.put('key', older, { version: 1, expiresAt })
    expect(await records.put('key', 'late', { version: 2, expiresAt })).toBe(false)
    expect(await encryptedRecords(raw, RING, { clock }).get('key')).toBe('newer')
  })

  it('F6.08 F6.09 does not forget what it has seen where the store has lost it: a late write is none, and the newer one is back', async () => {
    const { records, raw, expiresAt } = subject()
    await records.put('key', 'of before', { version: 10, expiresAt })
    await records.put('key', 'ended', { version: 1010, expiresAt })
    await raw.delete('key')
    expect(await records.get('key')).toBeUndefined()
    expect(await records.put('key', 'late', { version: 11, expiresAt })).toBe(false)
    expect(await records.get('key')).toBe('ended')
    expect(await records.put('key', 'next', { version: 1011, expiresAt })).toBe(true)
  })

  it('a process that has not seen the newer one cannot tell', async () => {
    const { raw, another, older } = await withOlder()
    raw.plant('key', older)
    expect(await another().get('key')).toBe('older')
  })

  it('F6.05 a record ends when it was meant to, however long the store keeps it', async () => {
    const { records, raw, clock, another } = subject()
    await records.put('key', 'value', { version: 1, expiresAt: clock.now() + 1000 })
    const text = String(raw.texts.get('key'))
    await raw.put('key', text, { version: 2, expiresAt: clock.now() + LIFETIME_MS })
    await clock.advance(999)
    expect(await records.get('key')).toBe('value')
    await clock.advance(1)
    expect([await records.get('key'), await another().get('key')]).toEqual([undefined, undefined])
  })

  it('remembers of a bounded number of records how new they were', async () => {
    const each = subject(RING, { maxEntries: 2 })
    await each.records.put('key', 'older', { version: 1, expiresAt: each.expiresAt })
    const older = each.raw.texts.get('key')
    await each.records.put('key', 'newer', { version: 2, expiresAt: each.expiresAt })
    for (const other of ['a', 'b']) await each.records.put(other, 'value', { version: 1, expiresAt: each.expiresAt })
    each.raw.plant('key', older)
    expect(await each.records.get('key')).toBe('older')
  })
})

describe('A6.05 keys of records', () => {
  it('A6.05 encrypts each record with a key of its own, and each write with an IV of its own', async () => {
    const { subtle } = webcrypto
    const { encrypt } = subtle
    const ivs: string[] = []
    const keys = new Set<unknown>()
    subtle.encrypt = function spy(algorithm, key, content) {
      keys.add(key)
      ivs.push(Buffer.from(Object(algorithm).iv).toString('hex'))
      return encrypt.call(this, algorithm, key, content)
    }
    try {
      const { records, expiresAt } = subject()
      for (let at = 0; at < 500; at++) await records.put(`key-${at}`, 'value', { version: 1, expiresAt })
      expect(keys.size).toBe(500)
      expect(new Set(ivs).size).toBe(500)
      expect(ivs.every((iv) => iv.length === 24)).toBe(true)
    } finally {
      subtle.encrypt = encrypt
    }
  })

  it('A6.05 the key of one record decrypts no other: HKDF-SHA-256 over format, key id and record key', async () => {
    const { records, raw, expiresAt } = subject()
    await records.put('key', 'value', { version: 4, expiresAt })
    const [, id = '', iv = '', sealed = ''] = String(raw.texts.get('key')).split('.')
    const open = async (name: string): Promise<string> => {
      const base = await webcrypto.subtle.importKey('raw', KEY, 'HKDF', false, ['deriveKey'])
      const info = await webcrypto.subtle.digest('SHA-256', Buffer.from(JSON.stringify(['r1', id, name])))
      const derivation = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info }
      const key = await webcrypto.subtle.deriveKey(derivation, base, { name: 'AES-GCM', length: 256 }, false, [
        'decrypt',
      ])
      const additionalData = Buffer.from(JSON.stringify(['r1', id, 'key']))
      const parameters = { name: 'AES-GCM', iv: Buffer.from(iv, 'base64url'), additionalData }
      return Buffer.from(await webcrypto.subtle.decrypt(parameters, key, Buffer.from(sealed, 'base64url'))).toString()
    }
    expect(JSON.parse(await open('key'))).toEqual([4, expiresAt, 'value'])
    await expect(open('other')).rejects.toThrow()
  })

  it('takes keys that cannot be exported, if others can be made of them', async () => {
    const handle = await webcrypto.subtle.importKey('raw', KEY, 'HKDF', false, ['deriveKey'])
    const { records, expiresAt, another } = subject({ keys: [{ id: 'one', key: handle as AesKey }] })
    await records.put('key', 'value', { version: 1, expiresAt })
    expect(await another(RING).get('key')).toBe('value')
  })

  it.each<{ name: string; make: () => Promise<unknown>; message: string }>([
    {
      name: 'an AES-GCM key',
      make: () => webcrypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']),
      message: 'key "one" to be bytes, text or an HKDF key, of which every record gets a key of its own, got an object',
    },
    {
      name: 'an HKDF key that may only make bits',
      make: () => webcrypto.subtle.importKey('raw', KEY, 'HKDF', false, ['deriveBits']),
      message: 'key "one" to have the usage "deriveKey", got a key without',
    },
    { name: 'a short key', make: async () => randomBytes(16), message: 'key "one" to have 32 bytes, got 16 bytes' },
  ])('refuses $name', async ({ make, message }) => {
    const key = (await make()) as Uint8Array
    const create = () => encryptedRecords(memoryRecords(), { keys: [{ id: 'one', key }] })
    expect(create).toThrow(expect.objectContaining({ code: 'encryption_key_invalid' }))
    expect(create).toThrow(`encryptedRecords: expected ${message}`)
  })
})

describe('what cannot be kept', () => {
  it('is refused, without a word of it, and what was there stays', async () => {
    const { records, expiresAt } = subject(RING, { maxLength: 1000 })
    await records.put('key', 'value', { version: 1, expiresAt })
    const secret = canary('long')
    const error = await rejection(Promise.resolve(records.put('key', secret.repeat(50), { version: 2, expiresAt })))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'record_too_long', retryable: false })
    expectNoCanary([error], [secret])
    expect(await records.get('key')).toBe('value')
  })

  it.each<{ name: string; args: readonly unknown[]; code: string }>([
    { name: 'no record store', args: [undefined, RING], code: 'option_invalid' },
    { name: 'a token store', args: [memoryStore(), RING], code: 'option_invalid' },
    { name: 'no keys', args: [memoryRecords(), { keys: [] }], code: 'encryption_key_invalid' },
    { name: 'an option that does not exist', args: [memoryRecords(), RING, { maxAge: 1 }], code: 'option_unknown' },
    { name: 'a limit of nothing', args: [memoryRecords(), RING, { maxEntries: 0 }], code: 'option_invalid' },
  ])('refuses $name', ({ args, code }) => {
    const create = encryptedRecords as (...args: readonly unknown[]) => RecordStore
    expect(() => create(...args)).toThrow(expect.objectContaining({ name: 'ConfigurationError', code }))
  })
})
