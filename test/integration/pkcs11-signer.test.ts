import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { createTokenManager, privateKeyJwt } from 'evertoken'
import { signJwt } from 'evertoken/keys'
import { type Pkcs11Signer, type Pkcs11SignerOptions, pkcs11Signer } from 'evertoken/node'
import { compactVerify, importJWK } from 'jose'
import pkcs11 from 'pkcs11js'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { rejection, test as withServers } from '../support/fixtures.ts'
import { manifest, root } from '../support/manifest.ts'
import { createSoftHsm, initialize, type SoftHsm, softHsmLibrary } from '../support/soft-hsm.ts'

const isMissing = softHsmLibrary === undefined && process.env.CI === undefined
const title = isMissing ? 'pkcs11Signer (skipped: SoftHSM is not installed, see test/setup.sh)' : 'pkcs11Signer'

let hsm: SoftHsm
const signers: Pkcs11Signer[] = []
async function open(options: Partial<Pkcs11SignerOptions> = {}): Promise<Pkcs11Signer> {
  const { library, tokenLabel, pin } = hsm
  const signer = await pkcs11Signer({ library, tokenLabel, pin, keyLabel: 'ec', ...options })
  signers.push(signer)
  return signer
}
/** Verifies a signature with the public part that the signer tells. */
async function verified(signer: Pkcs11Signer, sub: string): Promise<string> {
  const jwt = await signJwt(signer, { claims: { sub } })
  const key = await importJWK({ ...signer.publicJwk }, signer.alg)
  return JSON.parse(new TextDecoder().decode((await compactVerify(jwt, key)).payload)).sub
}

afterEach(async () => {
  for (const signer of signers.splice(0)) await signer.close()
})

describe.skipIf(isMissing)(title, () => {
  beforeAll(() => {
    hsm = createSoftHsm([
      { label: 'rsa', id: '01', kind: 'RSA' },
      { label: 'ec', id: '02', kind: 'P-256' },
      { label: 'ec384', id: '03', kind: 'P-384' },
      { label: 'ec521', id: '04', kind: 'P-521' },
      { label: 'twice', id: '05', kind: 'P-256' },
      { label: 'twice', id: '06', kind: 'P-256' },
      { label: 'alone', id: '07', kind: 'P-256', hasPublic: false },
      { label: 'rsa alone', id: '08', kind: 'RSA', hasPublic: false },
      { label: 'koblitz', id: '09', kind: 'secp256k1' },
      { label: 'unwrapper', id: '0b', kind: 'RSA', canSign: false },
      { label: 'short-lived', id: '0a', kind: 'P-256' },
    ])
  })
  afterAll(() => hsm.remove())

  it.each([
    ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'].map((alg) => ({ alg, keyLabel: 'rsa' })),
    { alg: 'ES256', keyLabel: 'ec' },
    { alg: 'ES384', keyLabel: 'ec384' },
    { alg: 'ES512', keyLabel: 'ec521' },
  ])('$alg with a key that stays on the token: jose verifies', async ({ alg, keyLabel }) => {
    const signer = await open({ alg, keyLabel, kid: 'k1' })
    expect(signer).toMatchObject({ alg, kid: 'k1' })
    expect(await verified(signer, 'machine')).toBe('machine')
  })

  it.each([
    { name: 'its id', options: { keyLabel: undefined, keyId: '06' } },
    { name: 'its label and id', options: { keyLabel: 'twice', keyId: '05' } },
    { name: 'the serial number of its token', options: { keyLabel: 'ec384' }, bySerial: true },
    { name: 'its label, without a public RSA key beside it', options: { keyLabel: 'rsa alone' } },
  ])('finds a key by $name', async ({ options, bySerial = false }) => {
    const token = bySerial ? { tokenLabel: undefined, tokenSerial: hsm.serialNumber } : {}
    expect(await verified(await open({ ...options, ...token }), 'found')).toBe('found')
  })

  it('asks a function for the PIN, once', async () => {
    let asked = 0
    const pin = async (): Promise<string> => {
      asked++
      return hsm.pin
    }
    const signer = await open({ pin })
    await verified(signer, 'one')
    await verified(signer, 'two')
    expect(asked).toBe(1)
  })

  withServers('authenticates a client at a real authorization server', async ({ startProvider }) => {
    const signer = await open({ kid: 'k1' })
    const provider = await startProvider({
      clients: [
        {
          client_id: 'machine',
          token_endpoint_auth_method: 'private_key_jwt',
          jwks: { keys: [{ ...signer.publicJwk, alg: 'ES256', kid: 'k1' }] },
        },
      ],
      resources: { 'urn:api': { scope: 'read', lifetimeSeconds: 60 } },
    })
    const authentication = privateKeyJwt(signer)
    const tokens = createTokenManager({
      clients: { api: { issuer: provider.issuer, clientId: 'machine', authentication, scope: 'read' } },
    })
    expect((await tokens.getToken('api')).tokenType).toBe('Bearer')
    expect(provider.assertions[0]?.header).toMatchObject({ alg: 'ES256', kid: 'k1' })
    await tokens.close()
  })

  it('the key cannot be taken off the token, not even by who is logged in', async () => {
    await open()
    const read = (): unknown =>
      hsm.meddle((module, _, session) => {
        module.C_FindObjectsInit(session, [
          { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_PRIVATE_KEY },
          { type: pkcs11.CKA_LABEL, value: 'ec' },
        ])
        const [key = Buffer.alloc(0)] = module.C_FindObjects(session, 1)
        module.C_FindObjectsFinal(session)
        return module.C_GetAttributeValue(session, key, [{ type: pkcs11.CKA_VALUE }])
      })
    expect(read).toThrow('CKR_ATTRIBUTE_SENSITIVE')
  })

  it('F9.10 signs for many at once, one after the other, none of them mixed up', async () => {
    const signer = await open()
    const subjects = Array.from({ length: 100 }, (_, n) => `machine ${n}`)
    expect(await Promise.all(subjects.map((sub) => verified(signer, sub)))).toEqual(subjects)
  })

  const LOSSES: readonly { name: string; lose: Parameters<SoftHsm['meddle']>[0] }[] = [
    { name: 'the token drops all sessions', lose: (module, slot) => module.C_CloseAllSessions(slot) },
    { name: 'somebody else logs out', lose: (module, _, session) => module.C_Logout(session) },
    { name: 'somebody else ends the library', lose: (module) => module.C_Finalize() },
  ]
  it.each(LOSSES)('F9.10 goes on when $name, with a new session and login', async ({ lose }) => {
    const signer = await open()
    const before = await verified(signer, 'before')
    hsm.meddle(lose)
    const after = await Promise.all(['one', 'two'].map((sub) => verified(signer, sub)))
    expect([before, ...after]).toEqual(['before', 'one', 'two'])
  })

  it('F9.10 a PIN that is refused at a new login is not tried again: a token locks itself after a few', async () => {
    const given: string[] = []
    const pin = (): string => {
      given.push(given.length === 0 ? hsm.pin : '00000000')
      return given.at(-1) ?? ''
    }
    const signer = await open({ pin })
    hsm.meddle((module, _, session) => module.C_Logout(session))
    const errors = [1, 2, 3].map(() => rejection(signJwt(signer, { claims: {} })))
    for (const error of await Promise.all(errors)) {
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'hsm_pin_refused', retryable: false })
    }
    expect(given).toHaveLength(2)
  })

  it('F9.10 fails with a typed error that may be retried while the library does not come back, and signs when it does', async () => {
    const signer = await open()
    const configuration = process.env.SOFTHSM2_CONF
    hsm.meddle((module) => module.C_Finalize())
    process.env.SOFTHSM2_CONF = '/nowhere/softhsm2.conf'
    const error = await rejection(signJwt(signer, { claims: {} }))
    process.env.SOFTHSM2_CONF = configuration
    expect(error).toMatchObject({ name: 'TransportError', code: 'signer_failed', retryable: true })
    expect(error.message).toBe('pkcs11Signer: expected the token to work, got CKR_CRYPTOKI_NOT_INITIALIZED')
    expect(await verified(signer, 'again')).toBe('again')
  })

  it('F9.10 a key that is gone from the token is a typed error', async () => {
    const signer = await open({ keyLabel: 'short-lived' })
    hsm.meddle((module, slot, session) => {
      module.C_FindObjectsInit(session, [{ type: pkcs11.CKA_LABEL, value: 'short-lived' }])
      const objects = module.C_FindObjects(session, 9)
      module.C_FindObjectsFinal(session)
      for (const object of objects) module.C_DestroyObject(session, object)
      module.C_CloseAllSessions(slot)
    })
    expect(await rejection(signJwt(signer, { claims: {} }))).toMatchObject({ code: 'hsm_key_not_found' })
  })

  it('two signers share the library, and the last one to close ends it', async () => {
    const [first, second] = [await open(), await open({ keyLabel: 'rsa' })]
    await first.close()
    expect(await verified(second, 'second')).toBe('second')
    await second.close()
    const module = new pkcs11.PKCS11()
    module.load(hsm.library)
    expect(initialize(module)).toBe(true)
    module.C_Finalize()
  })

  it('finishes what is being signed before it closes, and signs nothing afterwards', async () => {
    const signer = await open()
    const last = verified(signer, 'last')
    await Promise.all([signer.close(), signer.close()])
    expect(await last).toBe('last')
    expect(await rejection(signJwt(signer, { claims: {} }))).toMatchObject({
      name: 'ConfigurationError',
      code: 'closed',
    })
  })

  const wrong: readonly { name: string; options: Partial<Pkcs11SignerOptions>; code: string; says: string }[] = [
    { name: 'a wrong PIN', options: { pin: '00000000' }, code: 'hsm_pin_refused', says: 'got CKR_PIN_INCORRECT' },
    { name: 'no PIN', options: { pin: '' }, code: 'secret_invalid', says: 'pin to be a non-empty string' },
    { name: 'a PIN of nothing', options: { pin: () => undefined as never }, code: 'secret_invalid', says: 'undefined' },
    {
      name: 'a token that is not there',
      options: { tokenLabel: 'other' },
      code: 'hsm_token_not_found',
      says: '"other"',
    },
    { name: 'a key that is not there', options: { keyLabel: 'other' }, code: 'hsm_key_not_found', says: 'got 0' },
    { name: 'a label that two keys have', options: { keyLabel: 'twice' }, code: 'hsm_key_not_found', says: 'got 2' },
    { name: 'an EC key alone', options: { keyLabel: 'alone' }, code: 'hsm_key_not_found', says: 'one public key' },
    {
      name: 'a key that must not sign',
      options: { keyLabel: 'unwrapper' },
      code: 'key_invalid',
      says: 'NOT_PERMITTED',
    },
    { name: 'another curve', options: { keyLabel: 'koblitz' }, code: 'key_invalid', says: 'another curve' },
    { name: 'an EC key for RS256', options: { alg: 'RS256' }, code: 'key_invalid', says: 'got a P-256 key' },
    {
      name: 'a library that is no file',
      options: { library: '/nowhere.so' },
      code: 'hsm_library_invalid',
      says: '/nowhere.so',
    },
    {
      name: 'a library that is none',
      options: { library: process.execPath },
      code: 'hsm_library_invalid',
      says: 'node',
    },
    { name: 'no library', options: { library: '' }, code: 'option_invalid', says: 'library to be' },
    { name: 'no token', options: { tokenLabel: undefined }, code: 'option_invalid', says: 'got neither' },
    { name: 'two tokens', options: { tokenSerial: '1' }, code: 'option_invalid', says: 'got both' },
    { name: 'no key', options: { keyLabel: undefined }, code: 'option_invalid', says: 'keyLabel or keyId' },
    { name: 'an id in other letters', options: { keyId: 'xyz' }, code: 'option_invalid', says: 'hexadecimal' },
    { name: 'a deadline of nothing', options: { deadlineMs: 0 }, code: 'option_invalid', says: 'deadlineMs' },
  ]
  it.each(wrong)(
    'F9.07 $name is refused at creation, without the PIN, and nothing stays open',
    async ({ options, code, says }) => {
      const error = await rejection(open(options))
      expect(error).toMatchObject({ name: 'ConfigurationError', code })
      expect(error.message).toContain(says)
      expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/86420975|00000000/)
      const module = new pkcs11.PKCS11()
      module.load(hsm.library)
      expect(initialize(module)).toBe(true)
      module.C_Finalize()
    },
  )

  it('shows no PIN when it is inspected', async () => {
    expect(inspect(await open(), { depth: 9, showHidden: true })).not.toContain(hsm.pin)
  })
})

it('pkcs11Signer without the package pkcs11js is a typed error that names it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'evertoken-peer-'))
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, 'evertoken'), { recursive: true })
  cpSync(`${root}dist`, join(modules, 'evertoken', 'dist'), { recursive: true })
  cpSync(`${root}package.json`, join(modules, 'evertoken', 'package.json'))
  for (const name of Object.keys(manifest.dependencies ?? {})) {
    symlinkSync(`${root}node_modules/${name}`, join(modules, name))
  }
  writeFileSync(
    join(folder, 'main.mjs'),
    `import { pkcs11Signer } from 'evertoken/node'
     const options = { library: '/x.so', tokenLabel: 'a', keyLabel: 'b', pin: '1234' }
     const error = await pkcs11Signer(options).catch((error) => error)
     console.log(JSON.stringify({ name: error.name, code: error.code, message: error.message }))`,
  )
  const output = execFileSync(process.execPath, ['main.mjs'], { cwd: folder, encoding: 'utf8' })
  rmSync(folder, { recursive: true })
  expect(JSON.parse(output)).toEqual({
    name: 'ConfigurationError',
    code: 'peer_missing',
    message: 'pkcs11Signer: expected the package pkcs11js, got none',
  })
})
