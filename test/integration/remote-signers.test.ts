import { privateKeyJwt, type Signer } from 'evertoken'
import { boundedSigner, signerFrom } from 'evertoken/keys'
import { beforeAll, describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { testKey } from '../support/keys.ts'
import { remoteSigner } from '../support/remote-signer.ts'
import { settle } from '../support/test-clock.ts'

const issued = { issuer: 'https://as.example' }
const SECRET = 'AKIA-very-secret-credential'

let local: Signer
beforeAll(async () => {
  local = await signerFrom((await testKey('ES256')).jwk)
})

describe('privateKeyJwt with a signer', () => {
  test('F9.10 bounds it by itself: sixteen calls at a time', async ({ manage }) => {
    const { signer, calls } = remoteSigner()
    const tokens = manage({ ...issued, authentication: privateKeyJwt(signer) })
    const all = Array.from({ length: 20 }, (_, n) => tokens.getToken('api', { partition: String(n) }))
    await expect.poll(() => calls.length).toBe(16)
    await settle()
    expect(calls).toHaveLength(16)
    for (let n = 0; n < 20; n++) {
      await expect.poll(() => calls.length).toBeGreaterThan(n)
      calls[n]?.answer()
    }
    await Promise.all(all)
  })

  test('F9.10 keeps the bounds of a signer that has its own', async ({ manage }) => {
    const { signer, calls } = remoteSigner()
    const tokens = manage({
      ...issued,
      authentication: privateKeyJwt(boundedSigner(signer, { maxConcurrent: 18 }), { kid: 'other' }),
    })
    const all = Array.from({ length: 20 }, (_, n) => tokens.getToken('api', { partition: String(n) }))
    await expect.poll(() => calls.length).toBe(18)
    for (let n = 0; n < 20; n++) {
      await expect.poll(() => calls.length).toBeGreaterThan(n)
      calls[n]?.answer()
    }
    await Promise.all(all)
  })

  test('F9.10 a throttled signer fails the token request, typed, and not the one after it', async ({
    manage,
    server,
    clock,
  }) => {
    let asked = 0
    const sign: Signer['sign'] = async (bytes) => {
      asked++
      if (asked === 1) throw Object.assign(new Error(), { name: 'ThrottlingException' })
      return local.sign(bytes)
    }
    const tokens = manage({ ...issued, authentication: privateKeyJwt({ alg: 'ES256', publicJwk: {}, sign }) })
    expect(await rejection(tokens.getToken('api'))).toMatchObject({ code: 'signer_failed', retryable: true })
    expect(server.requests).toHaveLength(0)
    await clock.advance(10_000)
    await tokens.getToken('api')
    expect(asked).toBe(2)
    expect(server.requests).toHaveLength(1)
  })

  test('F9.10 nothing is signed while a token is served from memory', async ({ manage }) => {
    let asked = 0
    const sign: Signer['sign'] = (bytes) => {
      asked++
      return local.sign(bytes)
    }
    const tokens = manage({ ...issued, authentication: privateKeyJwt({ alg: 'ES256', publicJwk: {}, sign }) })
    for (let call = 0; call < 100; call++) await tokens.getToken('api')
    expect(asked).toBe(1)
  })

  const wrong: readonly { readonly name: string; readonly alg: string; readonly signature: unknown; says: RegExp }[] = [
    {
      name: 'DER',
      alg: 'ES256',
      signature: Buffer.from(`3044${'0220'.padEnd(68, '7')}${'0220'.padEnd(68, '7')}`, 'hex'),
      says: /64 bytes \(R \|\| S\) for ES256, got 70 bytes of DER/,
    },
    { name: 'too few bytes', alg: 'ES384', signature: new Uint8Array(64), says: /96 bytes .* got 64 bytes/ },
    { name: 'too many bytes', alg: 'ES512', signature: new Uint8Array(133), says: /132 bytes .* got 133 bytes/ },
    { name: 'half of an EdDSA one', alg: 'EdDSA', signature: new Uint8Array(32), says: /64 bytes for EdDSA, got 32/ },
    { name: 'a short RSA one', alg: 'PS256', signature: new Uint8Array(128), says: /at least 256 bytes/ },
    { name: 'no byte', alg: 'ML-DSA-44', signature: new Uint8Array(), says: /at least 1 bytes/ },
    { name: 'base64', alg: 'RS256', signature: SECRET, says: /bytes for RS256, got a string/ },
    { name: 'nothing', alg: 'RS256', signature: undefined, says: /bytes for RS256, got undefined/ },
  ]
  for (const { name, alg, signature, says } of wrong) {
    test(`F9.10 a signer that gives ${name}: a typed error that shows no byte, nothing sent`, async ({
      manage,
      server,
    }) => {
      const signer: Signer = { alg, publicJwk: {}, sign: async () => signature as Uint8Array }
      const error = await rejection(manage({ ...issued, authentication: privateKeyJwt(signer) }).getToken('api'))
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'signature_invalid' })
      expect(error.message).toMatch(says)
      expect(error.message).not.toContain(SECRET)
      expect(server.requests).toHaveLength(0)
    })
  }
})
