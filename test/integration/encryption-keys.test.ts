import { randomBytes, webcrypto } from 'node:crypto'
import {
  type EncryptedStoreOptions,
  type EncryptionKeys,
  encryptedStore,
  memoryStore,
  type TokenStore,
} from 'evertoken'
import { describe, expect, it } from 'vitest'
import { canary, expectNoCanary } from '../support/canaries.ts'

const { subtle } = webcrypto

const WRONG = {
  short: await subtle.generateKey({ name: 'AES-GCM', length: 128 }, false, ['encrypt', 'decrypt']),
  cbc: await subtle.generateKey({ name: 'AES-CBC', length: 256 }, false, ['encrypt', 'decrypt']),
  pair: await subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']),
  decrypts: await subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['decrypt']),
  encrypts: await subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt']),
}

describe('encryption keys that are none', () => {
  const secret = canary('key')
  const key = randomBytes(32)
  const mistakes: readonly { readonly name: string; readonly ring: unknown; readonly says: string }[] = [
    { name: 'no ring', ring: undefined, says: 'keys to be a list, got undefined' },
    { name: 'a key instead of a ring', ring: key, says: 'keys to be a list, got' },
    { name: 'an empty list', ring: { keys: [] }, says: 'one key or more, got none' },
    { name: 'an entry that is none', ring: { keys: [null] }, says: 'keys[0].id' },
    { name: 'an empty id', ring: { keys: [{ id: '', key }] }, says: 'keys[0].id' },
    { name: 'no id', ring: { keys: [{ key }] }, says: 'keys[0].id' },
    { name: 'an id with a dot', ring: { keys: [{ id: 'a.b', key }] }, says: 'got another text' },
    { name: 'the key as id', ring: { keys: [{ id: secret, key }] }, says: 'got another text' },
    { name: 'an id of 65 characters', ring: { keys: [{ id: 'a'.repeat(65), key }] }, says: 'keys[0].id' },
    {
      name: 'an id twice',
      ring: {
        keys: [
          { id: 'a', key },
          { id: 'b', key },
          { id: 'a', key: randomBytes(32) },
        ],
      },
      says: 'every id once, got "a" twice',
    },
    { name: 'no key', ring: { keys: [{ id: 'a' }] }, says: 'key "a" to be bytes' },
    { name: '16 bytes', ring: { keys: [{ id: 'a', key: randomBytes(16) }] }, says: '32 bytes, got 16 bytes' },
    { name: '33 bytes', ring: { keys: [{ id: 'a', key: randomBytes(33) }] }, says: '32 bytes, got 33 bytes' },
    { name: '31 bytes in base64', ring: { keys: [{ id: 'a', key: randomBytes(31).toString('base64') }] }, says: '31' },
    { name: 'hex', ring: { keys: [{ id: 'a', key: key.toString('hex') }] }, says: '32 bytes, got 48 bytes' },
    { name: 'an empty text', ring: { keys: [{ id: 'a', key: '' }] }, says: '32 bytes, got 0 bytes' },
    { name: 'a passphrase', ring: { keys: [{ id: 'a', key: secret }] }, says: 'base64 or base64url, got another text' },
    {
      name: 'a second key that is short',
      ring: {
        keys: [
          { id: 'a', key },
          { id: 'b', key: 'AAAA' },
        ],
      },
      says: 'key "b"',
    },
    {
      name: 'an AES-GCM key of 128 bits',
      ring: { keys: [{ id: 'a', key: WRONG.short }] },
      says: '256 bits',
    },
    {
      name: 'an AES-CBC key',
      ring: { keys: [{ id: 'a', key: WRONG.cbc }] },
      says: 'AES-GCM',
    },
    { name: 'a key pair', ring: { keys: [{ id: 'a', key: WRONG.pair }] }, says: 'AES-GCM' },
    {
      name: 'a first key that cannot encrypt',
      ring: { keys: [{ id: 'a', key: WRONG.decrypts }] },
      says: 'usage "encrypt"',
    },
    {
      name: 'a second key that cannot decrypt',
      ring: {
        keys: [
          { id: 'a', key },
          { id: 'b', key: WRONG.encrypts },
        ],
      },
      says: 'key "b" to have the usage "decrypt"',
    },
  ]
  it.each(mistakes)('refuses $name at creation, and shows no key', ({ ring, says }) => {
    let error: unknown
    try {
      encryptedStore(memoryStore(), ring as EncryptionKeys)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'encryption_key_invalid', retryable: false })
    expect((error as Error).message).toContain(says)
    expectNoCanary([error], [secret, key.toString('latin1'), key.toString('hex')])
  })

  it('takes an older key that can decrypt alone', async () => {
    const bytes = randomBytes(32)
    const raw = memoryStore()
    await encryptedStore(raw, { keys: [{ id: 'one', key: bytes }] }).set('key', 'value', Date.now() + 1000)
    const older = await subtle.importKey('raw', bytes, 'AES-GCM', false, ['decrypt'])
    const keys = [
      { id: 'two', key: randomBytes(32) },
      { id: 'one', key: older },
    ]
    expect(await encryptedStore(raw, { keys }).get('key')).toBe('value')
  })

  const options: readonly { readonly name: string; readonly given: unknown; readonly code: string }[] = [
    { name: 'an option that does not exist', given: { ttl: 7 }, code: 'option_unknown' },
    { name: 'a length of zero', given: { maxLength: 0 }, code: 'option_invalid' },
    { name: 'half an entry', given: { maxEntries: 0.5 }, code: 'option_invalid' },
    { name: 'a clock without hands', given: { clock: {} }, code: 'option_invalid' },
    { name: 'a telemetry that takes no note', given: { telemetry: {} }, code: 'option_invalid' },
    { name: 'no object', given: 7, code: 'option_invalid' },
  ]
  it.each(options)('refuses $name', ({ given, code }) => {
    expect(() => encryptedStore(memoryStore(), { keys: [{ id: 'a', key }] }, given as EncryptedStoreOptions)).toThrow(
      expect.objectContaining({ code }),
    )
  })

  it('refuses what is no store', () => {
    expect(() => encryptedStore({} as TokenStore, { keys: [{ id: 'a', key }] })).toThrow(
      expect.objectContaining({ code: 'option_invalid' }),
    )
  })
})
